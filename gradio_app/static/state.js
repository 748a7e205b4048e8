// State of the page: the view state that the server sent last, and what the user chose.
const $ = (name) => element.querySelector('[data-el="' + name + '"]');
const all = (selector) => [...element.querySelectorAll(selector)];
const SETTINGS = props.settings;
const LABELS = SETTINGS.labels;
const root = element.querySelector('.ich');

const S = {
  request: 0,      // number of the latest study request; view states of older ones are dropped
  view: null,      // latest view state of a study
  token: null,     // token of the study, known before its first view state
  preview: null,   // {token, picture}: a slice sent before the scan
  series: 0,
  position: 0,     // in the series
  moved: false,    // the user has moved: do not jump to the top slice any more
  window: [...SETTINGS.windows[0].slice(1)],
  mode: 'heat',
  label: 0,
  opacity: SETTINGS.opacity,
  compare: false,
  split: 0.5,
};

function makeElement(tag, more, ...children) {
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

function makeSvg(tag, more) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(more || {})) node.setAttribute(key, value);
  return node;
}

const currentSeries = () => (S.view && S.view.series && S.view.series[S.series]) || null;
const slices = () => (currentSeries() ? currentSeries().slices : []);
const currentSlice = () => slices()[S.position] || null;   // [index, six or null, note, file]
const currentStudy = () => (currentSeries() ? S.view.studies[currentSeries().study] : null);
const formatProbability = (p) => (p === null || p === undefined ? '–' : p.toFixed(2));

// Call a server function; throws its error message.
async function call(name, params) {
  const result = await server[name](params);
  if (!result) throw new Error('The server cannot be reached; check your connection and reload the page.');
  if (result.error) throw new Error(result.error);
  return result;
}

function showError(text) {
  $('error').hidden = !text;
  $('error').textContent = text ? text[0].toUpperCase() + text.slice(1) : '';
}
