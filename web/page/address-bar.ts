// Keeps the view in the browser's address bar: writes it there when it changes, and reads it when the user edits the
// address.

import { fromHash, toHash } from "studio/state/address.js";
import * as host from "studio/state/host.js";
import type { App } from "studio/state/types.js";
import { firstView } from "studio/state/view.js";
import type { Boot, View } from "studio/types.js";

/** The hash of the address when it was last written or read here. */
let address = location.hash;

/** Writes the view into the address, and notifies the host; `firsts`: the views that an address can leave out. */
export function keepInAddress(view: View, firsts: View[]) {
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

/** Applies changes that the user makes to the address while the page is open. */
export function subscribeAddress(session: App["session"], boot: Boot, say: (text: string) => void) {
  window.addEventListener("hashchange", () => {
    address = location.hash;
    const { view, broken } = fromHash(address);
    session.look(firstView(boot, view));
    if (broken.length > 0) say(brokenNotice(broken));
  });
}

/** Returns the notice about parts of an address that could not be read. */
export function brokenNotice(broken: string[]): string {
  const parts = broken
    .map((part) => `\u201c${part.length > 60 ? `${part.slice(0, 59)}\u2026` : part}\u201d`)
    .slice(0, 3);
  return `Could not read ${parts.join(", ")} in the address; the defaults are shown instead.`;
}
