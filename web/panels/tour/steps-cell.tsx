// Steps 4 to 6: computing the cell's two equations by hand, and finding the rows of the gates' weights.

import { useSignal } from "@preact/signals";
import { here, isSilent, mixed, silent, silentBounds, sizeLetters } from "studio/panels/tour/steps-gates.js";
import { Question, Response } from "studio/panels/tour/exercises.js";
import type { Now, Step } from "studio/panels/tour/types.js";
import { neighbours } from "studio/state/moment.js";
import { stepName, trackOf } from "studio/state/run.js";
import { format } from "studio/ui/draw.js";
import { Button } from "studio/ui/form.js";
import { factor, initialState } from "studio/ui/moment-words.js";

const NEAR = 0.006; // tolerance for rounding to two decimal places

function projected(now: Now) {
  const { H, P } = sizeLetters(now);
  return P !== H;
}

const asked = (now: Now) => here(now, now.memory as { track: string; unit: number; step: number });

/** Describes where the previous cell state comes from, if not from a step of this run. */
function begun(now: Now): string {
  const { run, model, app, memory } = now;
  const track = trackOf(run, memory.track);
  const { before } = neighbours(track, Math.min(memory.step, run.steps - 1), run.steps);
  return before === null ? ` (${initialState(model, track, app.session.live).phrase})` : "";
}

function checked(now: Now, answer: number): string {
  const { f, c_prev: before, i, g, c, kept: left, wrote } = asked(now);
  const sum = left + wrote; // in a bfloat16 or float16 run, the result was rounded
  if (Math.abs(answer - c) <= NEAR || Math.abs(answer - sum) <= NEAR) {
    now.memory.right = true;
    return `Right: c = ${format(c)}.`;
  }
  now.memory.tries = (now.memory.tries ?? 0) + 1;
  const kept = `What is kept is \`f·c_prev = ${format(f)}·${factor(before)} = ${format(left)}\``;
  if (now.memory.tries === 1) return `Not quite. ${kept}. Now add what is written.`;
  return `${kept}, what is written is \`i·g = ${format(i)}·${factor(g)} = ${format(wrote)}\`. Add the two.`;
}

const BY_HAND: Step = {
  title: "c = f·c_prev + i·g, by hand",
  panels: ({ memory }) => (memory.right ? ["microscope"] : []),
  sets: ({ run, view, memory }) => {
    const track = trackOf(run, view.track);
    const { unit, t: step } = mixed(track, run.steps);
    Object.assign(memory, { track: track.info.name, unit, step });
    return { page: "read", unit, step, track: track.info.name };
  },
  says: (now) => {
    const { f, c_prev: before, i, g } = asked(now);
    const { track, unit, step } = now.memory;
    return [
      "One line is the heart of an LSTM. The new cell state is the old one, scaled by f, plus the " +
        "candidate, scaled by i: `c = f·c_prev + i·g`.",
      `Here is unit ${unit} of ${track} at ${stepName(now.run, Math.min(step, now.run.steps - 1))}. Its cell state was ` +
        `\`${format(before)}\`${begun(now)}. Now \`f = ${format(f)}\`, \`i = ${format(i)}\` and \`g = ${format(g)}\`.`,
    ];
  },
  task: () => "What is the new c? Work it out with a pencil or a calculator; two decimal places are enough.",
  work: (now, again) => (
    <Question
      label="c = "
      respond={(answer) => {
        const response = checked(now, answer);
        again();
        return response;
      }}
    />
  ),
  done: ({ memory }) => Boolean(memory.right),
  learnt: () =>
    "There it is in the cell: kept and written, side by side. There is no matrix between the old cell state and the " +
    "new one; that is why a cell can hold on to something for a long time, as long as its f stays near 1.",
};

const READ_OUT: Step = {
  title: "h = o·tanh(c): what is stored and what is output",
  panels: () => ["heatmap", "microscope"],
  sets: ({ run, view, memory }) => {
    const track = trackOf(run, view.track);
    memory.bounds = silentBounds(track, run.steps);
    memory.began = `${view.track} ${view.unit} ${view.step}`;
    return { page: "read", quantity: "o" };
  },
  restores: ["quantity"],
  says: (now) => {
    const told = projected(now) ? "m" : "h";
    return [
      "What a unit stores and what it outputs are two different things. tanh squashes the cell state between −1 and 1, and the output " +
        `gate lets some of it through: \`${told} = o·tanh(c)\`.` +
        (projected(now)
          ? " (This network has a projection as well: its hidden state is `h = W_hr·m`, a shorter vector, in which " +
            "all units are mixed.)"
          : ""),
      `While o is nearly closed, a unit can keep a secret: a lot in c, next to nothing in ${told}. The next step's gates ` +
        "and the layer above only see h.",
    ];
  },
  task: ({ memory }) =>
    `Find such a secret: a place where |c| is at least ${memory.bounds.c} and o is at most ` +
    `${memory.bounds.o}. The heat map shows o; you can switch it to c.`,
  work: (now) => <Hint now={now} />,
  watch: (now) => {
    const { view, memory } = now;
    memory.moved ||= memory.began !== `${view.track} ${view.unit} ${view.step}`;
    memory.found ||= memory.moved && isSilent(here(now, now.view), memory.bounds);
  },
  status: (now) => `here c is ${format(here(now, now.view).c)} and o is ${format(here(now, now.view).o)}`,
  done: ({ memory }) => Boolean(memory.found),
  learnt: () =>
    "The cell state is the long-term memory, and the hidden state is the part of it that is output: the short-term memory and, in " +
    "the last layer, the output.",
};

function Hint({ now: { app, run } }: { now: Now }) {
  const hint = useSignal("");
  const give = () => {
    const { unit, t } = silent(trackOf(app.session.plain ?? run, app.store.get().track), run.steps);
    hint.value = `Look at unit ${unit}, step ${t}.`;
  };
  return (
    <div class="tour-hint">
      <Button text="Give me a hint" press={give} />
      <Response text={hint.value} />
    </div>
  );
}

/** Explains which row the answer refers to, if it is not the gate's first row; `row`: the right one. */
function rowMistake(answer: number, row: number, H: number): string {
  const order = "The order is i, f, g, o.";
  if (answer * H === row && H > 1)
    return `That counts gates, but the question is about rows: each gate has H = ${H} of them.`;
  if (answer === row - 1) return "That is the last row of the previous gate.";
  if (answer === row + 1) return "That is its second row: rows count from 0.";
  if (answer === 4 * H) return `That is past the last row: all four gates have 4·H = ${4 * H} rows, counted from 0.`;
  if (answer % H === 0 && answer >= 0 && answer < 4 * H) return `That is where ${"ifgo"[answer / H]} starts. ${order}`;
  return `Each gate has H = ${H} rows. ${order}`;
}

const STACKED: Step = {
  title: "Four gates in one matrix",
  panels: () => ["weights"],
  sets: ({ model }) => ({ page: "structure", track: model.tracks[0].name }),
  restores: ["page", "track"],
  says: (now) => {
    const { C, H, P } = sizeLetters(now);
    return [
      "A gate (counting g as one here) is a weighted sum of the input and the previous hidden state, squashed. One " +
        `gate's weights for the input are \`[H, C] = [${H}, ${C || "C"}]\`. torch stacks those of all four gates ` +
        `into one matrix, in the order i, f, g, o: \`weight_ih_l0 [4H, C] = [${4 * H}, ${C || "C"}]\`.`,
      `\`weight_hh_l0 [4H, ${P === H ? "H" : "P"}] = [${4 * H}, ${P}]\` is stacked the same way, and so are the ` +
        `biases, if there are any. If you mix up the order, you get an LSTM that runs but is wrong.`,
    ];
  },
  task: () =>
    "Rows are counted from 0, and the input gate's come first. At which row do the forget gate's start, and at which the " +
    "output gate's?",
  work: (now, again) => {
    const { H } = sizeLetters(now);
    const ask = (gate: string, name: string, row: number) => (
      <Question
        label={`the ${name}'s first row: `}
        respond={(answer) => {
          now.memory[gate] = answer === row;
          again();
          return answer === row
            ? `Right: \`${gate}\` has rows ${row} to ${row + H - 1}.`
            : `Not ${answer}. ${rowMistake(answer, row, H)}`;
        }}
      />
    );
    return [ask("f", "forget gate", H), ask("o", "output gate", 3 * H)];
  },
  done: ({ memory }) => Boolean(memory.f && memory.o),
  learnt: (now) => {
    const { H } = sizeLetters(now);
    return (
      `So \`weight_ih_l0[${H}:${2 * H}]\` is the forget gate's. If you use names, you don't have to count: ` +
      `\`lstm.weight("l0.W_if")\`.`
    );
  },
};

export const CELL: readonly Step[] = [BY_HAND, READ_OUT, STACKED];
