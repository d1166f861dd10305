// Statements that hold or do not, each with its reason once it is answered.

import { rich } from "studio/panels/tour/text.js";
import { element } from "studio/ui/draw.js";

/**
 * @typedef {object} Statement
 * @property {string} says
 * @property {boolean} holds
 * @property {string} because why it holds, or does not: for who is right
 * @property {string} mistake what one may have thought who chose the other answer, and what is so instead
 */

/** @type {readonly Statement[]} */
export const STATEMENTS = [
  {
    says: "One layer, one direction: `out[-1]` is `h_n[-1]`",
    holds: true,
    because: "The output is the hidden state, so the last output is the last hidden state.",
    mistake:
      "This takes the output for something made from the hidden state, or after it. An LSTM has no such thing: " +
      "`out[t]` is h after step t itself, and after the last step that is `h_n`.",
  },
  {
    says: "Two layers, one direction: `out[-1]` is `h_n[-1]`",
    holds: true,
    because: "`out` is the last layer's, and so is the last row of `h_n`.",
    mistake:
      "This takes `h_n[-1]` for a mixture of both layers, or for the first of them. The first axis of `h_n` counts " +
      "layers, not steps: its last row is the last layer's, and `out` is of the last layer too.",
  },
  {
    says: "Two layers, one direction: `out[-1]` is `h_n[0]`",
    holds: false,
    because: "`h_n[0]` is where the first layer ended; `out` does not show that layer.",
    mistake:
      "This takes `h_n` for one state, which `[0]` unpacks. It has a row for each layer, and row 0 is the first " +
      "layer's; `out` is the last one's.",
  },
  {
    says: "Two directions: the reverse half of `out[-1]` is the reverse's final state",
    holds: false,
    because: "The reverse reads from the end, so at the last step it has only begun. It ends at the first: `out[0]`.",
    mistake:
      "This takes the last step for the one that is read last. The reverse reads it *first*: its half of `out[-1]` " +
      "knows one step only, and its final state stands in `out[0]`.",
  },
  {
    says: "Rows of different lengths: `out[-1]` is each row's last output",
    holds: false,
    because: "A shorter row ended before; after its end there is only padding. Its last output is `out[length - 1]`.",
    mistake:
      "This takes the end of the batch for the end of each row. The batch is as long as its longest row: at `out[-1]` " +
      "a shorter one has only padding, and its last output stands in `out[length - 1]`.",
  },
];

/**
 * @param {Statement} statement
 * @param {(right: boolean) => void} onAnswer
 * @returns {HTMLElement}
 */
function line({ says, holds, because, mistake }, onAnswer) {
  const said = element("p", { class: "tour-said", "aria-live": "polite" });
  const buttons = [true, false].map((answer) => {
    const made = element("button", { type: "button", text: answer ? "holds" : "does not", "aria-pressed": "false" });
    made.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === made));
      const right = answer === holds;
      said.replaceChildren(...rich(right ? `Right. ${because}` : `No. ${mistake}`));
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
