// Uploads get random names, because original file names may contain a patient's name.
let uploading = null;   // current upload request

const BATCH_FILES = 200;
const BATCH_BYTES = 64e6;

async function openFiles(files) {
  if (!files.length) return;
  const number = ++S.request;
  showError('');
  if (files.length > SETTINGS.maxFiles) return showError(files.length + ' files: at most ' + SETTINGS.maxFiles + ' at once; put them into a zip');
  const large = files.filter((file) => file.size > SETTINGS.maxBytes).length;
  if (large) return showError((large > 1 ? large + ' files are' : 'a file is') + ' over ' + Math.round(SETTINGS.maxBytes / 1048576) + ' MiB, the limit of this server');
  startLoading('Uploading');
  const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
  const key = crypto.getRandomValues(new Uint32Array(4)).join('');
  const paths = [];
  let sent = 0;
  try {
    for (const batch of batches(files)) {
      paths.push(...await send(batch, 'page-' + key + '-' + paths.length, (bytes) => showProgress((sent + bytes) / total, 'Uploading')));
      if (S.request !== number) return;
      sent += batch.reduce((sum, file) => sum + file.size, 0);
    }
    showProgress(1, 'Reading');
    trigger('study', { request: number, paths, bundle: $('bundle').value });
  } catch (error) { if (S.request === number) showFailure(error.message); }
}

function* batches(files) {
  let batch = [];
  let size = 0;
  for (const file of files) {
    if (batch.length && (batch.length >= BATCH_FILES || size + file.size > BATCH_BYTES)) { yield batch; batch = []; size = 0; }
    batch.push(file);
    size += file.size;
  }
  yield batch;
}

const CONFIG = window.gradio_config || {};

function pageRoot() {   // with the sub-path of a proxy
  return location.origin + new URL(CONFIG.root || '.', document.baseURI).pathname.replace(/\/$/, '');
}

const serverRoot = () => pageRoot() + (CONFIG.api_prefix || '/gradio_api');

function send(files, name, onProgress) {
  const form = new FormData();
  files.forEach((file, at) => form.append('files', file, name + '-' + at));
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    uploading = request;
    request.open('POST', serverRoot() + '/upload');
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () => {
      try {
        if (request.status === 200) return resolve(JSON.parse(request.responseText));
        const detail = request.responseText.startsWith('{') ? JSON.parse(request.responseText).detail : request.responseText;
        reject(new Error(request.status === 401 ? 'Please log in again: reload the page.' : detail || 'The upload failed; try again.'));
      } catch { reject(new Error('The upload failed; try again.')); }
    };
    request.onerror = () => reject(new Error('The connection was lost during the upload; try again.'));
    request.onabort = () => reject(new Error('Cancelled.'));
    request.send(form);
  });
}

// Dropped files, including those in dropped folders.
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = [];
  for (const entry of entries) await readEntry(entry, files);
  return files;
}

async function readEntry(entry, files) {
  if (files.length > SETTINGS.maxFiles) return;
  if (entry.isFile) { files.push(await new Promise((resolve, reject) => entry.file(resolve, reject))); return; }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await readEntry(one, files);
  }
}
