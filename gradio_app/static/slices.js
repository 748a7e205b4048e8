// Slices and maps: fetched ahead, decoded and cached, so that scrolling needs no request.
const MAX_CACHED_BYTES = 160e6;
const pictures = new Map();   // 'token index' → {hu, rows, columns, aspect, letters}, or null while it is fetched
const maps = new Map();       // 'token bundle index label' → {values, faithfulness, note}, or null while it is fetched
let cachedBytes = 0;
let pending = [];
let mapTimer = 0;
let fetching = 0;

async function inflate(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

async function decodeSlice(result) {
  return { ...result, hu: undoDeltas(new Int16Array(await inflate(result.hu)), result.columns) };
}

function undoDeltas(steps, columns) {   // values are stored as differences to the left neighbour
  for (let at = 0; at < steps.length; at++) if (at % columns) steps[at] += steps[at - 1];
  return steps;
}

const sliceKey = (index) => S.view.token + ' ' + index;

// Fetch the current slice first, then the thumbnails, then the others by distance.
function fetchAhead() {
  if (!S.view || !S.view.token) return;
  const near = slices().map((one, at) => [Math.abs(at - S.position), one[0]]).sort((a, b) => a[0] - b[0]);
  const order = [...near.slice(0, 3), ...topSlices().map((at) => [0, slices()[at][0]]), ...near.slice(3, 240)];
  pending = [...new Set(order.map((one) => one[1]))].filter((index) => !pictures.has(sliceKey(index)));
  while (fetching < 3 && pending.length) fetchNext();
}

async function fetchNext() {
  if (!S.view) { pending = []; return; }   // the study was closed
  const index = pending.shift();
  const name = sliceKey(index);
  const token = S.view.token;
  pictures.set(name, null);
  fetching++;
  try {
    const result = await call('on_slice', { token, index });
    cacheSlice(name, await decodeSlice(result));
    if (S.view && S.view.token === token) onSliceLoaded(index);
  } catch (error) {
    pictures.delete(name);
    if (S.view && S.view.token === token) { pending = []; showError(error.message); }
  } finally {
    fetching--;
    if (pending.length) fetchNext();
  }
}

// Show the slice that is sent before the scan; it stays current afterwards.
async function showPreview(token, result) {
  const picture = await decodeSlice(result);
  if (S.token !== token) return;
  S.preview = { token, picture };
  if (S.view) usePreview();
  paint();
}

function usePreview() {
  if (!S.preview || S.preview.token !== S.view.token || S.view.first === null) return;
  if (!pictures.get(sliceKey(S.view.first))) cacheSlice(sliceKey(S.view.first), S.preview.picture);
  S.preview = null;
}

function cacheSlice(name, picture) {
  pictures.set(name, picture);
  cachedBytes += picture.hu.byteLength;
  for (const [old, one] of pictures) {
    if (cachedBytes <= MAX_CACHED_BYTES) break;
    if (one && old !== name) { cachedBytes -= one.hu.byteLength; pictures.delete(old); }
  }
}

function clearCaches() {
  clearTimeout(mapTimer);
  pictures.clear(); maps.clear(); cachedBytes = 0; pending = []; S.preview = null;
}

const mapKey = (index) => [S.view.token, S.view.bundle, index, S.label].join(' ');
const mapParams = (index) => ({ token: S.view.token, bundle: S.view.bundle, index, label: LABELS[S.label] });
const isCurrentMap = (key) => S.view && currentSlice() && mapKey(currentSlice()[0]) === key;

// Request the map when the user stays at a slice that has its probabilities.
function requestMap() {
  clearTimeout(mapTimer);
  const one = currentSlice();
  if (S.mode === 'off' || !one || !one[1]) return;
  const key = mapKey(one[0]);
  if (maps.get(key)) mapTimer = setTimeout(() => fetchFaithfulness(one[0], key), 600);
  else if (!maps.has(key)) mapTimer = setTimeout(() => fetchMap(one[0], key), 90);
}

async function fetchMap(index, name) {
  if (!S.view || maps.has(name)) return;
  maps.set(name, null);
  try {
    const result = await call('on_map', mapParams(index));
    if (result.stale) { maps.delete(name); return; }
    maps.set(name, { values: undoDeltas(new Uint8Array(await inflate(result.map)), result.columns), faithfulness: '', note: result.note });
    while (maps.size > 200) maps.delete(maps.keys().next().value);
    if (isCurrentMap(name)) { paint(); drawFaithfulness(); requestMap(); }
  } catch (error) {
    maps.set(name, { values: null, note: error.message });
    if (isCurrentMap(name)) drawFaithfulness();
  }
}

// Request the faithfulness when the user stays longer: it takes a dozen model runs.
async function fetchFaithfulness(index, name) {
  const map = maps.get(name);
  if (!S.view || !map || map.note || map.faithfulness || map.requested) return;
  map.requested = true;
  try {
    const result = await call('on_faithfulness', mapParams(index));
    map.faithfulness = result.text || '';
    map.requested = !result.stale;
    if (isCurrentMap(name)) drawFaithfulness();
  } catch (error) { map.faithfulness = error.message; }
}
