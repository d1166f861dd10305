// A common mistake and its fix: five elements one at a time, with and without carrying the state, and all five at once.

import { useSignal } from "@preact/signals";
import { steps } from "studio/panels/tour/lesson.js";
import { format } from "studio/ui/draw.js";
import { Choice } from "studio/ui/form.js";

const LOOPS = {
  restart: "for x in inputs:\n    out, hidden = lstm(x, (h0, c0))",
  carry: "hidden = (h0, c0)\nfor x in inputs:\n    out, hidden = lstm(x, hidden)",
};

const vector = (h: number[]) => h.map((value) => format(value).padStart(7)).join(" ");

/** Shows the loop, with or without carrying the state, and its numbers beside those of a single call. */
export function Loop({ onChoose }: { onChoose: (carried: boolean) => void }) {
  const which = useSignal<keyof typeof LOOPS>("restart");
  const [loop, whole] = [steps(which.value === "carry"), steps(true)];
  return (
    <div class="tour-loop">
      <Choice
        {...{ label: "Pass to each step", value: which.value }}
        options={{ restart: "(h0, c0)", carry: "the hidden it returned" }}
        choose={(key) => {
          which.value = key;
          onChoose(key === "carry");
        }}
      />
      <pre tabindex={0}>
        <code>{LOOPS[which.value]}</code>
      </pre>
      <div class="tour-numbers" role="status">
        <table class="tour-table">
          <thead>
            <tr>
              {["step", "h, one at a time", "h, all at once", ""].map((name) => (
                <th scope="col">{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {loop.map(({ h }, t) => {
              const equal = h.every((value, k) => value === whole[t].h[k]);
              return (
                <tr class={equal ? "equal" : "unequal"}>
                  <th scope="row">{t}</th>
                  <td>{vector(h)}</td>
                  <td>{vector(whole[t].h)}</td>
                  <td>{equal ? "same" : "differs"}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </div>
  );
}
