// The edits in force, one a line, and the Python that does the same.

import { actionOf, pythonOf, sentenceOf, whereOf } from "studio/panels/edits/words.js";
import { inForce, restingReason } from "studio/state/edits.js";
import { element } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */

/**
 * @typedef {object} Doings
 * @property {(index: number, at: DOMRect) => void} change
 * @property {(index: number) => void} remove
 */

/**
 * @param {readonly Edit[]} edits
 * @param {Model} model
 * @param {Run} run
 * @param {Doings} doings
 * @returns {HTMLElement}
 */
export function editList(edits, model, run, doings) {
  return element(
    "ol",
    { class: "edit-list", "aria-label": "Edits in force" },
    edits.map((edit, index) => line(edit, index, model, run, doings)),
  );
}

/**
 * @param {Edit} edit
 * @param {number} index
 * @param {Model} model
 * @param {Run} run
 * @param {Doings} doings
 */
function line(edit, index, model, run, doings) {
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
    button("×", () => doings.remove(index), { class: "edit-close", "aria-label": `Remove: ${sentence}` }),
  );
  return item;
}

/**
 * @param {readonly Edit[]} edits
 * @param {Model} model
 * @param {Run} run
 * @returns {HTMLElement}
 */
export function pythonLines(edits, model, run) {
  const text = pythonOf(inForce(edits, model, run.steps), model, run.tokens);
  const copy = button("Copy", () => copyText(text, copy));
  return element("figure", { class: "edit-python" }, [
    element("figcaption", {}, ["The same in Python", copy]),
    element("pre", { tabindex: "0" }, [element("code", { text })]),
  ]);
}

/**
 * @param {string} text
 * @param {HTMLElement} button says how it went
 */
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it and copy"; // pages from files and notebooks may not reach the clipboard
  }
}
