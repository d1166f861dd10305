// A common mistake and its fix: five elements one at a time, with and without carrying the state, and all five at once.

import { steps } from "studio/panels/tour/lesson.js";
import { element, format } from "studio/ui/draw.js";
import { choice } from "studio/ui/fields.js";

const LOOPS = {
  restart: "for x in inputs:\n    out, hidden = lstm(x, (h0, c0))",
  carry: "hidden = (h0, c0)\nfor x in inputs:\n    out, hidden = lstm(x, hidden)",
};

const vector = (h: number[]) => h.map((value) => format(value).padStart(7)).join(" ");

function table(carry: boolean): HTMLElement {
  const [loop, whole] = [steps(carry), steps(true)];
  const lines = loop.map((state, t) => {
    const equal = state.h.every((value, k) => value === whole[t].h[k]);
    return element("tr", { class: equal ? "equal" : "unequal" }, [
      element("th", { scope: "row", text: String(t) }),
      element("td", { text: vector(state.h) }),
      element("td", { text: vector(whole[t].h) }),
      element("td", { text: equal ? "same" : "differs" }),
    ]);
  });
  const heads = ["step", "h, one at a time", "h, all at once", ""];
  return element("table", { class: "tour-table" }, [
    element("thead", {}, [
      element(
        "tr",
        {},
        heads.map((text) => element("th", { scope: "col", text })),
      ),
    ]),
    element("tbody", {}, lines),
  ]);
}

/** Shows the loop, with or without carrying the state, and its numbers beside those of a single call. */
export function loop(onChoose: (carried: boolean) => void): HTMLElement {
  const code = element("code", { text: LOOPS.restart });
  const numbers = element("div", { class: "tour-numbers", role: "status" }, [table(false)]);
  const bar = choice(
    "Pass to each step",
    { restart: "(h0, c0)", carry: "the hidden it returned" },
    "restart",
    (which) => {
      code.textContent = LOOPS[which];
      numbers.replaceChildren(table(which === "carry"));
      onChoose(which === "carry");
    },
  );
  return element("div", { class: "tour-loop" }, [bar, element("pre", { tabindex: "0" }, [code]), numbers]);
}
