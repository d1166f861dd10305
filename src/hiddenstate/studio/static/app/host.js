// Where the page runs: under a server, as a file, or in a notebook. All that comes from outside comes through here.

import { damaged, StudioError } from "studio/runtime/errors.js";

/** @typedef {import("studio/types.js").Boot} Boot */
/** @typedef {import("studio/types.js").BundleHead} BundleHead */

const AGAIN = "Reload the page; if the studio was stopped, start it again.";

/** @returns {Boot} what the page begins with */
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

/**
 * Saves something as a file of the person's.
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
 * A model that lies in the page itself.
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
  if (element === null) throw damaged(`a page without its part ${id}`, "a whole page");
  return element.textContent ?? "";
}
