// The page's host: a server, a file or a notebook. All outside data comes through this module.

import { MOST_CHARACTERS } from "studio/facts.js";
import { damaged, ModelError } from "studio/runtime/errors.js";
import type { Boot, BundleHead, LiveMessage, View } from "studio/types.js";

const AGAIN = "Reload the page; if the studio was stopped, start it again.";

export const boot = (): Boot => JSON.parse(elementText("boot"));

/** @param id of a model that boot() names */
export async function bundle(id: string): Promise<{ head: BundleHead; weights: ArrayBuffer }> {
  const { host, models } = boot();
  if (!models.some((model) => model.id === id)) {
    const known = models.map((model) => model.id).join(", ") || "no model at all";
    throw new ModelError(`a model called ${JSON.stringify(id)}`, `one of ${known}`, "Choose one of them.");
  }
  return host === "server" ? fetched(id) : unpacked(id);
}

/** sends a message to Python, once it listens */
let say: (message: object) => void = () => {};
/** the view as last sent to Python */
let known: Partial<View> = {};

/** Listens to messages from Python: steps of a stream, and changes of the view. */
export function watch(live: Boot["live"], onMessage: (message: LiveMessage) => void) {
  if (live === "") return;
  const heard = (message: LiveMessage) => {
    if (message.type === "view") known = { ...known, ...message.view };
    onMessage(message);
  };
  if (boot().host === "notebook") listenToFrame(heard);
  else listenToServer(heard);
}

/** Sends the changed parts of the view to Python, if it is listening. */
export function tell(view: View) {
  const changed = Object.entries(view).filter(
    ([key, value]) =>
      known[key as keyof View] !== value && !(typeof value === "string" && value.length > MOST_CHARACTERS),
  );
  if (changed.length > 0) say({ type: "view", view: Object.fromEntries(changed) });
  known = view;
}

function listenToServer(heard: (message: LiveMessage) => void) {
  const place = new URL("live", location.href);
  place.protocol = "ws:";
  const socket = new WebSocket(place);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => heard(unframed(data)));
  socket.addEventListener("open", () => {
    say = (message) => socket.send(JSON.stringify(message));
    const view = known;
    known = {};
    tell(view as View);
  });
  socket.addEventListener("close", () => {
    say = () => {};
    heard({ type: "end" });
  });
}

function listenToFrame(heard: (message: LiveMessage) => void) {
  window.addEventListener("message", ({ source, data }) => {
    if (source === window.parent && data?.header) heard(withNumbers(data.header, data.numbers));
  });
  say = (message) => window.parent.postMessage(message, "*");
  say({ type: "hello" });
}

/** Reads a message framed by hiddenstate.studio.messages: the length of the header, the header, the numbers. */
function unframed(frame: ArrayBuffer): LiveMessage {
  const length = new DataView(frame).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(frame, 4, length)));
  return withNumbers(header, frame.slice(4 + length));
}

/** @param numbers those that the header names, in order */
function withNumbers({ arrays, ...message }: any, numbers: ArrayBuffer): LiveMessage {
  let at = 0;
  for (const [name, shape] of Object.entries<number[]>(arrays ?? {})) {
    const count = shape.reduce((product: number, size: number) => product * size, 1);
    message[name] = new Float32Array(numbers, at, count);
    at += 4 * count;
  }
  return message;
}

export function download(name: string, mime: string, content: BlobPart | Blob) {
  const blob = content instanceof Blob ? content : new Blob([content], { type: mime });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Some browsers begin to read only after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function fetched(id: string): Promise<{ head: BundleHead; weights: ArrayBuffer }> {
  const place = `models/${encodeURIComponent(id)}`;
  const [head, weights] = await Promise.all([answer(`${place}/head.json`), answer(`${place}/weights.safetensors`)]);
  return { head: await head.json(), weights: await weights.arrayBuffer() };
}

async function answer(place: string): Promise<Response> {
  const response = await request(place, "the model");
  if (!response.ok) throw new ModelError(`answer ${response.status} from the studio`, "the model", AGAIN);
  return response;
}

/** @param place below the page */
const request = (place: string, wanted: string, signal?: AbortSignal): Promise<Response> =>
  fetch(place, { signal }).catch((error) => {
    throw signal?.aborted ? error : new ModelError("no answer from the studio", wanted, AGAIN);
  });

/** Sends Python a request about the index of a corpus; works only on a server; `what`: "units.json". */
export async function ask(what: string, given: Record<string, string>, signal?: AbortSignal): Promise<any> {
  const response = await requestIndex(what, given, signal);
  const found = await response.json().catch(() => ({})); // not JSON if the server itself failed
  if (!response.ok) throw new Error(found.error ?? `answer ${response.status} from the studio`);
  return found;
}

/** Like `ask`, but for long work: yields progress reports and finally the result. */
export async function* follow(what: string, given: Record<string, string>, signal: AbortSignal) {
  const response = await requestIndex(what, given, signal);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (text + decoder.decode(value, { stream: true })).split("\n");
    text = lines.pop() as string;
    for (const line of lines) yield JSON.parse(line);
  }
}

const requestIndex = (what: string, given: Record<string, string>, signal?: AbortSignal) =>
  request(`index/${what}?${new URLSearchParams(given)}`, "an answer about the index", signal);

async function unpacked(id: string): Promise<{ head: BundleHead; weights: ArrayBuffer }> {
  const { head, weights } = JSON.parse(elementText(`bundle-${id}`));
  return { head: await inflated(head).json(), weights: await inflated(weights).arrayBuffer() };
}

/** @param packed deflated, then as base64 */
export function inflated(packed: string): Response {
  const signs = atob(packed);
  const bytes = new Uint8Array(signs.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = signs.charCodeAt(k); // Uint8Array.from takes 20 times as long
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")));
}

function elementText(id: string): string {
  const element = document.getElementById(id);
  if (element === null) throw damaged(`a page without its element ${id}`, "a whole page");
  return element.textContent ?? "";
}
