// The page's host: a server, a file or a notebook. All outside data comes through this module.

import { damaged, StudioError } from "studio/runtime/errors.js";

/** @typedef {import("studio/types.js").Boot} Boot */
/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").LiveMessage} LiveMessage */
/** @typedef {import("studio/types.js").View} View */

const MOST_CHARACTERS = 20_000; // longest text to send to Python
const AGAIN = "Reload the page; if the studio was stopped, start it again.";

/** @returns {Boot} the boot data */
export function boot() {
  return JSON.parse(textOf("boot"));
}

/**
 * @param {string} id of a model that boot() names
 * @returns {Promise<{head: BundleHead, weights: ArrayBuffer}>}
 */
export async function bundle(id) {
  const { host, models } = boot();
  if (!models.some((model) => model.id === id)) {
    const known = models.map((model) => model.id).join(", ") || "no model at all";
    throw new StudioError(`a model called ${JSON.stringify(id)}`, `one of ${known}`, "Choose one of them.");
  }
  return host === "server" ? fetched(id) : unpacked(id);
}

/** @type {(message: object) => void} sends a message to Python, once it listens */
let say = () => {};
/** @type {Partial<View>} the view as last sent to Python */
let known = {};

/**
 * Listens to messages from Python: steps of a stream, and changes of the view.
 * @param {Boot["live"]} live
 * @param {(message: LiveMessage) => void} onMessage
 */
export function watch(live, onMessage) {
  if (live === "") return;
  const heard = (/** @type {LiveMessage} */ message) => {
    if (message.type === "view") known = { ...known, ...message.view };
    onMessage(message);
  };
  if (boot().host === "notebook") listenToFrame(heard);
  else listenToServer(heard);
}

/**
 * Sends the changed parts of the view to Python, if it is listening.
 * @param {View} view
 */
export function tell(view) {
  const changed = Object.entries(view).filter(
    ([key, value]) =>
      known[/** @type {keyof View} */ (key)] !== value && !(typeof value === "string" && value.length > MOST_CHARACTERS),
  );
  if (changed.length > 0) say({ type: "view", view: Object.fromEntries(changed) });
  known = view;
}

/** @param {(message: LiveMessage) => void} heard */
function listenToServer(heard) {
  const place = new URL("live", location.href);
  place.protocol = "ws:";
  const socket = new WebSocket(place);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => heard(unframed(data)));
  socket.addEventListener("open", () => {
    say = (message) => socket.send(JSON.stringify(message));
    const view = known;
    known = {};
    tell(/** @type {View} */ (view));
  });
  socket.addEventListener("close", () => {
    say = () => {};
    heard({ type: "end" });
  });
}

/** @param {(message: LiveMessage) => void} heard */
function listenToFrame(heard) {
  window.addEventListener("message", ({ source, data }) => {
    if (source === window.parent && data?.header) heard(withNumbers(data.header, data.numbers));
  });
  say = (message) => window.parent.postMessage(message, "*");
  say({ type: "hello" });
}

/**
 * Reads a message framed by hiddenstate.studio.messages: the length of the header, the header, the numbers.
 * @param {ArrayBuffer} frame
 * @returns {LiveMessage}
 */
function unframed(frame) {
  const length = new DataView(frame).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(frame, 4, length)));
  return withNumbers(header, frame.slice(4 + length));
}

/**
 * @param {any} header
 * @param {ArrayBuffer} numbers those that the header names, in order
 * @returns {LiveMessage}
 */
function withNumbers({ arrays, ...message }, numbers) {
  let at = 0;
  for (const [name, shape] of Object.entries(arrays ?? {})) {
    const count = shape.reduce((/** @type {number} */ product, /** @type {number} */ size) => product * size, 1);
    message[name] = new Float32Array(numbers, at, count);
    at += 4 * count;
  }
  return message;
}

/**
 * Saves content to a file on the user's machine.
 * @param {string} name
 * @param {string} mime
 * @param {BlobPart | Blob} content
 */
export function download(name, mime, content) {
  const blob = content instanceof Blob ? content : new Blob([content], { type: mime });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Some browsers begin to read only after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * @param {string} id
 * @returns {Promise<{head: BundleHead, weights: ArrayBuffer}>}
 */
async function fetched(id) {
  const place = `models/${encodeURIComponent(id)}`;
  const [head, weights] = await Promise.all([answer(`${place}/head.json`), answer(`${place}/weights.safetensors`)]);
  return { head: await head.json(), weights: await weights.arrayBuffer() };
}

/**
 * @param {string} place below the page
 * @returns {Promise<Response>}
 */
async function answer(place) {
  const response = await fetch(place).catch(() => {
    throw new StudioError("no answer from the studio", "the model", AGAIN);
  });
  if (!response.ok) throw new StudioError(`answer ${response.status} from the studio`, "the model", AGAIN);
  return response;
}

/**
 * Sends Python a request about the index of a corpus; works only on a server.
 * @param {string} what "units.json"
 * @param {Record<string, string>} given
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function ask(what, given, signal) {
  const response = await answerOf(what, given, signal);
  const found = await response.json().catch(() => ({})); // not JSON if the server itself failed
  if (!response.ok) throw new Error(found.error ?? `answer ${response.status} from the studio`);
  return found;
}

/**
 * Like `ask`, but for long work: yields progress reports and finally the result.
 * @param {string} what
 * @param {Record<string, string>} given
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<any, void, void>}
 */
export async function* follow(what, given, signal) {
  const response = await answerOf(what, given, signal);
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (text + decoder.decode(value, { stream: true })).split("\n");
    text = /** @type {string} */ (lines.pop());
    for (const line of lines) yield JSON.parse(line);
  }
}

/**
 * @param {string} what
 * @param {Record<string, string>} given
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function answerOf(what, given, signal) {
  const place = `index/${what}?${new URLSearchParams(given)}`;
  return fetch(place, { signal }).catch((error) => {
    if (signal?.aborted) throw error;
    throw new StudioError("no answer from the studio", "an answer about the index", AGAIN);
  });
}

/**
 * A model embedded in the page itself.
 * @param {string} id
 * @returns {Promise<{head: BundleHead, weights: ArrayBuffer}>}
 */
async function unpacked(id) {
  const { head, weights } = JSON.parse(textOf(`bundle-${id}`));
  return { head: JSON.parse(new TextDecoder().decode(await inflated(head))), weights: await inflated(weights) };
}

/**
 * @param {string} packed deflated, then as base64
 * @returns {Promise<ArrayBuffer>}
 */
async function inflated(packed) {
  const signs = atob(packed);
  const bytes = new Uint8Array(signs.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = signs.charCodeAt(k);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}

/**
 * @param {string} id of an element that holds data
 * @returns {string}
 */
function textOf(id) {
  const element = document.getElementById(id);
  if (element === null) throw damaged(`a page without its element ${id}`, "a whole page");
  return element.textContent ?? "";
}
