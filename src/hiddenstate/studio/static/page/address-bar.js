// Keeps the view in the browser's address bar: writes it there when it changes, and reads it when the user edits the
// address.

import { fromHash, toHash } from "studio/state/address.js";
import * as host from "studio/state/host.js";
import { firstView } from "studio/state/view.js";

/** @typedef {import("studio/types.js").Boot} Boot */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/types.js").App} App */

/** The hash of the address when it was last written or read here. */
let address = location.hash;

/**
 * Writes the view into the address, and notifies the host.
 * @param {View} view
 * @param {View[]} firsts the views that an address can leave out
 */
export function keepInAddress(view, firsts) {
  host.tell(view);
  if (location.hash !== address) return; // the user has just changed the address, and subscribeAddress is about to handle it
  const hash = toHash(view, firsts);
  if (`#${hash}` === location.hash || (hash === "" && location.hash === "")) return;
  try {
    history.replaceState(history.state, "", hash === "" ? location.pathname + location.search : `#${hash}`);
    address = location.hash;
  } catch {
    // A page in a notebook has no address of its own in which to keep the view.
  }
}

/**
 * Applies changes that the user makes to the address while the page is open.
 * @param {App["session"]} session
 * @param {Boot} boot
 * @param {(text: string) => void} say
 */
export function subscribeAddress(session, boot, say) {
  window.addEventListener("hashchange", () => {
    address = location.hash;
    const { view, broken } = fromHash(address);
    session.look(firstView(boot, view));
    if (broken.length > 0) say(brokenNotice(broken));
  });
}

/**
 * Returns the notice about parts of an address that could not be read.
 * @param {string[]} broken
 * @returns {string}
 */
export function brokenNotice(broken) {
  const parts = broken
    .map((part) => `\u201c${part.length > 60 ? `${part.slice(0, 59)}\u2026` : part}\u201d`)
    .slice(0, 3);
  return `Could not read ${parts.join(", ")} in the address; the defaults are shown instead.`;
}
