// The tokens, each a button, with the model's predictions. Moving the cursor updates only two of them.

import { readsNumbers } from "studio/panels/sentence/signal.js";
import { headOf, predictionAt } from "studio/state/predictions.js";
import { isFormless, shortToken, shownToken } from "studio/state/tokens.js";
import { element, percent, set } from "studio/ui/draw.js";
import { onResize } from "studio/ui/visibility.js";

/** @typedef {import("studio/types.js").Head} Head */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/state/types.js").App} App */

const LONGEST = 32; // maximum number of characters in a token
const MOST_NATS = 8; // surprise, in nats, from which a token has the darkest shade

/**
 * @param {App} app
 * @returns {{root: HTMLElement}}
 */
export function createWords({ store, session, player }) {
  const root = element("ol", { class: "words", "aria-label": "The input, step by step" });
  /** @type {HTMLButtonElement[]} */
  let buttons = [];
  const choose = (/** @type {number} */ step) => (player.pause(), store.set({ step }));
  const sight = inSight(root, () => buttons);
  const draw = () => {
    const { run, plain } = session;
    root.hidden = run !== null && readsNumbers(run);
    root.classList.toggle("dense", (run?.steps ?? 0) > 60 || session.model?.unit === "character");
    buttons = run === null ? [] : run.tokens.map((_, t) => word(run, plain, store.get().head, t, choose));
    root.replaceChildren(...buttons.map((button) => element("li", {}, [button])));
    sight.measure();
    mark(store.get().step, -1);
  };
  const mark = (/** @type {number} */ step, /** @type {number} */ before) => {
    const held = document.activeElement === buttons[before];
    if (buttons[before]) tell(buttons[before], false);
    if (!buttons[step]) return;
    tell(buttons[step], true);
    if (held) buttons[step].focus({ preventScroll: true });
    sight.show(step);
  };
  session.on("run", draw);
  store.subscribe(["head"], draw);
  store.subscribe(["step"], ({ step }, { step: before }) => mark(step, before));
  onResize(root, sight.measure);
  return { root };
}

/**
 * @param {HTMLButtonElement} button
 * @param {boolean} current
 */
function tell(button, current) {
  set(button, "aria-current", current ? "step" : null);
  button.tabIndex = current ? 0 : -1;
}

/**
 * Scrolls the list, never the page, and only if a token would otherwise be out of sight. Positions are measured once
 * per run, because measuring at each step would force a page layout.
 * @param {HTMLElement} list
 * @param {() => HTMLElement[]} items
 */
function inSight(list, items) {
  /** @type {{top: number, bottom: number}[]} */
  let places = [];
  let [height, scrolled] = [0, 0];
  list.addEventListener("scroll", () => (scrolled = list.scrollTop), { passive: true });
  const measure = () => {
    height = list.clientHeight;
    const fits = list.scrollHeight <= height;
    places = fits
      ? []
      : items().map(({ offsetTop, offsetHeight }) => ({ top: offsetTop, bottom: offsetTop + offsetHeight }));
  };
  const show = (/** @type {number} */ k) => {
    const place = places[k];
    if (place === undefined) return;
    const wanted = place.top < scrolled ? place.top - 4 : Math.max(scrolled, place.bottom - height + 4);
    if (wanted !== scrolled) list.scrollTop = scrolled = wanted;
  };
  return { measure, show };
}

/**
 * @param {Run} run
 * @param {Run | null} plain the run without edits
 * @param {string} headName
 * @param {number} t
 * @param {(step: number) => void} choose
 * @returns {HTMLButtonElement}
 */
function word(run, plain, headName, t, choose) {
  const token = shownToken(run.tokens[t]);
  const parts = [element("span", { class: "word-token", text: shortToken(run.tokens[t], LONGEST) })];
  const known = run.known[t] ?? true;
  const button = element(
    "button",
    {
      type: "button",
      class: known ? "word" : "word unknown",
      tabindex: -1,
      on: { click: () => choose(t) },
    },
    parts,
  );
  const about = [isFormless(run.tokens[t]) ? `${token}, which is invisible` : token, known ? "" : "not in the vocabulary"];
  if (run.surprise) about.push(surprised(button, run.surprise[t]));
  else if (run.heads.length > 0) about.push(tagged(button, run, plain, headName, t));
  button.title = about.filter((line) => line !== "").join(": ");
  return button;
}

/**
 * @param {HTMLElement} button
 * @param {number} nats
 */
function surprised(button, nats) {
  button.classList.add("surprising");
  button.style.setProperty("--surprise", String(Math.min(1, nats / MOST_NATS)));
  button.append(
    element("span", { class: "word-tag number", text: Number.isFinite(nats) ? nats.toFixed(1) : "\u2013" }),
  );
  return Number.isFinite(nats) ? `${nats.toFixed(2)} nats of surprise` : "nothing comes before it";
}

/**
 * @param {HTMLElement} button
 * @param {Run} run
 * @param {Run | null} plain
 * @param {string} headName
 * @param {number} t
 */
function tagged(button, run, plain, headName, t) {
  const { label, probability } = predictionAt(/** @type {Head} */ (headOf(run, headName)), t);
  const before = plain && plain !== run ? predictionAt(/** @type {Head} */ (headOf(plain, headName)), t).label : label;
  button.classList.toggle("doubtful", probability < 0.6);
  button.classList.toggle("changed", before !== label);
  button.style.setProperty("--share", String(probability));
  button.append(element("span", { class: "word-tag", text: label }), element("span", { class: "word-bar" }));
  return `${label} ${percent(probability)}${before === label ? "" : `, without edits ${before}`}`;
}
