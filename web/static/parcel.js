// A parcel on its way: its files by tus, two at a time over all parcels; what is cut off goes on where it was.

import { forget, goOn } from "./resuming.js";

const PIECE_BYTES = 32 * 1024 * 1024;
const AT_ONCE = 2;
const WAITS = [0, 1000, 2000, 4000, 8000, 15000, 30000, 60000, 60000];
const TAKEN_BACK = Symbol("taken back");

let going = 0;
const queue = [];

async function turn() {
  if (going >= AT_ONCE) await new Promise((resolve) => queue.push(resolve));
  else going += 1;
}

function giveTurn() {
  if (queue.length) queue.shift()();
  else going -= 1;
}

export class Parcel {
  // `state`: waiting, going, lost (no connection just now), failed, done, stopped.
  constructor({ name, isFolder, files }, { url, token, batch, finished }) {
    Object.assign(this, { name, isFolder, url, token, batch, finished, state: "waiting", problem: null, path: null, moves: [] });
    this.items = files.map(({ file, folder }) => ({ file, folder, sent: 0, seen: false, isDone: false, upload: null }));
    this.total = this.items.reduce((sum, { file }) => sum + file.size, 0);
  }

  get sent() {
    return this.items.reduce((sum, item) => sum + item.sent, 0);
  }

  get filesDone() {
    return this.items.filter((item) => item.isDone).length;
  }

  // Whether this is the same material as another parcel.
  isLike(other) {
    return this.name === other.name && this.total === other.total && this.items.length === other.items.length;
  }

  get isActive() {
    return ["waiting", "going", "lost"].includes(this.state);
  }

  // Bytes a second over the last five seconds; null while nobody knows.
  get speed() {
    const now = performance.now();
    this.moves = this.moves.filter(({ at }) => at > now - 5000);
    const span = (now - (this.moves[0]?.at ?? now)) / 1000;
    return span > 0.5 ? this.moves.reduce((sum, { bytes }) => sum + bytes, 0) / span : null;
  }

  async start() {
    this.state = "waiting";
    this.problem = null;
    await Promise.all(this.items.filter((item) => !item.isDone).map((item) => this.#bring(item)));
    if (this.state === "stopped") return;
    this.state = this.problem ? "failed" : "done";
    if (this.state === "done") await Promise.all(this.items.map(({ upload }) => forget(upload)));
    this.finished(this);
  }

  async cancel() {
    this.state = "stopped";
    await Promise.allSettled(this.items.map(({ upload }) => upload?.abort(true)));
    for (const item of this.items) item.end?.(TAKEN_BACK);
  }

  async #bring(item) {
    await turn();
    try {
      if (this.state === "stopped") return;
      this.path = await this.#send(item);
      Object.assign(item, { isDone: true, sent: item.file.size });
    } catch (error) {
      if (error !== TAKEN_BACK) this.problem ??= error;
    } finally {
      giveTurn();
    }
  }

  #send(item) {
    return new Promise((resolve, reject) => {
      item.seen = false;
      item.end = reject;
      item.upload = new tus.Upload(item.file, {
        endpoint: this.url,
        chunkSize: PIECE_BYTES,
        retryDelays: WAITS,
        headers: { "X-CSRFToken": this.token },
        metadata: { filename: item.file.name, folder: item.folder, batch: this.batch },
        fingerprint: async ({ name, size, lastModified }) => ["derush", item.folder, name, size, lastModified].join("/"),
        onProgress: (sent) => this.#moved(item, sent),
        onShouldRetry: (error) => this.#mayTryAgain(error),
        onSuccess: ({ lastResponse }) => resolve(decodeURIComponent(lastResponse.getHeader("Derush-Input") ?? "")),
        onError: reject,
      });
      goOn(item.upload).catch(reject);
    });
  }

  #moved(item, sent) {
    this.state = "going";
    if (item.seen) this.moves.push({ at: performance.now(), bytes: Math.max(0, sent - item.sent) });
    Object.assign(item, { sent, seen: true });
  }

  #mayTryAgain(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    if (status === 0) this.state = "lost";
    return status === 0 || status === 409 || status === 423 || (status >= 500 && status !== 507);
  }
}
