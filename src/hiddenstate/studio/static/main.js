// The page's beginning: reads the address, makes the state, mounts the panels, opens the model.

import { header, notice } from "studio/page/header.js";
import { mountPages } from "studio/page/pages.js";
import { EXAMPLES } from "studio/panels/sentence/text.js";
import { fromHash, toHash } from "studio/state/address.js";
import * as host from "studio/state/host.js";
import { subscribeLive } from "studio/state/live.js";
import { Player } from "studio/state/player.js";
import { createSession } from "studio/state/session.js";
import { createStore } from "studio/state/store.js";
import { firstView, unsaid } from "studio/state/view.js";
import { element } from "studio/ui/draw.js";
import { listenForKeys } from "studio/ui/keys.js";
import { applyTheme, isCalm } from "studio/ui/theme.js";

/** @typedef {import("studio/types.js").Boot} Boot */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/types.js").App} App */

const READS_TEXT = new Set(["tagger", "language-model"]);

/**
 * @param {HTMLElement} root
 * @returns {Promise<void>}
 */
export async function start(root) {
  const boot = host.boot();
  const { view, broken } = fromHash(location.hash);
  const store = createStore(firstView(boot, view), (now) => keep(now, unsaid(boot)));
  const session = createSession(store, host);
  const app = { store, session, player: new Player(store, session, isCalm), host };
  applyTheme(store.get().theme);
  store.subscribe(["theme"], ({ theme }) => applyTheme(theme));
  root.classList.add("studio");
  root.replaceChildren(header(app, boot), ...mountPages(app));
  const say = (/** @type {string} */ text) => root.prepend(notice(text));
  if (broken.length > 0) say(brokenNotice(broken));
  listenForKeys(document, app);
  subscribeAddress(session, boot, say);
  suitText(app);
  await session.open();
  subscribeLive(app, boot.live, say);
}

/** The end of the address as it was last written or read here. */
let address = location.hash;

/**
 * @param {View} view
 * @param {View[]} firsts
 */
function keep(view, firsts) {
  host.tell(view);
  if (location.hash !== address) return; // someone has just changed it, which subscribeAddress is about to hear
  const hash = toHash(view, firsts);
  if (`#${hash}` === location.hash || (hash === "" && location.hash === "")) return;
  try {
    history.replaceState(history.state, "", hash === "" ? location.pathname + location.search : `#${hash}`);
    address = location.hash;
  } catch {
    // A page without an address of its own, in a notebook: there is none to keep the view in.
  }
}

/**
 * Who has said nothing of a text gets one to begin with. What was typed for words is no input for a model of numbers,
 * nor the other way round: each gets back what it read last.
 * @param {App} app
 */
function suitText({ store, session }) {
  /** @type {Map<boolean, string>} what was read last, by whether as text */
  const last = new Map();
  /** @type {boolean | null} */
  let asText = null;
  session.on("model", () => {
    const { model } = session;
    if (!model || model.kind === "trace") return;
    const was = asText;
    asText = READS_TEXT.has(model.kind);
    const { text } = store.get();
    const stale = was !== null && was !== asText && text === last.get(was);
    const example = asText ? (EXAMPLES[model.unit] ?? EXAMPLES.word)[0] : "";
    if (stale || (was !== asText && text === "")) session.text(last.get(asText) ?? example);
  });
  session.on("run", () => {
    if (asText !== null && session.model?.kind !== "trace") last.set(asText, store.get().text);
  });
}

/**
 * Takes over what someone puts into the address while the page is open.
 * @param {App["session"]} session
 * @param {Boot} boot
 * @param {(text: string) => void} say
 */
function subscribeAddress(session, boot, say) {
  window.addEventListener("hashchange", () => {
    address = location.hash;
    const { view, broken } = fromHash(address);
    session.look(firstView(boot, view));
    if (broken.length > 0) say(brokenNotice(broken));
  });
}

/** @param {string[]} broken */
function brokenNotice(broken) {
  const parts = broken
    .map((part) => `\u201c${part.length > 60 ? `${part.slice(0, 59)}\u2026` : part}\u201d`)
    .slice(0, 3);
  return `The address says ${parts.join(", ")}, which could not be read; what the page begins with is shown instead.`;
}

const place = document.getElementById("studio");
if (place) {
  start(place).catch((error) => {
    place.replaceChildren(
      element("p", { class: "problem", role: "alert", text: `The studio could not begin: ${error.message}` }),
    );
  });
}
