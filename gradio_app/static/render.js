// The picture: HU through the window to grey, the map over it as heat or as contours.
const PALETTE = SETTINGS.palette;   // 256 × red, green, blue, opacity
const LEVELS = SETTINGS.levels;     // of contours, the same in every picture
const LOWEST = -1024;
const grey = new Uint8ClampedArray(32768);
let greyOf = '';

function windowed() {
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
  const table = windowed();
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

// Marching squares: the line where the map crosses `level`, as pieces from cell to cell.
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

function fit(picture, width, height) {   // where the slice lies on the canvas, its pixels in mm
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
  const one = here();
  const picture = one ? pictures.get(nameOf(one[0])) : S.glimpse && S.glimpse.picture;
  $('wait').hidden = Boolean(picture);
  $('wait').textContent = one || root.dataset.busy === 'yes' ? 'Loading' : 'No slice to show';
  if (!picture) {
    if (!one) { canvas.getContext('2d').clearRect(0, 0, width, height); canvas.dataset.shown = ''; letters(null); }
    return;
  }
  const context = canvas.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  const place = fit(picture, width, height);
  context.drawImage(greyCanvas(picture), place.x, place.y, place.w, place.h);
  const map = one && S.mode !== 'off' && maps.get(mapName(one[0]));
  if (map && map.values) overlay(context, picture, map.values, place, width, height);
  letters(picture.letters);
  canvas.dataset.shown = !one ? 'first' : one[0] + (map && map.values ? ' ' + S.mode + ' ' + LABELS[S.label] : '');
}

function overlay(context, picture, values, place, width, height) {
  context.save();
  if (S.compare) { context.beginPath(); context.rect(width * S.split, 0, width, height); context.clip(); }
  context.globalAlpha = S.opacity;
  if (S.mode === 'heat') context.drawImage(heatCanvas(picture, values), place.x, place.y, place.w, place.h);
  else lines(context, picture, values, place);
  context.restore();
}

function lines(context, picture, values, place) {
  context.translate(place.x, place.y);
  context.scale(place.w / picture.columns, place.h / picture.rows);
  const thin = picture.columns / place.w;
  const step = Math.max(1, Math.round(picture.columns / 170));
  LEVELS.forEach((level, at) => {
    const path = contour(values, picture.columns, picture.rows, level * 255, step);
    const [r, g, b] = PALETTE[120 + Math.round((at / (LEVELS.length - 1)) * 130)];
    context.strokeStyle = '#000a'; context.lineWidth = thin * 4.5; context.stroke(path);
    context.strokeStyle = 'rgb(' + r + ' ' + g + ' ' + b + ')'; context.lineWidth = thin * 2.2; context.stroke(path);
  });
}

function letters(four) {
  ['left', 'right', 'top', 'bottom'].forEach((edge, at) => { $(edge).textContent = four ? four[at] : ''; });
}

function thumbnail(canvas, index) {
  const picture = pictures.get(nameOf(index));
  if (!picture) return;
  const context = canvas.getContext('2d');
  const place = fit(picture, canvas.width, canvas.height);
  context.fillStyle = '#000'; context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(greyCanvas(picture), place.x, place.y, place.w, place.h);
}
