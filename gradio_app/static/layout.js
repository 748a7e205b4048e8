// User actions and view states from the server.
function goTo(position) {
  if (!slices().length) return;
  S.position = Math.max(0, Math.min(slices().length - 1, position));
  S.moved = true;
  drawSlice();
  fetchAhead();
  requestMap();
}

function drawSlice() {
  const count = slices().length;
  const slider = $('slider');
  slider.max = Math.max(count, 1);
  slider.disabled = count < 2;
  slider.value = S.position + 1;
  slider.setAttribute('aria-valuetext', 'Slice ' + (S.position + 1) + ' of ' + count);
  $('count').textContent = count ? (S.position + 1) + ' / ' + count : '';
  const one = currentSlice();
  const files = one && slices().some((other) => other[3] !== one[3]);   // a zip counts as one file
  $('position').textContent = one ? 'Slice ' + (S.position + 1) + ' of ' + count : '';
  $('file').textContent = files && !S.view.example ? 'file ' + one[3] : '';
  $('probability').textContent = one && one[1] ? 'any ' + formatProbability(one[1][0]) : '';
  paint(); moveCursor(); drawBars(); drawFaithfulness(); drawTopSlices();
}

function drawAll() {
  drawSeries(); drawChart(); drawSlice(); drawVerdict(); drawLists(); drawExports();
}

function onSliceLoaded(index) {
  if (currentSlice() && currentSlice()[0] === index) { paint(); requestMap(); }
  const at = topSlices().find((position) => slices()[position][0] === index);
  if (at !== undefined) drawTopSlices();
}

function setWindow(center, width) {
  S.window = [Math.round(center), Math.max(1, Math.round(width))];
  $('center').value = S.window[0];
  $('width').value = S.window[1];
  [...$('windows').children].forEach((button, at) => button.setAttribute('aria-pressed', SETTINGS.windows[at][1] === S.window[0] && SETTINGS.windows[at][2] === S.window[1]));
  paint(); drawTopSlices();
}

function setMode(mode) {
  S.mode = mode;
  all('[data-mode]').forEach((button) => button.setAttribute('aria-pressed', button.dataset.mode === mode));
  $('opacity').disabled = mode === 'off';
  element.querySelector('[data-do=compare]').disabled = mode === 'off';
  setCompare(S.compare && mode !== 'off');
  requestMap(); drawFaithfulness();
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
  drawChart(); drawBars(); paint(); drawFaithfulness(); requestMap();
}

function chooseSeries(at) {
  S.series = at; S.moved = false;
  S.position = topSlices()[0] ?? Math.floor(slices().length / 2);
  drawAll(); fetchAhead(); requestMap();
}

function setTheme(dark) {
  document.body.classList.toggle('dark', dark);
  try { localStorage.setItem('ich-theme', dark ? 'dark' : 'light'); } catch { /* private window */ }
}

// Phases: 'empty' before the first view state, then the phase of the view state.
function showProgress(share, text, cancel = true) {
  root.dataset.busy = 'yes';
  $('bar').style.width = 100 * Math.max(0.02, Math.min(1, share)) + '%';
  $('status').textContent = text;
  element.querySelector('[data-do=cancel]').hidden = !cancel;
}

function showIdle(text) {
  root.dataset.busy = 'no';
  $('status').textContent = text;
  $('bar').style.width = '0';
  element.querySelector('[data-do=cancel]').hidden = true;
}

function startLoading(text) {
  S.view = null; S.token = null; S.series = 0; S.position = 0; S.moved = false;
  clearCaches();
  root.dataset.phase = 'loading';
  showProgress(0, text);
  drawAll();
}

function showFailure(text) {
  root.dataset.phase = 'failed';
  showIdle('');
  showError(text);
  drawAll();
}

function applyState(state) {
  if (!state || (state.request || 0) !== S.request) return;
  if (state.token) S.token = state.token;
  const before = S.view && S.view.token === state.token ? S.view : null;
  root.dataset.phase = state.phase;
  if (state.phase === 'failed') { S.view = null; return showFailure(state.message); }
  if (state.phase === 'waiting') return showProgress(0, state.ahead === 1 ? 'Waiting: 1 study ahead' : 'Waiting: ' + state.ahead + ' studies ahead');
  if (state.preview) showPreview(state.token, state.preview);
  if (!state.series) { if (state.phase === 'cancelled') return showIdle('Cancelled'); return showProgress(0.02, state.message || 'Reading', !state.example); }
  S.view = state;
  if (!before) openAtPreview(state);
  if (S.series >= state.series.length) S.series = 0;
  if (state.phase === 'predicting') showProgress(state.done / (state.total || 1), state.done + ' of ' + state.total + ' slices', !state.example);
  else showIdle(state.phase === 'cancelled' ? 'Cancelled after ' + state.done + ' of ' + state.total : '');
  if (state.phase === 'done' && !state.series.length) showError('No slice could be read; the reasons are listed under the probabilities.');
  if (state.phase === 'done' && !S.moved) {
    const tops = state.series.map((one) => Math.max(0, ...one.slices.map((s) => (s[1] ? s[1][0] : 0))));
    S.series = Math.max(0, tops.indexOf(Math.max(...tops)));
    S.position = topSlices()[0] ?? 0;
  }
  S.position = Math.min(S.position, Math.max(0, slices().length - 1));
  $('bundle').value = state.bundle;
  drawAll(); fetchAhead(); requestMap();
}

// Open a study at the slice of the preview, or in the middle.
function openAtPreview(state) {
  const at = state.series.findIndex((one) => one.slices.some((s) => s[0] === state.first));
  S.series = Math.max(0, at);
  S.position = at < 0 ? Math.floor(slices().length / 2) : slices().findIndex((s) => s[0] === state.first);
  usePreview();
}

function switchBundle(bundle) {
  const token = S.view && S.view.token;
  $('caveat').textContent = SETTINGS.caveats[bundle];
  trigger('study', { request: ++S.request, token, example: !token || S.view.example, bundle });
}
