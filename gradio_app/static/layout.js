// What the reader does, and what the server tells.
function goTo(place, byReader = true) {
  if (!slices().length) return;
  S.place = Math.max(0, Math.min(slices().length - 1, place));
  if (byReader) S.moved = true;
  drawPlace();
  fetchAhead();
  wishMap();
}

function drawPlace() {
  const count = slices().length;
  const slider = $('slider');
  slider.max = Math.max(count, 1);
  slider.disabled = count < 2;
  slider.value = S.place + 1;
  slider.setAttribute('aria-valuetext', 'Slice ' + (S.place + 1) + ' of ' + count);
  $('count').textContent = count ? (S.place + 1) + ' / ' + count : '';
  const one = here();
  const files = one && slices().some((other) => other[3] !== one[3]);   // of a zip there is but one
  $('where').textContent = one ? 'Slice ' + (S.place + 1) + ' of ' + count : '';
  $('file').textContent = files && !S.told.example ? 'file ' + one[3] : '';
  $('what').textContent = one && one[1] ? 'any ' + percent(one[1][0]) : '';
  paint(); moveCursor(); drawBars(); drawFaith(); drawWorst();
}

function drawAll() {
  drawSeries(); drawChart(); drawPlace(); drawVerdict(); drawLists(); drawSaves();
}

function arrived(index) {
  if (here() && here()[0] === index) { paint(); wishMap(); }
  const at = worst().find((place) => slices()[place][0] === index);
  if (at !== undefined) drawWorst();
}

function setWindow(center, width) {
  S.window = [Math.round(center), Math.max(1, Math.round(width))];
  $('center').value = S.window[0];
  $('width').value = S.window[1];
  [...$('windows').children].forEach((button, at) => button.setAttribute('aria-pressed', SETTINGS.windows[at][1] === S.window[0] && SETTINGS.windows[at][2] === S.window[1]));
  paint(); drawWorst();
}

function setMode(mode) {
  S.mode = mode;
  all('[data-mode]').forEach((button) => button.setAttribute('aria-pressed', button.dataset.mode === mode));
  $('opacity').disabled = mode === 'off';
  element.querySelector('[data-do=compare]').disabled = mode === 'off';
  setCompare(S.compare && mode !== 'off');
  wishMap(); drawFaith();
}

function setCompare(on) {
  S.compare = on;
  element.querySelector('[data-do=compare]').setAttribute('aria-pressed', on);
  $('split').hidden = $('splitter').hidden = !on;
  setSplit(S.split);
}

function setSplit(split) {
  S.split = Math.max(0, Math.min(1, split));
  $('split').style.left = 100 * S.split + '%';
  $('splitter').value = 100 * S.split;
  paint();
}

function chooseLabel(label) {
  S.label = label;
  if (S.mode === 'off') setMode('heat');
  drawChart(); drawBars(); paint(); drawFaith(); wishMap();
}

function chooseSeries(at) {
  S.series = at; S.moved = false;
  S.place = worst()[0] ?? Math.floor(slices().length / 2);
  drawAll(); fetchAhead(); wishMap();
}

function setTheme(dark) {
  document.body.classList.toggle('dark', dark);
  try { localStorage.setItem('ich-theme', dark ? 'dark' : 'light'); } catch { /* private window */ }
}

// Phases: 'empty' until the first answer, then as the server says.
function progress(share, text, cancel = true) {
  root.dataset.busy = 'yes';
  $('bar').style.width = 100 * Math.max(0.02, Math.min(1, share)) + '%';
  $('status').textContent = text;
  element.querySelector('[data-do=cancel]').hidden = !cancel;
}

function rest(text) {
  root.dataset.busy = 'no';
  $('status').textContent = text;
  $('bar').style.width = '0';
  element.querySelector('[data-do=cancel]').hidden = true;
}

function begin(text) {
  S.told = null; S.token = null; S.series = 0; S.place = 0; S.moved = false;
  forget();
  root.dataset.phase = 'loading';
  progress(0, text);
  drawAll();
}

function failed(text) {
  root.dataset.phase = 'failed';
  rest('');
  complain(text);
  drawAll();
}

function listen(state) {
  if (!state || (state.ask || 0) !== S.ask) return;
  if (state.token) S.token = state.token;
  const before = S.told && S.told.token === state.token ? S.told : null;
  root.dataset.phase = state.phase;
  if (state.phase === 'failed') { S.told = null; return failed(state.message); }
  if (state.phase === 'waiting') return progress(0, state.ahead === 1 ? 'One study is before yours' : state.ahead + ' studies are before yours');
  if (state.picture) showGlimpse(state.token, state.picture);
  if (!state.series) { if (state.phase === 'cancelled') return rest('Cancelled'); return progress(0.02, state.message || 'Reading', !state.example); }
  S.told = state;
  if (!before) begins(state);
  if (S.series >= state.series.length) S.series = 0;
  if (state.phase === 'predicting') progress(state.done / (state.total || 1), state.done + ' of ' + state.total + ' slices', !state.example);
  else rest(state.phase === 'cancelled' ? 'Cancelled after ' + state.done + ' of ' + state.total : '');
  if (state.phase === 'done' && !state.series.length) complain('No slice could be read; the reasons stand beside the picture.');
  if (state.phase === 'done' && !S.moved) {
    const tops = state.series.map((one) => Math.max(0, ...one.slices.map((s) => (s[1] ? s[1][0] : 0))));
    S.series = Math.max(0, tops.indexOf(Math.max(...tops)));
    S.place = worst()[0] ?? 0;
  }
  S.place = Math.min(S.place, Math.max(0, slices().length - 1));
  $('bundle').value = state.bundle;
  drawAll(); fetchAhead(); wishMap();
}

// Where a study is opened: at the slice that is on show already, else in the middle.
function begins(state) {
  const at = state.series.findIndex((one) => one.slices.some((s) => s[0] === state.first));
  S.series = Math.max(0, at);
  S.place = at < 0 ? Math.floor(slices().length / 2) : slices().findIndex((s) => s[0] === state.first);
  adoptGlimpse();
}

function again(bundle) {
  const token = S.told && S.told.token;
  $('caveat').textContent = SETTINGS.caveats[bundle];
  trigger('study', { ask: ++S.ask, token, example: !token || S.told.example, bundle });
}
