// Chart of the probabilities along the series, and the slices with the highest probability.
const CHART_HEIGHT = 1000;

function topSlices() {
  const rows = slices().map((one, at) => [one[1] ? one[1][0] : -1, at]).filter((one) => one[0] >= 0);
  return rows.sort((a, b) => b[0] - a[0]).slice(0, 6).map((one) => one[1]);
}

// Top of the scale of bars and chart; low probabilities would be flat on a scale up to 1.
function scaleTop() {
  const limits = (S.view && S.view.thresholds) || [];
  const highest = ((S.view && S.view.studies) || []).flatMap((one) => one.highest || []);
  const most = Math.max(0, ...limits, ...highest);
  return [0.1, 0.2, 0.5, 1].find((top) => most <= top * 0.96) || 1;
}

function drawChart() {
  const rows = slices();
  const box = $('chart');
  if (!rows.length) { box.replaceChildren(); return; }
  const wide = rows.length;
  const top = scaleTop();
  const svg = makeSvg('svg', { viewBox: '0 0 ' + wide + ' ' + CHART_HEIGHT, preserveAspectRatio: 'none', role: 'img' });
  svg.setAttribute('aria-label', 'Probabilities of the six labels along ' + wide + ' slices; click to show a slice.');
  for (const level of [0.25, 0.5, 0.75]) svg.append(makeSvg('line', { x1: 0, x2: wide, y1: CHART_HEIGHT * level, y2: CHART_HEIGHT * level, class: 'ich-grid' }));
  const limit = CHART_HEIGHT * (1 - S.view.thresholds[S.label] / scaleTop());
  svg.append(makeSvg('line', { x1: 0, x2: wide, y1: limit, y2: limit, class: 'ich-limit ich-l' + S.label }));
  const order = [...LABELS.keys()].filter((label) => label !== S.label).concat(S.label);
  for (const label of order) {
    for (const points of segments(rows, label, top)) {
      svg.append(makeSvg('polyline', { points, class: 'ich-line ich-l' + label + (label === S.label ? ' ich-on' : '') }));
    }
  }
  svg.append(makeSvg('rect', { x: 0, y: 0, width: 1, height: CHART_HEIGHT, class: 'ich-cursor' }));
  const scale = makeElement('div', { class: 'ich-scale', 'aria-hidden': 'true' }, makeElement('span', { text: String(top) }), makeElement('span', { text: String(top / 2) }), makeElement('span', { text: '0' }));
  box.replaceChildren(scale, svg);
  moveCursor();
}

function segments(rows, label, top) {   // unbroken line segments; a slice without probabilities leaves a gap
  const found = [];
  let run = [];
  rows.forEach((one, at) => {
    if (one[1]) run.push((at + 0.5) + ',' + (CHART_HEIGHT * (1 - one[1][label] / top)));
    else if (run.length) { found.push(run); run = []; }
  });
  if (run.length) found.push(run);
  return found.map((points) => (points.length > 1 ? points : [points[0], (Number(points[0].split(',')[0]) + 0.2) + ',' + points[0].split(',')[1]])).map((points) => points.join(' '));
}

function moveCursor() {
  const cursor = $('chart').querySelector('.ich-cursor');
  if (cursor) cursor.setAttribute('x', S.position);
}

function goToPointer(event) {
  const svg = $('chart').querySelector('svg');
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  goTo(Math.floor(((event.clientX - box.left) / box.width) * slices().length));
}

function drawTopSlices() {
  const places = topSlices();
  const box = $('topslices');
  const key = S.view ? [S.view.token, S.series, ...places].join(' ') : '';
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    box.replaceChildren(...places.map((position) => {
      const canvas = makeElement('canvas', { width: 160, height: 160 });
      const button = makeElement('button', { type: 'button', 'data-position': position, on: { click: () => goTo(position) } }, canvas, makeElement('span'));
      return button;
    }));
  }
  for (const button of box.children) {
    const one = slices()[button.dataset.position];
    button.lastChild.textContent = (Number(button.dataset.position) + 1) + ' · ' + formatProbability(one[1] && one[1][0]);
    button.setAttribute('aria-label', 'Slice ' + (Number(button.dataset.position) + 1) + ', any hemorrhage ' + formatProbability(one[1] && one[1][0]));
    button.setAttribute('aria-pressed', Number(button.dataset.position) === S.position);
    thumbnail(button.firstChild, one[0]);
  }
}
