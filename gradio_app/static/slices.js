// Slices and maps: fetched ahead, unpacked, kept while there is room, painted without the server.
const KEPT_BYTES = 160e6;
const pictures = new Map();   // 'token index' → {hu, rows, columns, aspect, letters}
const maps = new Map();       // 'token bundle index label' → Uint8Array, or null while it is made
let held = 0;
let wishes = [];
let mapTimer = 0;
let fetching = 0;

async function unpack(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

async function unpackSlice(answer) {
  return { ...answer, hu: undo(new Int16Array(await unpack(answer.hu)), answer.columns) };
}

function undo(steps, columns) {   // each value was stored less its left neighbour
  for (let at = 0; at < steps.length; at++) if (at % columns) steps[at] += steps[at - 1];
  return steps;
}

const nameOf = (index) => S.told.token + ' ' + index;

// The slice on show first, then the thumbnails, then the others outward from the slice on show.
function fetchAhead() {
  if (!S.told || !S.told.token) return;
  const near = slices().map((one, at) => [Math.abs(at - S.place), one[0]]).sort((a, b) => a[0] - b[0]);
  const order = [...near.slice(0, 3), ...worst().map((at) => [0, slices()[at][0]]), ...near.slice(3, 240)];
  wishes = [...new Set(order.map((one) => one[1]))].filter((index) => !pictures.has(nameOf(index)));
  while (fetching < 3 && wishes.length) fetchNext();
}

async function fetchNext() {
  if (!S.told) { wishes = []; return; }   // the study was closed meanwhile
  const index = wishes.shift();
  const name = nameOf(index);
  const token = S.told.token;
  pictures.set(name, null);
  fetching++;
  try {
    const answer = await ask('on_slice', { token, index });
    keep(name, await unpackSlice(answer));
    if (S.told && S.told.token === token) arrived(index);
  } catch (error) {
    pictures.delete(name);
    if (S.told && S.told.token === token) { wishes = []; complain(error.message); }
  } finally {
    fetching--;
    if (wishes.length) fetchNext();
  }
}

// One slice is sent before the others are known; it stays on show when they are.
async function showGlimpse(token, answer) {
  const picture = await unpackSlice(answer);
  if (S.token !== token) return;
  S.glimpse = { token, picture };
  if (S.told) adoptGlimpse();
  paint();
}

function adoptGlimpse() {
  if (!S.glimpse || S.glimpse.token !== S.told.token || S.told.first === null) return;
  if (!pictures.get(nameOf(S.told.first))) keep(nameOf(S.told.first), S.glimpse.picture);
  S.glimpse = null;
}

function keep(name, picture) {
  pictures.set(name, picture);
  held += picture.hu.byteLength;
  for (const [old, one] of pictures) {
    if (held <= KEPT_BYTES) break;
    if (one && old !== name) { held -= one.hu.byteLength; pictures.delete(old); }
  }
}

function forget() {
  clearTimeout(mapTimer);   // its study is closed
  pictures.clear(); maps.clear(); held = 0; wishes = []; S.glimpse = null;
}

const mapName = (index) => [S.told.token, S.told.bundle, index, S.label].join(' ');

// A map is asked for when the reader has stopped at a slice that has its answer.
function wishMap() {
  clearTimeout(mapTimer);
  const one = here();
  if (S.mode === 'off' || !one || !one[1]) return;
  if (maps.get(mapName(one[0]))) { const name = mapName(one[0]); mapTimer = setTimeout(() => fetchFaith(one[0], name), 600); return; }
  if (maps.has(mapName(one[0]))) return;
  mapTimer = setTimeout(() => fetchMap(one[0], mapName(one[0])), 90);
}

async function fetchMap(index, name) {
  if (!S.told || maps.has(name)) return;
  maps.set(name, null);
  try {
    const answer = await ask('on_map', { token: S.told.token, bundle: S.told.bundle, index, label: LABELS[S.label] });
    if (answer.stale) { maps.delete(name); return; }
    maps.set(name, { values: undo(new Uint8Array(await unpack(answer.map)), answer.columns), faith: '', note: answer.note });
    while (maps.size > 200) maps.delete(maps.keys().next().value);
    if (S.told && here() && mapName(here()[0]) === name) { paint(); drawFaith(); wishMap(); }
  } catch (error) {
    maps.set(name, { values: null, note: error.message });
    if (S.told && here() && mapName(here()[0]) === name) drawFaith();
  }
}

// Measured when the reader stays: it takes a dozen runs of the model.
async function fetchFaith(index, name) {
  const map = maps.get(name);
  if (!S.told || !map || map.note || map.faith || map.asked) return;
  map.asked = true;
  try {
    const answer = await ask('on_faith', { token: S.told.token, bundle: S.told.bundle, index, label: LABELS[S.label] });
    map.faith = answer.text || '';
    map.asked = !answer.stale;
    if (S.told && here() && mapName(here()[0]) === name) drawFaith();
  } catch (error) { map.faith = error.message; }
}
