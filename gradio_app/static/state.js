// What the page knows. `told` is what the server said last; the rest is what the reader chose.
const $ = (name) => element.querySelector('[data-el="' + name + '"]');
const all = (selector) => [...element.querySelectorAll(selector)];
const SETTINGS = props.settings;
const LABELS = SETTINGS.labels;
const root = element.querySelector('.ich');

const S = {
  ask: 0,          // number of the study that was asked for last; answers to older ones are dropped
  told: null,
  token: null,     // of the study that is being read, before anything is known of it
  glimpse: null,   // {token, picture}: a slice that came before anything else was known
  series: 0,
  place: 0,        // in the series
  moved: false,    // by the reader: then nothing jumps to the worst slice any more
  window: [...SETTINGS.windows[0].slice(1)],
  mode: 'heat',
  label: 0,
  opacity: SETTINGS.opacity,
  compare: false,
  split: 0.5,
};

function make(tag, more, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(more || {})) {
    if (key === 'text') node.textContent = value;
    else if (key === 'on') for (const [name, does] of Object.entries(value)) node.addEventListener(name, does);
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function shape(tag, more) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(more || {})) node.setAttribute(key, value);
  return node;
}

const series = () => (S.told && S.told.series && S.told.series[S.series]) || null;
const slices = () => (series() ? series().slices : []);
const here = () => slices()[S.place] || null;            // [index, six or null, note, file]
const study = () => (series() ? S.told.studies[series().study] : null);
const percent = (p) => (p === null || p === undefined ? '–' : p.toFixed(2));

// Asks the server; what it refuses becomes one line on the page.
async function ask(name, what) {
  const answer = await server[name](what);
  if (!answer) throw new Error('The server cannot be reached.');
  if (answer.error) throw new Error(answer.error);
  return answer;
}

function complain(text) {
  $('error').hidden = !text;
  $('error').textContent = text ? text[0].toUpperCase() + text.slice(1) : '';
}
