// The answer: verdict, bars, notes, what was refused, files to save.
const NAMES = { any: 'any hemorrhage' };
const title = (label) => NAMES[label] || label;

function drawBars() {
  const one = here();
  const six = one && one[1];
  const highest = study() && study().highest;
  const limits = (S.told && S.told.thresholds) || LABELS.map(() => null);
  $('which').textContent = one ? 'slice ' + (S.place + 1) + ' of ' + slices().length : '';
  const top = scaleTop();
  $('axis').replaceChildren(...[0, top / 2, top].map((value) => make('span', { text: String(value) })));
  const box = $('bars');
  if (!box.children.length) {
    LABELS.forEach((label, at) => box.append(make('button', { type: 'button', role: 'radio', class: 'ich-row ich-l' + at, on: { click: () => chooseLabel(at) } },
      make('span', { class: 'ich-label', text: title(label) }), make('span', { class: 'ich-meter' }, make('i'), make('b'), make('u')), make('span', { class: 'ich-value' }))));
  }
  [...box.children].forEach((row, at) => {
    const p = six ? six[at] : 0;
    const [fill, mark, limit] = row.querySelector('.ich-meter').children;
    fill.style.width = 100 * Math.min(1, p / top) + '%';
    mark.style.left = 100 * (highest ? Math.min(1, highest[at] / top) : 0) + '%'; mark.hidden = !highest;
    limit.style.left = 100 * Math.min(1, (limits[at] || 0) / top) + '%'; limit.hidden = limits[at] === null;
    row.lastChild.textContent = percent(six && six[at]);
    const over = Boolean(six) && limits[at] !== null && six[at] >= limits[at];
    row.classList.toggle('ich-over', over);
    row.setAttribute('aria-checked', at === S.label);
    row.tabIndex = at === S.label ? 0 : -1;
    row.setAttribute('aria-label', title(LABELS[at]) + ' ' + percent(six && six[at]) + (limits[at] === null ? '' : ', threshold ' + percent(limits[at]) + (over ? ', reached' : '')));
  });
}

const waiting = () => root.dataset.busy === 'yes' || root.dataset.phase === 'empty';

function drawVerdict() {
  const box = $('verdict');
  const verdict = study() && study().verdict;
  box.dataset.tone = verdict ? verdict.tone : 'quiet';
  const several = S.told && S.told.studies && S.told.studies.length > 1;
  const lines = [];
  if (verdict) {
    lines.push(make('strong', { text: verdict.text }));
    if (verdict.more) lines.push(make('p', { text: verdict.more }));
    if (several) lines.push(make('p', { text: 'Study ' + (series().study + 1) + ' of ' + S.told.studies.length + '.' }));
    if (S.told.example) lines.push(make('p', { text: SETTINGS.example }));
  } else lines.push(make('strong', { class: 'ich-dim', text: waiting() ? 'The answer comes when all slices are done.' : 'No answer.' }));
  box.replaceChildren(...lines);
}

function drawFaith() {
  const one = here();
  const map = S.mode !== 'off' && one && S.told && maps.get(mapName(one[0]));
  const head = 'Where the model looked for ' + title(LABELS[S.label]) + (map ? '.' : '…');
  $('faith').textContent = !one ? '' : S.mode === 'off' ? 'No map is shown.' : map && map.note ? map.note : head + ' ' + (map ? map.faith || 'Its peak is the probability.' : '');
}

function drawLists() {
  const notes = (study() && study().notes) || [];
  listInto($('quality'), 'Image quality', notes);
  const refused = (S.told && S.told.refused) || [];
  const shown = refused.slice(0, 50).map((one) => (one.file ? 'File ' + one.file + ': ' : '') + one.reason + (one.count > 1 ? ' (' + one.count + ' times)' : ''));
  if (refused.length > 50) shown.push('and ' + (refused.length - 50) + ' more');
  listInto($('refused'), refused.length + (refused.length === 1 ? ' file' : ' files') + ' not used', shown);
}

function listInto(box, head, lines) {
  box.hidden = !lines.length;
  const list = make('ul', {}, ...lines.map((text) => make('li', { text })));
  box.replaceChildren(make('h2', { text: head }), list);
}

function drawSeries() {
  const found = (S.told && S.told.series) || [];
  const box = $('series');
  box.hidden = found.length < 2;
  const several = S.told && S.told.studies && S.told.studies.length > 1;
  box.replaceChildren(...(found.length < 2 ? [] : found.map((one, at) => {
    const answered = one.slices.filter((s) => s[1]);
    const top = answered.length ? Math.max(...answered.map((s) => s[1][0])) : null;
    const name = (several ? 'Study ' + (one.study + 1) + ' · ' : '') + 'Series ' + (at + 1);
    const about = one.slices.length + (one.slices.length === 1 ? ' slice' : ' slices') + (one.thickness ? ' · ' + Number(one.thickness.toFixed(1)) + ' mm' : '');
    return make('button', { type: 'button', role: 'tab', 'aria-selected': String(at === S.series), tabindex: at === S.series ? 0 : -1, on: { click: () => chooseSeries(at) } },
      make('span', { text: name }), make('small', { text: about }), make('b', { text: percent(top) }));
  })));
}

function drawSaves() {
  const box = $('saves');
  if (!box.children.length) SETTINGS.saves.forEach(([kind, name, about]) => box.append(make('button', { type: 'button', 'data-save': kind, title: about, text: name, on: { click: () => save(kind) } })));
  const ready = Boolean(S.told && S.told.phase === 'done' && here());
  for (const button of box.children) button.disabled = !ready;
}

async function save(kind) {
  const button = element.querySelector('[data-save="' + kind + '"]');
  button.disabled = true;
  try {
    const answer = await ask('on_save', { token: S.told.token, bundle: S.told.bundle, index: here()[0], label: LABELS[S.label], kind });
    const bytes = Uint8Array.from(atob(answer.data), (c) => c.charCodeAt(0));
    const link = make('a', { href: URL.createObjectURL(new Blob([bytes], { type: answer.type })), download: answer.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) { complain(error.message); } finally { button.disabled = false; }
}

async function showCard() {
  try {
    const answer = await ask('on_card', { bundle: $('bundle').value });
    $('cardtext').innerHTML = answer.html;   // made by the server from Markdown, raw HTML left out
    $('card').showModal();
  } catch (error) { complain(error.message); }
}
