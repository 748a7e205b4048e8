// The strip along the series, a line a label; and the slices with the highest probability of any.
const HIGH = 1000;

function worst() {
  const rows = slices().map((one, at) => [one[1] ? one[1][0] : -1, at]).filter((one) => one[0] >= 0);
  return rows.sort((a, b) => b[0] - a[0]).slice(0, 6).map((one) => one[1]);
}

// Bars and strip end at the same probability: low ones would else be flat.
function scaleTop() {
  const limits = (S.told && S.told.thresholds) || [];
  const highest = ((S.told && S.told.studies) || []).flatMap((one) => one.highest || []);
  const most = Math.max(0, ...limits, ...highest);
  return [0.1, 0.2, 0.5, 1].find((top) => most <= top * 0.96) || 1;
}

function drawChart() {
  const rows = slices();
  const box = $('chart');
  if (!rows.length) { box.replaceChildren(); return; }
  const wide = rows.length;
  const top = scaleTop();
  const svg = shape('svg', { viewBox: '0 0 ' + wide + ' ' + HIGH, preserveAspectRatio: 'none', role: 'img' });
  svg.setAttribute('aria-label', 'Probabilities of the six labels along ' + wide + ' slices; a click goes to the slice.');
  for (const level of [0.25, 0.5, 0.75]) svg.append(shape('line', { x1: 0, x2: wide, y1: HIGH * level, y2: HIGH * level, class: 'ich-grid' }));
  const limit = HIGH * (1 - S.told.thresholds[S.label] / scaleTop());
  svg.append(shape('line', { x1: 0, x2: wide, y1: limit, y2: limit, class: 'ich-limit ich-l' + S.label }));
  const order = [...LABELS.keys()].filter((label) => label !== S.label).concat(S.label);
  for (const label of order) {
    for (const points of runs(rows, label, top)) {
      svg.append(shape('polyline', { points, class: 'ich-line ich-l' + label + (label === S.label ? ' ich-on' : '') }));
    }
  }
  svg.append(shape('rect', { x: 0, y: 0, width: 1, height: HIGH, class: 'ich-cursor' }));
  const scale = make('div', { class: 'ich-scale', 'aria-hidden': 'true' }, make('span', { text: String(top) }), make('span', { text: String(top / 2) }), make('span', { text: '0' }));
  box.replaceChildren(scale, svg);
  moveCursor();
}

function runs(rows, label, top) {   // unbroken pieces: a slice without an answer leaves a gap
  const found = [];
  let run = [];
  rows.forEach((one, at) => {
    if (one[1]) run.push((at + 0.5) + ',' + (HIGH * (1 - one[1][label] / top)));
    else if (run.length) { found.push(run); run = []; }
  });
  if (run.length) found.push(run);
  return found.map((points) => (points.length > 1 ? points : [points[0], (Number(points[0].split(',')[0]) + 0.2) + ',' + points[0].split(',')[1]])).map((points) => points.join(' '));
}

function moveCursor() {
  const cursor = $('chart').querySelector('.ich-cursor');
  if (cursor) cursor.setAttribute('x', S.place);
}

function chartPlace(event) {
  const svg = $('chart').querySelector('svg');
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  goTo(Math.floor(((event.clientX - box.left) / box.width) * slices().length));
}

function drawWorst() {
  const places = worst();
  const box = $('worst');
  const key = S.told ? [S.told.token, S.series, ...places].join(' ') : '';
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    box.replaceChildren(...places.map((place) => {
      const canvas = make('canvas', { width: 160, height: 160 });
      const button = make('button', { type: 'button', 'data-place': place, on: { click: () => goTo(place) } }, canvas, make('span'));
      return button;
    }));
  }
  for (const button of box.children) {
    const one = slices()[button.dataset.place];
    button.lastChild.textContent = (Number(button.dataset.place) + 1) + ' · ' + percent(one[1] && one[1][0]);
    button.setAttribute('aria-label', 'Slice ' + (Number(button.dataset.place) + 1) + ', any hemorrhage ' + percent(one[1] && one[1][0]));
    button.setAttribute('aria-pressed', Number(button.dataset.place) === S.place);
    thumbnail(button.firstChild, one[0]);
  }
}
