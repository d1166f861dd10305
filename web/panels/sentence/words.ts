// The tokens, each a button, with the model's predictions. Moving the cursor updates only two of them.

import { readsNumbers } from "studio/panels/sentence/signal.js";
import { headOf, predictionAt } from "studio/state/predictions.js";
import { isFormless, shortToken, shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Head, Run } from "studio/types.js";
import { element, percent, set } from "studio/ui/draw.js";
import { onResize } from "studio/ui/visibility.js";

const LONGEST = 32; // maximum number of characters in a token
const MOST_NATS = 8; // surprise, in nats, from which a token has the darkest shade

export function createWords({ store, session, player }: App): { root: HTMLElement } {
  const root = element("ol", { class: "words", "aria-label": "The input, step by step" });
  let buttons: HTMLButtonElement[] = [];
  const choose = (step: number) => (player.pause(), store.set({ step }));
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
  const mark = (step: number, before: number) => {
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

function tell(button: HTMLButtonElement, current: boolean) {
  set(button, "aria-current", current ? "step" : null);
  button.tabIndex = current ? 0 : -1;
}

/**
 * Scrolls the list, never the page, and only if a token would otherwise be out of sight. Positions are measured once
 * per run, because measuring at each step would force a page layout.
 */
function inSight(list: HTMLElement, items: () => HTMLElement[]) {
  let places: { top: number; bottom: number }[] = [];
  let [height, scrolled] = [0, 0];
  list.addEventListener("scroll", () => (scrolled = list.scrollTop), { passive: true });
  const measure = () => {
    height = list.clientHeight;
    const fits = list.scrollHeight <= height;
    places = fits
      ? []
      : items().map(({ offsetTop, offsetHeight }) => ({ top: offsetTop, bottom: offsetTop + offsetHeight }));
  };
  const show = (k: number) => {
    const place = places[k];
    if (place === undefined) return;
    const wanted = place.top < scrolled ? place.top - 4 : Math.max(scrolled, place.bottom - height + 4);
    if (wanted !== scrolled) list.scrollTop = scrolled = wanted;
  };
  return { measure, show };
}

/** @param plain the run without edits */
function word(
  run: Run,
  plain: Run | null,
  headName: string,
  t: number,
  choose: (step: number) => void,
): HTMLButtonElement {
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
  const about = [
    isFormless(run.tokens[t]) ? `${token}, which is invisible` : token,
    known ? "" : "not in the vocabulary",
  ];
  if (run.surprise) about.push(surprised(button, run.surprise[t]));
  else if (run.heads.length > 0) about.push(tagged(button, run, plain, headName, t));
  button.title = about.filter((line) => line !== "").join(": ");
  return button;
}

function surprised(button: HTMLElement, nats: number) {
  button.classList.add("surprising");
  button.style.setProperty("--surprise", String(Math.min(1, nats / MOST_NATS)));
  button.append(
    element("span", { class: "word-tag number", text: Number.isFinite(nats) ? nats.toFixed(1) : "\u2013" }),
  );
  return Number.isFinite(nats) ? `${nats.toFixed(2)} nats of surprise` : "nothing comes before it";
}

function tagged(button: HTMLElement, run: Run, plain: Run | null, headName: string, t: number) {
  const { label, probability } = predictionAt(headOf(run, headName) as Head, t);
  const before = plain && plain !== run ? predictionAt(headOf(plain, headName) as Head, t).label : label;
  button.classList.toggle("doubtful", probability < 0.6);
  button.classList.toggle("changed", before !== label);
  button.style.setProperty("--share", String(probability));
  button.append(element("span", { class: "word-tag", text: label }), element("span", { class: "word-bar" }));
  return `${label} ${percent(probability)}${before === label ? "" : `, without edits ${before}`}`;
}
