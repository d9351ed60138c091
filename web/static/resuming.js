// What this browser remembers of uploads that were begun, so that they go on where they were, also after a reload.

const memory = () => tus.defaultOptions.urlStorage;

// What was not finished when a page was closed.
export function interrupted() {
  return memory().findAllUploads();
}

export async function goOn(upload) {
  const previous = await upload.findPreviousUploads();
  if (previous.length) upload.resumeFromPreviousUpload(previous.at(-1));
  upload.start();
}

export async function forget(upload) {
  for (const { urlStorageKey } of (await upload?.findPreviousUploads()) ?? []) await memory().removeUpload(urlStorageKey);
}

// Ends what was begun, on the server and here; what has expired there is only forgotten.
export async function giveUp(headers) {
  for (const { uploadUrl, urlStorageKey } of await interrupted()) {
    await tus.Upload.terminate(uploadUrl, { headers }).catch(() => null);
    await memory().removeUpload(urlStorageKey);
  }
}
