// The edits in force, one per line, and the equivalent Python.

import { actionOf, pythonOf, sentenceOf, whereOf } from "studio/panels/edits/words.js";
import { inForce, restingReason } from "studio/state/edits.js";
import type { Edit, Model, Run } from "studio/types.js";
import { element } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";

const MOST_LINES = 8; // at least this many edits of one place are grouped

interface Doings {
  change: (index: number, at: DOMRect) => void;
  remove: (index: number, count: number) => void;
}

export function editList(edits: readonly Edit[], model: Model, run: Run, doings: Doings): HTMLElement {
  return element(
    "ol",
    { class: "edit-list", "aria-label": "Edits in force" },
    bundlesOf(edits).map(({ from, count }) =>
      count < MOST_LINES
        ? line(edits[from], from, model, run, doings)
        : bundleLine(edits.slice(from, from + count), from, model, run, doings),
    ),
  );
}

/**
 * Groups edits that set the units of one place to different values, such as a patch, which has one edit for each unit.
 *
 * @returns a bundle of fewer than MOST_LINES is one edit
 */
export function bundlesOf(edits: readonly Edit[]): { from: number; count: number }[] {
  const found: { from: number; count: number }[] = [];
  for (let from = 0; from < edits.length;) {
    let count = 1;
    while (from + count < edits.length && goTogether(edits[from], edits[from + count])) count += 1;
    found.push({ from, count: count < MOST_LINES ? 1 : count });
    from += count < MOST_LINES ? 1 : count;
  }
  return found;
}

function goTogether(a: Edit, b: Edit) {
  const same = ({ place, kind, t, scope }: Edit) => JSON.stringify([place, kind, t, scope]);
  return a.kind === "set" && a.unit?.length === 1 && b.unit?.length === 1 && same(a) === same(b);
}

/** @param edits of a bundle */
function bundleLine(edits: readonly Edit[], from: number, model: Model, run: Run, doings: Doings) {
  const [first] = edits;
  const rests = restingReason(first, model, run.steps);
  const where = whereOf({ ...first, unit: null }, run.tokens).replace(/^all units, /, "");
  const name = `${edits.length} units of ${first.place}, each set to its own value (${where})`;
  return element("li", { class: rests ? "resting" : "" }, [
    element("div", { class: "edit-what" }, [
      element("code", { text: first.place }),
      ` ${edits.length} units, each set to its own value`,
      element("span", { class: "edit-where", text: where }),
      ...(rests ? [element("span", { class: "edit-rests", text: `Resting: ${rests}.` })] : []),
    ]),
    button("\u00d7", () => doings.remove(from, edits.length), { class: "edit-close", "aria-label": `Remove: ${name}` }),
  ]);
}

function line(edit: Edit, index: number, model: Model, run: Run, doings: Doings) {
  const sentence = sentenceOf(edit, model, run.tokens);
  const rests = restingReason(edit, model, run.steps);
  const item = element("li", { class: rests ? "resting" : "" }, [
    element("div", { class: "edit-what" }, [
      element("code", { text: edit.place }),
      ` ${actionOf(edit)}`,
      element("span", {
        class: "edit-where",
        text: `${whereOf(edit, run.tokens)}${edit.scope === "readout" ? ", readout" : ""}`,
      }),
      ...(rests ? [element("span", { class: "edit-rests", text: `Resting: ${rests}.` })] : []),
    ]),
  ]);
  const change = button("Change", () => doings.change(index, item.getBoundingClientRect()), {
    "aria-label": `Change: ${sentence}`,
  });
  change.disabled = rests !== "";
  item.append(
    change,
    button("×", () => doings.remove(index, 1), { class: "edit-close", "aria-label": `Remove: ${sentence}` }),
  );
  return item;
}

export function pythonLines(edits: readonly Edit[], model: Model, run: Run): HTMLElement {
  const text = pythonOf(inForce(edits, model, run.steps), model, run.tokens);
  const copy = button("Copy", () => copyText(text, copy));
  return element("figure", { class: "edit-python" }, [
    element("figcaption", {}, ["The same in Python", copy]),
    element("pre", { tabindex: "0" }, [element("code", { text })]),
  ]);
}

/** @param button shows the outcome */
async function copyText(text: string, button: HTMLElement) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it and copy"; // pages opened from files or in notebooks may have no access to the clipboard
  }
}
