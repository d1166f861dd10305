// What the learner does in the card: questions with a numeric answer, true-or-false statements, and a loop to fix.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { Cell } from "studio/runtime/cell.js";
import { KINDS } from "studio/runtime/kinds.js";
import { format } from "studio/ui/draw.js";
import { Button, Choice, Table } from "studio/ui/form.js";

export const rich = (text: string): (VNode | string)[] =>
  text
    .split(/(`[^`]+`|\*[^*\s][^*]*\*)/)
    .filter(Boolean)
    .map((part) => {
      if (part.length > 2 && part.startsWith("`")) return <code>{part.slice(1, -1)}</code>;
      if (part.length > 2 && part.startsWith("*") && part.endsWith("*")) return <em>{part.slice(1, -1)}</em>;
      return part;
    });

/** The response to what the user did last, which is read aloud. */
export const Response = ({ text }: { text: string }) => (
  <p class="tour-said" aria-live="polite">
    {rich(text)}
  </p>
);

/** @param props.respond returns the response to an answer */
export function Question({ label, respond }: { label: string; respond: (answer: number) => string }) {
  const response = useSignal("");
  const input = useRef<HTMLInputElement>(null);
  const check = (event: Event) => {
    event.preventDefault();
    const typed = input.current?.value.trim() ?? "";
    const answer = Number(typed.replace("−", "-").replace(",", "."));
    response.value = typed && Number.isFinite(answer) ? respond(answer) : "Type a number, such as 0.25.";
  };
  return (
    <form class="tour-question" onSubmit={check}>
      <label>
        {rich(label)}
        <input {...{ ref: input, type: "text", inputMode: "decimal", autocomplete: "off", size: 9 }} />
      </label>
      <button type="submit">Check</button>
      <Response text={response.value} />
    </form>
  );
}

interface Statement {
  says: string;
  holds: boolean;
  because: string; // the explanation for a right answer
  mistake: string; // the likely thought behind a wrong answer, and the correction
}

export const STATEMENTS: readonly Statement[] = [
  {
    says: "One layer, one direction: `out[-1]` is `h_n[-1]`",
    holds: true,
    because: "The output is the hidden state, so the last output is the last hidden state.",
    mistake:
      "This treats the output as something computed from the hidden state, or after it. An LSTM has no such output: " +
      "`out[t]` is h after step t itself, and after the last step that is `h_n`.",
  },
  {
    says: "Two layers, one direction: `out[-1]` is `h_n[-1]`",
    holds: true,
    because: "`out` comes from the last layer, and so does the last row of `h_n`.",
    mistake:
      "This treats `h_n[-1]` as a mixture of both layers, or as the first one. The first axis of `h_n` counts " +
      "layers, not steps: its last row belongs to the last layer, and so does `out`.",
  },
  {
    says: "Two layers, one direction: `out[-1]` is `h_n[0]`",
    holds: false,
    because: "`h_n[0]` is the final state of the first layer; `out` does not contain that layer.",
    mistake:
      "This treats `h_n` as a single state, which `[0]` unpacks. It has a row for each layer, and row 0 is the first " +
      "layer's; `out` belongs to the last layer.",
  },
  {
    says: "Two directions: the reverse half of `out[-1]` is the reverse direction's final state",
    holds: false,
    because:
      "The reverse direction reads from the end, so at the last step it has only just begun. It finishes at the first: `out[0]`.",
    mistake:
      "This assumes that the last step is read last. The reverse direction reads it *first*: its half of `out[-1]` " +
      "has seen only one step, and its final state is in `out[0]`.",
  },
  {
    says: "Rows of different lengths: `out[-1]` is each row's last output",
    holds: false,
    because: "A shorter row ends earlier, with only padding after it. Its last output is `out[length - 1]`.",
    mistake:
      "This confuses the end of the batch with the end of each row. The batch is as long as its longest row: at `out[-1]` " +
      "a shorter one has only padding, and its last output is `out[length - 1]`.",
  },
];

export function Quiz({ onAnswer }: { onAnswer: (rights: readonly boolean[]) => void }) {
  const rights = useRef(STATEMENTS.map(() => false));
  return (
    <ol class="tour-quiz">
      {STATEMENTS.map((statement, k) => (
        <Line
          statement={statement}
          onAnswer={(right) => {
            rights.current[k] = right;
            onAnswer(rights.current);
          }}
        />
      ))}
    </ol>
  );
}

function Line({ statement, onAnswer }: { statement: Statement; onAnswer: (right: boolean) => void }) {
  const { says, holds, because, mistake } = statement;
  const chosen = useSignal<boolean | null>(null);
  const right = chosen.value === null ? undefined : chosen.value === holds;
  return (
    <li data-right={right}>
      <p>{rich(says)}</p>
      <div class="tour-answers">
        {[true, false].map((answer) => (
          <Button
            text={answer ? "holds" : "does not"}
            aria-pressed={chosen.value === answer}
            press={() => {
              chosen.value = answer;
              onAnswer(answer === holds);
            }}
          />
        ))}
      </div>
      <Response text={right === undefined ? "" : right ? `Right. ${because}` : `No. ${mistake}`} />
    </li>
  );
}

const LOOPS = {
  restart: "for x in inputs:\n    out, hidden = lstm(x, (h0, c0))",
  carry: "hidden = (h0, c0)\nfor x in inputs:\n    out, hidden = lstm(x, hidden)",
};

const vector = (h: number[]) => h.map((value) => format(value).padStart(7)).join(" ");

/** Shows the loop, with or without carrying the state, and its numbers beside those of a single call. */
export function Loop({ onChoose }: { onChoose: (carried: boolean) => void }) {
  const which = useSignal<keyof typeof LOOPS>("restart");
  const [loop, whole] = [steps(which.value === "carry"), steps(true)];
  const isEqual = (t: number) => loop[t].h.every((value, k) => value === whole[t].h[k]);
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
        <Table
          {...{ class: "tour-table", isNamed: true, rowKind: (t) => (isEqual(t) ? "equal" : "unequal") }}
          rows={[
            ["step", "h, one at a time", "h, all at once", ""],
            ...loop.map(({ h }, t) => [t, vector(h), vector(whole[t].h), isEqual(t) ? "same" : "differs"]),
          ]}
        />
      </div>
    </div>
  );
}

// The small LSTM of the lesson: torch.manual_seed(2), torch.nn.LSTM(4, 3), then five inputs and a state from torch.randn.
const LESSON = new Cell(
  { name: "l0", layer: 0, reverse: false, inputSize: 4, units: 3, outputs: 3 },
  {
    weight_ih: Float32Array.from([
      0.13243847, -0.13739452, 0.158326, -0.029489806, 0.24663691, 0.13745137, -0.066357568, -0.46676618, 0.13181737,
      -0.51115394, 0.075879991, 0.038369466, -0.12695837, 0.47209755, 0.038530517, 0.23941471, 0.24433161, -0.34059715,
      -0.22195333, 0.5552482, -0.56550151, -0.039212648, -0.045754857, 0.40952, -0.054888416, 0.15202661, -0.027714934,
      -0.3232854, -0.32723647, -0.28049624, -0.52446753, -0.37469009, 0.13587877, 0.37998077, 0.028441593, -0.26465145,
      0.25373593, -0.22162896, -0.12789398, -0.31650761, -0.18128943, -0.53497261, 0.2463495, 0.22449444, 0.11468113,
      0.28346813, 0.24469942, 0.025543764,
    ]),
    weight_hh: Float32Array.from([
      0.061144587, 0.044087145, 0.30807278, 0.38783315, 0.41462156, 0.33463544, -0.14076346, -0.02570227, -0.1173305,
      0.33586308, 0.064119428, 0.53435904, 0.29282764, -0.49343765, 0.16889355, 0.55476099, 0.51282787, -0.0090729231,
      0.19153817, -0.54158431, -0.1840598, 0.2815387, -0.52594471, 0.50298941, -0.37967953, 0.1825711, -0.021857537,
      0.10173904, 0.055936493, -0.53972578, -0.12401491, -0.36494949, 0.49083674, -0.070869498, -0.57487786, 0.13983363,
    ]),
    bias_ih: Float32Array.from([
      0.25072604, -0.25845578, -0.054160036, 0.24959449, -0.3592312, -0.30519682, -0.055694845, -0.40544656, 0.35483846,
      0.047222149, 0.34543112, 0.30908775,
    ]),
    bias_hh: Float32Array.from([
      -0.44494167, -0.35985908, -0.39489725, -0.18556088, -0.21097787, -0.093028761, -0.55852896, 0.24381314,
      0.32753465, 0.18298145, 0.36688128, 0.43372303,
    ]),
    weight_hr: null,
  },
  KINDS.LSTM,
);
export const INPUTS = [
  [1.4933516, 0.49872792, 0.23187248, 1.1746274],
  [-1.3967456, 0.89978111, 1.0956128, -0.52312464],
  [-0.8462221, -0.99458253, 0.63109118, 0.53272527],
  [-0.84538585, 0.9405607, -2.122406, 0.023346107],
  [0.48356959, 1.2895133, 0.89569521, -0.24653924],
];
type State = { h: number[]; c: number[] };
export const START: State = { h: [1.9421614, -0.36275861, -1.0493711], c: [-1.0264258, 1.3494372, 0.80177182] };

export function step(x: number[], { h, c }: State): State {
  const before = { h: Float32Array.from(h), c: Float32Array.from(c) };
  const { state } = LESSON.scan(Float32Array.from(x), 1, before, [], 0);
  return { h: Array.from(state.h), c: Array.from(state.c) };
}

/** The states after each of the five elements, which continue from the last one's, or all from the initial one. */
function steps(carry: boolean): State[] {
  let state = START;
  return INPUTS.map((x) => (state = step(x, carry ? state : START)));
}
