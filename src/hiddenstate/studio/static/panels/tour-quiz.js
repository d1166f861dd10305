// Statements that hold or do not, each with its reason once it is answered.

import { element } from "studio/app/draw.js";
import { rich } from "studio/panels/tour-text.js";

/** @typedef {{says: string, holds: boolean, because: string}} Statement */

/** @type {readonly Statement[]} */
export const STATEMENTS = [
  {
    says: "One layer, one direction: `out[-1]` is `h_n[-1]`",
    holds: true,
    because: "The output is the hidden state, so the last output is the last hidden state.",
  },
  {
    says: "Two layers: `out[-1]` is `h_n[-1]`",
    holds: true,
    because: "`out` is the last layer's, and so is the last row of `h_n`.",
  },
  {
    says: "Two layers: `out[-1]` is `h_n[0]`",
    holds: false,
    because: "`h_n[0]` is where the first layer ended; `out` does not show that layer.",
  },
  {
    says: "Two directions: the reverse half of `out[-1]` is the reverse's final state",
    holds: false,
    because: "The reverse reads from the end, so at the last step it has only begun. It ends at the first: `out[0]`.",
  },
  {
    says: "Rows of different lengths: `out[-1]` is each row's last output",
    holds: false,
    because: "A shorter row ended before; after its end there is only padding. Its last output is `out[length - 1]`.",
  },
];

/**
 * @param {Statement} statement
 * @param {(right: boolean) => void} onAnswer
 * @returns {HTMLElement}
 */
function line({ says, holds, because }, onAnswer) {
  const said = element("p", { class: "tour-said", "aria-live": "polite" });
  const buttons = [true, false].map((answer) => {
    const made = element("button", { type: "button", text: answer ? "holds" : "does not", "aria-pressed": "false" });
    made.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === made));
      const right = answer === holds;
      said.replaceChildren(...rich(right ? `Right. ${because}` : "Think again: who made that vector, and when?"));
      item.dataset.right = String(right);
      onAnswer(right);
    });
    return made;
  });
  const item = element("li", {}, [
    element("p", {}, rich(says)),
    element("div", { class: "tour-answers" }, buttons),
    said,
  ]);
  return item;
}

/**
 * @param {(rights: boolean[]) => void} onAnswer
 * @returns {HTMLElement}
 */
export function quiz(onAnswer) {
  const rights = STATEMENTS.map(() => false);
  return element(
    "ol",
    { class: "tour-quiz" },
    STATEMENTS.map((statement, k) =>
      line(statement, (right) => {
        rights[k] = right;
        onAnswer(rights);
      }),
    ),
  );
}
