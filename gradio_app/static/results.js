// Results: verdict, probability bars, notes, refused files, files to save.
const NAMES = { any: 'any hemorrhage' };
const labelName = (label) => NAMES[label] || label;

function drawBars() {
  const one = currentSlice();
  const six = one && one[1];
  const highest = currentStudy() && currentStudy().highest;
  const limits = (S.view && S.view.thresholds) || LABELS.map(() => null);
  $('current').textContent = one ? 'slice ' + (S.position + 1) + ' of ' + slices().length : '';
  const top = scaleTop();
  $('axis').replaceChildren(...[0, top / 2, top].map((value) => makeElement('span', { text: String(value) })));
  const box = $('bars');
  if (!box.children.length) {
    LABELS.forEach((label, at) => box.append(makeElement('button', { type: 'button', role: 'radio', class: 'ich-row ich-l' + at, on: { click: () => chooseLabel(at) } },
      makeElement('span', { class: 'ich-label', text: labelName(label) }), makeElement('span', { class: 'ich-meter' }, makeElement('i'), makeElement('b'), makeElement('u')), makeElement('span', { class: 'ich-value' }))));
  }
  [...box.children].forEach((row, at) => {
    const p = six ? six[at] : 0;
    const [fill, mark, limit] = row.querySelector('.ich-meter').children;
    fill.style.width = 100 * Math.min(1, p / top) + '%';
    mark.style.left = 100 * (highest ? Math.min(1, highest[at] / top) : 0) + '%'; mark.hidden = !highest;
    limit.style.left = 100 * Math.min(1, (limits[at] || 0) / top) + '%'; limit.hidden = limits[at] === null;
    row.lastChild.textContent = formatProbability(six && six[at]);
    const over = Boolean(six) && limits[at] !== null && six[at] >= limits[at];
    row.classList.toggle('ich-over', over);
    row.setAttribute('aria-checked', at === S.label);
    row.tabIndex = at === S.label ? 0 : -1;
    row.setAttribute('aria-label', labelName(LABELS[at]) + ' ' + formatProbability(six && six[at]) + (limits[at] === null ? '' : ', threshold ' + formatProbability(limits[at]) + (over ? ', reached' : '')));
  });
}

const waiting = () => root.dataset.busy === 'yes' || root.dataset.phase === 'empty';

function drawVerdict() {
  const box = $('verdict');
  const verdict = currentStudy() && currentStudy().verdict;
  box.dataset.tone = verdict ? verdict.tone : 'quiet';
  const several = S.view && S.view.studies && S.view.studies.length > 1;
  const lines = [];
  if (verdict) {
    lines.push(makeElement('strong', { text: verdict.text }));
    if (verdict.more) lines.push(makeElement('p', { text: verdict.more }));
    if (several) lines.push(makeElement('p', { text: 'Study ' + (currentSeries().study + 1) + ' of ' + S.view.studies.length + '.' }));
    if (S.view.example) lines.push(makeElement('p', { text: SETTINGS.example }));
  } else lines.push(makeElement('strong', { class: 'ich-dim', text: waiting() ? 'The verdict follows when all slices are done.' : 'No verdict.' }));
  box.replaceChildren(...lines);
}

function drawFaithfulness() {
  const one = currentSlice();
  const map = S.mode !== 'off' && one && S.view && maps.get(mapKey(one[0]));
  const head = 'Heat map for ' + labelName(LABELS[S.label]) + (map ? '.' : '…');
  $('faithfulness').textContent = !one ? '' : S.mode === 'off' ? 'No map is shown.' : map && map.note ? map.note : head + ' ' + (map ? map.faithfulness || 'Its maximum is the probability.' : '');
}

function drawLists() {
  const study = currentStudy();
  listInto($('quality'), 'Image quality', study ? study.quality : []);
  listInto($('notes'), 'Notes', study ? [study.note, ...study.notes].filter(Boolean) : []);
  const refused = (S.view && S.view.refused) || [];
  const shown = refused.slice(0, 50).map((one) => (one.file ? 'File ' + one.file + ': ' : '') + one.reason + (one.count > 1 ? ' (' + one.count + ' times)' : ''));
  if (refused.length > 50) shown.push('and ' + (refused.length - 50) + ' more');
  listInto($('refused'), refused.length + (refused.length === 1 ? ' file' : ' files') + ' not used', shown);
}

function listInto(box, head, lines) {
  box.hidden = !lines.length;
  const list = makeElement('ul', {}, ...lines.map((text) => makeElement('li', { text })));
  box.replaceChildren(makeElement('h2', { text: head }), list);
}

function drawSeries() {
  const found = (S.view && S.view.series) || [];
  const box = $('series');
  box.hidden = found.length < 2;
  const several = S.view && S.view.studies && S.view.studies.length > 1;
  box.replaceChildren(...(found.length < 2 ? [] : found.map((one, at) => {
    const predicted = one.slices.filter((s) => s[1]);
    const top = predicted.length ? Math.max(...predicted.map((s) => s[1][0])) : null;
    const name = (several ? 'Study ' + (one.study + 1) + ' · ' : '') + 'Series ' + (at + 1);
    const about = one.slices.length + (one.slices.length === 1 ? ' slice' : ' slices') + (one.thickness ? ' · ' + Number(one.thickness.toFixed(1)) + ' mm' : '');
    return makeElement('button', { type: 'button', role: 'tab', 'aria-selected': String(at === S.series), tabindex: at === S.series ? 0 : -1, on: { click: () => chooseSeries(at) } },
      makeElement('span', { text: name }), makeElement('small', { text: about }), makeElement('b', { text: formatProbability(top) }));
  })));
}

function drawExports() {
  const box = $('exports');
  if (!box.children.length) SETTINGS.exports.forEach(([format, name, about]) => box.append(makeElement('button', { type: 'button', 'data-export': format, title: about, text: name, on: { click: () => exportFile(format) } })));
  const ready = Boolean(S.view && S.view.phase === 'done' && currentSlice());
  for (const button of box.children) button.disabled = !ready;
}

async function exportFile(format) {
  const button = element.querySelector('[data-export="' + format + '"]');
  button.disabled = true;
  try {
    const result = await call('on_export', { ...mapParams(currentSlice()[0]), format });
    const bytes = Uint8Array.from(atob(result.data), (c) => c.charCodeAt(0));
    const link = makeElement('a', { href: URL.createObjectURL(new Blob([bytes], { type: result.type })), download: result.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) { showError(error.message); } finally { button.disabled = false; }
}

async function showCard() {
  try {
    const result = await call('on_card', { bundle: $('bundle').value });
    $('cardtext').innerHTML = result.html;   // rendered from Markdown by the server, without raw HTML
    $('card').showModal();
  } catch (error) { showError(error.message); }
}
