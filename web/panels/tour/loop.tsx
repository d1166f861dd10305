// A common mistake and its fix: five elements one at a time, with and without carrying the state, and all five at once.

import { useSignal } from "@preact/signals";
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

const WEIGHT_IH = [
  [0.13243847, -0.13739452, 0.158326, -0.029489806],
  [0.24663691, 0.13745137, -0.066357568, -0.46676618],
  [0.13181737, -0.51115394, 0.075879991, 0.038369466],
  [-0.12695837, 0.47209755, 0.038530517, 0.23941471],
  [0.24433161, -0.34059715, -0.22195333, 0.5552482],
  [-0.56550151, -0.039212648, -0.045754857, 0.40952],
  [-0.054888416, 0.15202661, -0.027714934, -0.3232854],
  [-0.32723647, -0.28049624, -0.52446753, -0.37469009],
  [0.13587877, 0.37998077, 0.028441593, -0.26465145],
  [0.25373593, -0.22162896, -0.12789398, -0.31650761],
  [-0.18128943, -0.53497261, 0.2463495, 0.22449444],
  [0.11468113, 0.28346813, 0.24469942, 0.025543764],
];
const WEIGHT_HH = [
  [0.061144587, 0.044087145, 0.30807278],
  [0.38783315, 0.41462156, 0.33463544],
  [-0.14076346, -0.02570227, -0.1173305],
  [0.33586308, 0.064119428, 0.53435904],
  [0.29282764, -0.49343765, 0.16889355],
  [0.55476099, 0.51282787, -0.0090729231],
  [0.19153817, -0.54158431, -0.1840598],
  [0.2815387, -0.52594471, 0.50298941],
  [-0.37967953, 0.1825711, -0.021857537],
  [0.10173904, 0.055936493, -0.53972578],
  [-0.12401491, -0.36494949, 0.49083674],
  [-0.070869498, -0.57487786, 0.13983363],
];
const BIAS_IH = [
  0.25072604, -0.25845578, -0.054160036, 0.24959449, -0.3592312, -0.30519682, -0.055694845, -0.40544656, 0.35483846,
  0.047222149, 0.34543112, 0.30908775,
];
const BIAS_HH = [
  -0.44494167, -0.35985908, -0.39489725, -0.18556088, -0.21097787, -0.093028761, -0.55852896, 0.24381314, 0.32753465,
  0.18298145, 0.36688128, 0.43372303,
];

export const INPUTS = [
  [1.4933516, 0.49872792, 0.23187248, 1.1746274],
  [-1.3967456, 0.89978111, 1.0956128, -0.52312464],
  [-0.8462221, -0.99458253, 0.63109118, 0.53272527],
  [-0.84538585, 0.9405607, -2.122406, 0.023346107],
  [0.48356959, 1.2895133, 0.89569521, -0.24653924],
];
type State = { h: number[]; c: number[] };
export const START: State = { h: [1.9421614, -0.36275861, -1.0493711], c: [-1.0264258, 1.3494372, 0.80177182] };

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const dot = (a: number[], b: number[]) => a.reduce((sum, value, k) => sum + value * b[k], 0);

/** Computes one step of one unit. The gates are stacked i, f, g, o, three rows each. */
function unitStep(x: number[], state: State, unit: number): { h: number; c: number } {
  const [i, f, g, o] = [0, 3, 6, 9].map((first) => {
    const row = first + unit;
    return dot(WEIGHT_IH[row], x) + BIAS_IH[row] + dot(WEIGHT_HH[row], state.h) + BIAS_HH[row];
  });
  const c = sigmoid(f) * state.c[unit] + sigmoid(i) * Math.tanh(g);
  return { h: sigmoid(o) * Math.tanh(c), c };
}

/** Computes one step of all three units. */
export function step(x: number[], state: State): State {
  const units = [0, 1, 2].map((unit) => unitStep(x, state, unit));
  return { h: units.map((unit) => unit.h), c: units.map((unit) => unit.c) };
}

/** The states after each of the five elements, which continue from the last one's, or all from the initial one. */
export function steps(carry: boolean): State[] {
  let state = START;
  return INPUTS.map((x) => {
    const after = step(x, carry ? state : START);
    state = after;
    return after;
  });
}
