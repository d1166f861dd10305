// True-or-false statements, each explained once it is answered.

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { Response, rich } from "studio/panels/tour/text.js";
import { Button } from "studio/ui/form.js";

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
