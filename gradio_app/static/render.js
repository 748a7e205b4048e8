// Rendering: the slice in its window, with the map as heat or contours.
const PALETTE = SETTINGS.palette;   // 256 × red, green, blue, opacity
const LEVELS = SETTINGS.levels;     // contour levels, the same for all slices
const LOWEST = -1024;
const grey = new Uint8ClampedArray(32768);
let greyOf = '';

function greyTable() {
  const [center, width] = S.window;
  if (greyOf === center + ' ' + width) return grey;
  greyOf = center + ' ' + width;
  const low = center - width / 2;
  for (let at = 0; at < grey.length; at++) grey[at] = ((at + LOWEST - low) / width) * 255;
  return grey;
}

function greyCanvas(picture) {
  const canvas = new OffscreenCanvas(picture.columns, picture.rows);
  const context = canvas.getContext('2d');
  const image = context.createImageData(picture.columns, picture.rows);
  const words = new Uint32Array(image.data.buffer);
  const table = greyTable();
  for (let at = 0; at < words.length; at++) words[at] = 0xff000000 | (table[picture.hu[at] - LOWEST] * 0x010101);
  context.putImageData(image, 0, 0);
  return canvas;
}

function heatCanvas(picture, values) {
  const canvas = new OffscreenCanvas(picture.columns, picture.rows);
  const context = canvas.getContext('2d');
  const image = context.createImageData(picture.columns, picture.rows);
  for (let at = 0; at < values.length; at++) image.data.set(PALETTE[values[at]], at * 4);
  context.putImageData(image, 0, 0);
  return canvas;
}

// Marching squares: segments of the line where the map crosses `level`.
function contour(values, columns, rows, level, step) {
  const path = new Path2D();
  const at = (x, y) => values[Math.min(y, rows - 1) * columns + Math.min(x, columns - 1)];
  for (let y = 0; y < rows; y += step) for (let x = 0; x < columns; x += step) {
    const [a, b, c, d] = [at(x, y), at(x + step, y), at(x + step, y + step), at(x, y + step)];
    const points = [];
    const edge = (p, q, x0, y0, x1, y1) => {
      if ((p >= level) === (q >= level)) return;
      const t = (level - p) / (q - p);
      points.push([x0 + (x1 - x0) * t, y0 + (y1 - y0) * t]);
    };
    edge(a, b, x, y, x + step, y);
    edge(b, c, x + step, y, x + step, y + step);
    edge(c, d, x + step, y + step, x, y + step);
    edge(d, a, x, y + step, x, y);
    for (let k = 0; k + 1 < points.length; k += 2) { path.moveTo(...points[k]); path.lineTo(...points[k + 1]); }
  }
  return path;
}

function fit(picture, width, height) {   // rectangle of the slice on the canvas, with its true aspect
  const tall = picture.rows * picture.aspect;
  const scale = Math.min(width / picture.columns, height / tall);
  const [w, h] = [picture.columns * scale, tall * scale];
  return { x: (width - w) / 2, y: (height - h) / 2, w, h };
}

function paint() {
  const canvas = $('canvas');
  const box = $('stage').getBoundingClientRect();
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const one = currentSlice();
  const picture = one ? pictures.get(sliceKey(one[0])) : S.preview && S.preview.picture;
  $('placeholder').hidden = Boolean(picture);
  $('placeholder').textContent = one || root.dataset.busy === 'yes' ? 'Loading' : 'No slice to show';
  if (!picture) {
    if (!one) { canvas.getContext('2d').clearRect(0, 0, width, height); canvas.dataset.shown = ''; showOrientation(null); }
    return;
  }
  const context = canvas.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  const rect = fit(picture, width, height);
  context.drawImage(greyCanvas(picture), rect.x, rect.y, rect.w, rect.h);
  const map = one && S.mode !== 'off' && maps.get(mapKey(one[0]));
  if (map && map.values) drawMap(context, picture, map.values, rect, width, height);
  showOrientation(picture.letters);
  canvas.dataset.shown = !one ? 'first' : one[0] + (map && map.values ? ' ' + S.mode + ' ' + LABELS[S.label] : '');
}

function drawMap(context, picture, values, rect, width, height) {
  context.save();
  if (S.compare) { context.beginPath(); context.rect(width * S.split, 0, width, height); context.clip(); }
  context.globalAlpha = S.opacity;
  if (S.mode === 'heat') context.drawImage(heatCanvas(picture, values), rect.x, rect.y, rect.w, rect.h);
  else drawContours(context, picture, values, rect);
  context.restore();
}

function drawContours(context, picture, values, rect) {
  context.translate(rect.x, rect.y);
  context.scale(rect.w / picture.columns, rect.h / picture.rows);
  const thin = picture.columns / rect.w;
  const step = Math.max(1, Math.round(picture.columns / 170));
  LEVELS.forEach((level, at) => {
    const path = contour(values, picture.columns, picture.rows, level * 255, step);
    const [r, g, b] = PALETTE[120 + Math.round((at / (LEVELS.length - 1)) * 130)];
    context.strokeStyle = '#000a'; context.lineWidth = thin * 4.5; context.stroke(path);
    context.strokeStyle = 'rgb(' + r + ' ' + g + ' ' + b + ')'; context.lineWidth = thin * 2.2; context.stroke(path);
  });
}

function showOrientation(four) {
  ['left', 'right', 'top', 'bottom'].forEach((edge, at) => { $(edge).textContent = four ? four[at] : ''; });
}

function thumbnail(canvas, index) {
  const picture = pictures.get(sliceKey(index));
  if (!picture) return;
  const context = canvas.getContext('2d');
  const rect = fit(picture, canvas.width, canvas.height);
  context.fillStyle = '#000'; context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(greyCanvas(picture), rect.x, rect.y, rect.w, rect.h);
}
