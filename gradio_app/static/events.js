// Event handlers: mouse, touch, keyboard, drag and drop.
const actions = {
  pick: () => $('files').click(),
  pickfolder: () => $('folder').click(),
  example: () => { startLoading('Reading'); trigger('study', { request: ++S.request, example: true, bundle: $('bundle').value }); },
  cancel: () => { if (uploading && uploading.readyState < 4) { uploading.abort(); S.request++; showIdle('Cancelled'); root.dataset.phase = 'cancelled'; } else call('on_cancel', { token: S.token }).catch((error) => showError(error.message)); },
  card: showCard,
  theme: () => setTheme(!document.body.classList.contains('dark')),
  compare: () => setCompare(!S.compare),
  previous: () => goTo(S.position - 1),
  next: () => goTo(S.position + 1),
};
all('[data-do]').forEach((button) => button.addEventListener('click', () => actions[button.dataset.do]()));
all('[data-mode]').forEach((button) => button.addEventListener('click', () => setMode(button.dataset.mode)));
SETTINGS.windows.forEach(([name, center, width]) => $('windows').append(makeElement('button', { type: 'button', text: name, title: center + ' / ' + width + ' HU', on: { click: () => setWindow(center, width) } })));
SETTINGS.bundles.forEach((name) => $('bundle').append(makeElement('option', { value: name, text: name })));
$('bundle').disabled = SETTINGS.bundles.length < 2;
$('bundle').addEventListener('change', (event) => switchBundle(event.target.value));
$('slider').addEventListener('input', (event) => goTo(event.target.value - 1));
$('opacity').addEventListener('input', (event) => { S.opacity = event.target.value / 100; paint(); });
$('splitter').addEventListener('input', (event) => setSplit(event.target.value / 100));
for (const name of ['center', 'width']) $(name).addEventListener('change', () => setWindow(Number($('center').value) || 0, Number($('width').value) || 1));
for (const name of ['files', 'folder']) $(name).addEventListener('change', (event) => { const files = [...event.target.files]; event.target.value = ''; openFiles(files); });

let turned = 0;
$('stage').addEventListener('wheel', (event) => {
  event.preventDefault();
  turned += event.deltaMode ? event.deltaY * 30 : event.deltaY;
  const steps = Math.trunc(turned / 50);
  if (steps) { turned -= steps * 50; goTo(S.position + Math.max(-3, Math.min(3, steps))); }
}, { passive: false });

const keys = {
  ArrowUp: () => goTo(S.position + 1), ArrowRight: () => goTo(S.position + 1),
  ArrowDown: () => goTo(S.position - 1), ArrowLeft: () => goTo(S.position - 1),
  PageUp: () => goTo(S.position + 5), PageDown: () => goTo(S.position - 5),
  Home: () => goTo(0), End: () => goTo(slices().length - 1),
  m: () => setMode(S.mode === 'off' ? 'heat' : 'off'), c: () => S.mode !== 'off' && setCompare(!S.compare),
};
SETTINGS.windows.forEach((one, at) => { keys[at + 1] = () => setWindow(one[1], one[2]); });
element.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || $('card').open) return;
  if (event.target.closest('[role=radiogroup],[role=tablist]') && event.key.startsWith('Arrow')) return moveFocus(event);
  const does = keys[event.key] || keys[event.key.toLowerCase()];
  if (does) { event.preventDefault(); does(); }
});

function moveFocus(event) {
  const group = [...event.target.parentElement.children];
  const step = event.key === 'ArrowDown' || event.key === 'ArrowRight' ? 1 : -1;
  const next = (group.indexOf(event.target) + step + group.length) % group.length;
  event.preventDefault();
  group[next].click();
  const now = [...(event.target.isConnected ? event.target.parentElement : $('series')).children];
  now[next].focus();
}

// Dragging with the mouse changes the window or moves the split; with a finger it scrolls.
let drag = null;
$('stage').addEventListener('pointerdown', (event) => {
  if (event.target === $('splitter') || event.button) return;
  const split = S.compare && Math.abs(event.offsetX - $('split').offsetLeft) < 18;
  drag = { x: event.clientX, y: event.clientY, window: S.window, position: S.position, split, touch: event.pointerType === 'touch' };
  $('stage').setPointerCapture(event.pointerId);
});
$('stage').addEventListener('pointermove', (event) => {
  showHu(event);
  if (!drag) return;
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
  if (drag.split) { const box = $('stage').getBoundingClientRect(); setSplit((event.clientX - box.left) / box.width); }
  else if (drag.touch) goTo(drag.position + Math.round(dx / 12));
  else if (Math.hypot(dx, dy) > 3) setWindow(drag.window[0] + dy, Math.max(1, drag.window[1] + dx));
});
for (const name of ['pointerup', 'pointercancel']) $('stage').addEventListener(name, () => { drag = null; });
$('stage').addEventListener('pointerleave', () => { $('hu').textContent = ''; });

function showHu(event) {   // HU at the pointer
  const one = currentSlice();
  const picture = one && pictures.get(sliceKey(one[0]));
  if (!picture) return;
  const box = $('stage').getBoundingClientRect();
  const rect = fit(picture, box.width, box.height);
  const [column, row] = [Math.floor(((event.clientX - box.left - rect.x) / rect.w) * picture.columns), Math.floor(((event.clientY - box.top - rect.y) / rect.h) * picture.rows)];
  const inside = column >= 0 && row >= 0 && column < picture.columns && row < picture.rows;
  $('hu').textContent = inside ? picture.hu[row * picture.columns + column] + ' HU' : '';
}

let chartDrag = false;
$('chart').addEventListener('pointerdown', (event) => { chartDrag = true; $('chart').setPointerCapture(event.pointerId); goToPointer(event); });
$('chart').addEventListener('pointermove', (event) => chartDrag && goToPointer(event));
for (const name of ['pointerup', 'pointercancel']) $('chart').addEventListener(name, () => { chartDrag = false; });

let dragDepth = 0;
const isFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes('Files');
document.addEventListener('dragenter', (event) => { if (isFiles(event)) { dragDepth++; root.classList.add('ich-dropping'); } });
document.addEventListener('dragleave', (event) => { if (isFiles(event) && --dragDepth <= 0) root.classList.remove('ich-dropping'); });
document.addEventListener('dragover', (event) => { if (isFiles(event)) event.preventDefault(); });
document.addEventListener('drop', async (event) => {
  if (!isFiles(event)) return;
  event.preventDefault();
  dragDepth = 0; root.classList.remove('ich-dropping');
  try { openFiles(await droppedFiles(event.dataTransfer)); } catch { showError('The dropped files cannot be read; choose them with the buttons.'); }
});

// Gradio links the manifest from the host's root and without credentials; fix both for proxies.
const manifest = document.querySelector('link[rel=manifest]');
if (manifest) { manifest.crossOrigin = 'use-credentials'; manifest.href = pageRoot() + '/manifest.json'; }

let theme = null;
try { theme = localStorage.getItem('ich-theme'); } catch { /* private window */ }
setTheme(theme !== 'light');
$('caveat').textContent = SETTINGS.caveats[SETTINGS.bundles[0]];
setWindow(...S.window); setMode(S.mode); drawAll();
new ResizeObserver(() => paint()).observe($('stage'));
watch('value', () => { if (props.value) applyState(JSON.parse(props.value)); });
if (props.value) applyState(JSON.parse(props.value)); else showProgress(0.02, 'Reading', false);
