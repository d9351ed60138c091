// What was dropped or picked, as parcels: a file by itself, or a folder with everything in it.
// A parcel is { name, isFolder, files: [{ file, folder }] }; `folder` is the way to the file, with slashes.

// What systems leave beside the footage (.DS_Store, ._clip.mp4) is nobody's material.
const isHidden = (name) => name.startsWith(".");

export function parcelsOfFiles(files) {
  const parcels = new Map();
  for (const file of files) {
    const folders = (file.webkitRelativePath || "").split("/").slice(0, -1);
    if (folders.some(isHidden) || (folders.length && isHidden(file.name))) continue;
    const key = folders[0] ?? file;
    if (!parcels.has(key)) parcels.set(key, { name: folders[0] ?? file.name, isFolder: folders.length > 0, files: [] });
    parcels.get(key).files.push({ file, folder: folders.join("/") });
  }
  return [...parcels.values()];
}

export function parcelsOfDrop(transfer) {
  // The entries must be taken at once: when anything was waited for, the browser has emptied the list.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return Promise.all(
    entries.map(async (entry) => ({ name: entry.name, isFolder: entry.isDirectory, files: await filesOf(entry, "") })),
  );
}

async function filesOf(entry, folder) {
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder }];
  const inside = folder ? `${folder}/${entry.name}` : entry.name;
  const found = [];
  for (const each of await entriesOf(entry)) {
    if (!isHidden(each.name)) found.push(...(await filesOf(each, inside)));
  }
  return found;
}

async function entriesOf(directory) {
  const reader = directory.createReader();
  const all = [];
  for (;;) {
    // A browser gives a hundred at a time, and none when there are no more.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
