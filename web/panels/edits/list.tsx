// The edits in force, one per line, and the equivalent Python.

import type { ComponentChildren } from "preact";
import { actionText, editSentence, extentText, pythonBlock } from "studio/panels/edits/words.js";
import { inForce, restingReason } from "studio/state/edits.js";
import type { Edit, Model, Run } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Button, Code } from "studio/ui/form.js";

const MOST_LINES = 8; // at least this many edits of one place are grouped

interface Edits {
  edits: readonly Edit[];
  model: Model;
  run: Run;
}

export const EditList = ({ edits, model, run, change }: Edits & { change: (index: number, at: DOMRect) => void }) => (
  <ol class="edit-list" aria-label="Edits in force">
    {bundles(edits).map(({ from, count }) => {
      const [edit, rests] = [edits[from], restingReason(edits[from], model, run.steps)];
      if (count > 1) {
        const where = extentText({ ...edit, unit: null }, run.tokens).replace(/^all units, /, "");
        const action = `${count} units, each set to its own value`;
        const name = `${count} units of ${edit.place}, each set to its own value (${where})`;
        return <Line {...{ edits, from, count, action, where, rests, name }} />;
      }
      const name = editSentence(edit, model, run.tokens);
      const where = `${extentText(edit, run.tokens)}${edit.scope === "readout" ? ", readout" : ""}`;
      return (
        <Line {...{ edits, from, count, action: actionText(edit), where, rests, name }}>
          <Button
            text="Change"
            {...{ "aria-label": `Change: ${name}`, disabled: rests !== "" }}
            press={({ currentTarget }) =>
              change(from, (currentTarget.closest("li") as HTMLElement).getBoundingClientRect())
            }
          />
        </Line>
      );
    })}
  </ol>
);

type Bundle = { from: number; count: number };
type LineProps = Record<"action" | "where" | "rests" | "name", string> &
  Pick<Edits, "edits"> &
  Bundle & { children?: ComponentChildren };

/** @param props.rests why it is not in force; "" if it is */
function Line(props: LineProps) {
  const { store } = useApp();
  const { edits, from, count, rests, name } = props;
  const remaining = edits.filter((_, k) => k < from || k >= from + count);
  return (
    <li class={rests ? "resting" : ""}>
      <div class="edit-what">
        <code>{edits[from].place}</code> {props.action}
        <span class="edit-where">{props.where}</span>
        {rests && <span class="edit-rests">{`Resting: ${rests}.`}</span>}
      </div>
      {props.children}
      <Button
        text="×"
        {...{ kind: "edit-close", "aria-label": `Remove: ${name}` }}
        press={() => store.change({ edits: remaining }, "remove an edit")}
      />
    </li>
  );
}

/** Groups edits that set units of one place, as a patch does; those of fewer than MOST_LINES stay apart. */
export function bundles(edits: readonly Edit[]): Bundle[] {
  const same = ({ place, kind, t, scope }: Edit) => JSON.stringify([place, kind, t, scope]);
  const isOne = ({ kind, unit }: Edit) => kind === "set" && unit?.length === 1;
  const goTogether = (a: Edit, b: Edit) => isOne(a) && isOne(b) && same(a) === same(b);
  const all: Bundle[] = [];
  for (let from = 0; from < edits.length;) {
    let count = 1;
    while (from + count < edits.length && goTogether(edits[from], edits[from + count])) count += 1;
    all.push({ from, count: count < MOST_LINES ? 1 : count });
    from += count < MOST_LINES ? 1 : count;
  }
  return all;
}

export const PythonLines = ({ edits, model, run }: Edits) => (
  <div class="edit-python">
    <Code title="The same in Python" text={pythonBlock(inForce(edits, model, run.steps), model, run)} />
  </div>
);
