// Chooses what to explain: a text, a word, and the logit or probability there.

import { askControls } from "studio/panels/explain/asks.js";
import { createTextField } from "studio/panels/explain/text.js";
import { outputAt } from "studio/runtime/explain/target.js";
import { explainedOf } from "studio/state/explained.js";
import { headOf, predictionAt } from "studio/state/predictions.js";
import { shortToken, shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Run } from "studio/types.js";
import { element, format, tick } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";

const HELP =
  "Choose a word and a question about it: why does this tag have this logit, or what made the next symbol likely? " +
  "Below: which steps wrote the memories behind it, what is lost when a word is replaced, and what changes when one " +
  "state comes from another sentence. Everything is computed here, as defined in hiddenstate.explain.";
const DENSE = 60; // steps
const LONGEST = 24;

export function mountExplain(app: App): HTMLElement {
  const { store, session } = app;
  const { root, body } = panel({ id: "explain", title: "What to explain", help: HELP });
  const words = element("div", { class: "explain-words", role: "group", "aria-label": "Word to explain" });
  const name = element("p", { class: "explain-name", "aria-live": "polite" });
  const note = element("p", { class: "explain-note", role: "status" });
  const asks = askControls(app);
  body.classList.add("explain-body");
  body.append(createTextField(app), words, asks.root, name, note);
  const draw = () => {
    if (store.get().page !== "explain") return;
    const { explained, reason } = explainedOf(session, store.get());
    fillWords(words, app, session.plain);
    asks.show(explained);
    note.textContent = reason || editsRest(app);
    name.replaceChildren(
      ...(explained ? said(explained.name, explained.target.of(outputAt(explained.subject, explained.target.t))) : []),
    );
  };
  for (const event of ["run", "model", "error"] as const) session.on(event, draw);
  store.subscribe(["page", "step", "head", "label", "measure", "track", "unit"], draw);
  listenInside(words);
  draw();
  return root;
}

function editsRest({ store }: App) {
  return store.get().edits.length === 0
    ? ""
    : "This page explains the run without your edits, which apply on the other pages.";
}

function said(name: string, value: number) {
  return [
    "Explained below: the ",
    element("b", { text: name }),
    ", ",
    element("span", { class: "number", text: tick(format(value)) }),
  ];
}

function fillWords(root: HTMLElement, { store }: App, run: Run | null) {
  const focused = root.contains(document.activeElement);
  const { step, head: name } = store.get();
  const head = run === null ? null : headOf(run, name);
  root.classList.toggle("dense", (run?.steps ?? 0) > DENSE);
  const buttons = (run?.tokens ?? []).map((token, t) => {
    const tag = head && run?.surprise === null ? predictionAt(head, t).label : "";
    const parts = [element("span", { class: "token", text: shortToken(token, LONGEST) })];
    if (tag !== "") parts.push(element("span", { class: "says", text: tag }));
    return element(
      "button",
      {
        ...{
          type: "button",
          "aria-pressed": String(t === step),
          tabindex: t === step ? 0 : -1,
          title: shownToken(token),
        },
        on: { click: () => store.set({ step: t }) },
      },
      parts,
    );
  });
  root.replaceChildren(...buttons);
  if (focused) buttons[step]?.focus();
}

/** The left and right arrow keys move from word to word. */
function listenInside(root: HTMLElement) {
  root.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...root.children];
    const next = all[all.indexOf(document.activeElement as Element) + by];
    if (next instanceof HTMLElement) next.click();
    event.preventDefault();
  });
}
