// The meaning of the cell's numbers in words, and its equations with numbers filled in, as Python prints them.

import { type CellKind, type CellLabel, gatesApart } from "studio/runtime/kinds.js";
import { type Moment, memoryBefore, squashName } from "studio/state/moment.js";
import { stepName, wordAt } from "studio/state/run.js";
import type { Model, Run, Track } from "studio/types.js";
import { format, percent } from "studio/ui/draw.js";

const LONGEST = 9; // maximum number of characters of a token shown in a box

/** Returns a size as text, or "?" if a recorded run does not contain it. */
export const sizeText = (size: number): string => (size === 0 ? "?" : String(size));

/** Returns a number as a factor, in brackets if it is negative. */
export const factor = (value: number): string => (value < 0 ? `(${format(value)})` : format(value));

export function gateEffect(gate: string, value: number): string {
  if (!Number.isFinite(value)) return "no number";
  const share = percent(value);
  const effects: Record<string, string> = {
    ...{ f: `keeps ${share} of c_prev`, i: `writes ${share} of g`, o: `outputs ${share} of tanh(c)` },
    ...{ z: `keeps ${share} of h_prev`, r: `n reads ${share} of n_h`, n: "h moves towards it", h: "memory and output" },
  };
  return effects[gate] ?? (value < 0 ? "would lower c" : "would raise c");
}

/** Describes what happened to the memory: "up by 0.2446". */
export function changeText({ values, cell }: Moment): string {
  const change = values[cell.memory] - values[memoryBefore(cell)];
  if (!Number.isFinite(change)) return "no number";
  return `${change < 0 ? "down" : "up"} by ${format(Math.abs(change))}`;
}

export interface Line {
  name: string; // "kept"
  formula: string; // "f·c_prev"; "" if the numbers suffice
  numbers: string; // "0.0259·0.2446"
  value: string; // "0.0063": what the equation gives
  edited: boolean; // whether the run has a different value
}

/** Returns the equations of the states, with the kept and the written part on separate lines. */
export const equationLines = (moment: Moment): Line[] => LINES[moment.cell.label](moment);

function lstmLines(moment: Moment): Line[] {
  const { i, f, g, o, c_prev, kept, wrote, c } = moment.values;
  const { shown } = moment;
  return [
    line("kept", "f·c_prev", `${format(f)}·${factor(c_prev)}`, kept),
    line("written", "i·g", `${format(i)}·${factor(g)}`, wrote),
    { ...result(moment, "c"), numbers: sumText(kept, wrote) },
    { ...result(moment, shown), formula: "o·tanh(c)", numbers: `${format(o)}·tanh(${format(c)})` },
  ];
}

function gruLines(moment: Moment): Line[] {
  const { r, z, n, h_prev, n_h, n_rh, kept, write, wrote } = moment.values;
  const reads = line("n_rh", "r·n_h", `${format(r)}·${factor(n_h)}`, n_rh);
  return [
    ...(Number.isFinite(n_h) ? [reads] : []),
    line("kept", "z·h_prev", `${format(z)}·${factor(h_prev)}`, kept),
    line("written", "(1-z)·n", `${format(write)}·${factor(n)}`, wrote),
    { ...result(moment, "h"), numbers: sumText(kept, wrote) },
  ];
}

function rnnLines(moment: Moment): Line[] {
  const { from_x, from_h, sum } = moment.values;
  const name = squashName(moment.cell, "h");
  const h = { ...result(moment, "h"), formula: `${name}(sum)`, numbers: `${name}(${format(sum)})` };
  if (!Number.isFinite(from_h)) return [h];
  return [
    line("from x", "", "W_ih·x + b_ih", from_x),
    line("from h", "", "W_hh·h_prev + b_hh", from_h),
    line("sum", "", sumText(from_x, from_h), sum),
    h,
  ];
}

const LINES: Record<CellLabel, (moment: Moment) => Line[]> = { LSTM: lstmLines, GRU: gruLines, RNN: rnnLines };

function line(name: string, formula: string, numbers: string, value: number): Line {
  return { name, formula, numbers, value: format(value), edited: false };
}

/** The line of a state, which an edit may have replaced. */
function result({ values, computed }: Moment, name: string): Line {
  return { ...line(name, "", "", computed[name] ?? values[name]), edited: name in computed };
}

const sumText: (a: number, b: number) => string = (a, b) => `${format(a)} ${b < 0 ? "-" : "+"} ${format(Math.abs(b))}`;

/** Where the previous states come from: "from step 1, “in”", or `beginning` if no step of the run produced them. */
export const source = (run: Run, before: number | null, beginning: string): string =>
  before === null ? beginning : `from ${stepText(run, before)}`;

/** The initial state of a run, for a box and as a part of a sentence; `live`: whether it is a stream in Python. */
export function initialState({ kind }: Model, track: Track, live: boolean): { label: string; phrase: string } {
  if (kind === "language-model")
    return { label: "from newline", phrase: "the state after a newline, which the model reads before any text" };
  const zero = Object.values(track.initial).every((state) => state.every((value) => value === 0));
  if (zero) return { label: "initial state", phrase: "the initial state, zero" };
  return live
    ? { label: "from earlier", phrase: "the stream's state before the steps shown" }
    : { label: "initial state", phrase: "the given initial state" };
}

export const destination = (run: Run, after: number | null): string =>
  after === null ? "final state" : `to ${stepText(run, after)}`;

function stepText(run: Run, t: number) {
  const word = wordAt(run, t, LONGEST);
  return word === "" ? `step ${t}` : `“${word}”`;
}

/** The reading direction and the previous state; `beginning`: what it is if no step was read before, otherwise "". */
export function readingWay({ carried }: CellKind, reverse: boolean, unit: string, beginning: string): string {
  const way = reverse ? `from the last ${unit} to the first` : `from the first ${unit} to the last`;
  const many = carried.length > 1;
  const comes = many ? "come" : "comes";
  const before = reverse ? `${comes} from the next ${unit}` : `${comes} from the ${unit} before`;
  const states = [...carried].sort().map((state) => `${state}_prev`);
  return `reads ${way}: ${states.join(" and ")} ${beginning ? `${many ? "are" : "is"} ${beginning}` : before}`;
}

/** Describes the whole moment in one sentence, for screen readers. */
export function spokenMoment(moment: Moment, run: Run): string {
  const { cell, values, track, unit, t, shown } = moment;
  const gates = gatesApart(cell);
  const parts = gates.map((gate) => `${gate} ${format(values[gate])}, ${gateEffect(gate, values[gate])}`);
  const memory = `${cell.memory} ${format(values[cell.memory])}, ${changeText(moment)}`;
  const states = cell.memory === "h" ? [memory] : [memory, `${shown} ${format(values[shown])}`];
  return `${track.info.name}, ${stepName(run, t)}, unit ${unit}: ${[...parts, ...states].join("; ")}`;
}
