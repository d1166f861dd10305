// Steps 1 to 3: what goes in and out, what the hidden state is, and what the gates do.

import type { Now, Step } from "studio/panels/tour/types.js";
import { trackOf } from "studio/state/run.js";
import { readsText } from "studio/state/input.js";
import { lstmValues } from "studio/state/moment.js";
import type { Track, View } from "studio/types.js";
import { format } from "studio/ui/draw.js";

/** The sizes of the LSTM, with the letters that torch's documentation uses. */
export function sizeLetters({ model }: Now) {
  const [first] = model.tracks;
  const D = model.tracks.some(({ reverse }) => reverse) ? 2 : 1;
  return { C: first.inputSize, H: first.units, P: first.outputs, D, L: model.tracks.length / D };
}

/** The letter for the size of the hidden state: P if a projection makes it different from H. */
export function letterOf(now: Now) {
  const { H, P } = sizeLetters(now);
  return P === H ? "H" : "P";
}

const SHAPES: Step = {
  title: "What goes in, what comes out",
  panels: () => ["sentence"],
  sets: () => ({ page: "read", edits: [] }),
  says: (now) => {
    const { C, P, D } = sizeLetters(now);
    const T = now.run.steps;
    const size = C ? `${C} numbers` : "C numbers"; // a trace doesn't store the number of features
    const made = readsText(now.model)
      ? `Each ${now.model.unit} is first turned into a vector of ${size}`
      : `At each step it receives ${size}`;
    const width = D === 2 ? `two directions of ${P} numbers, side by side` : `${P} numbers`;
    return [
      `An LSTM reads a sequence, one ${now.model.unit} at a time. ${made}; that is its *input*. For each one it ` +
        `outputs a vector: ${width}.`,
      `Here T = ${T} ${now.model.unit}s go in as \`input [T, C] = [${T}, ${C || "C"}]\`, and \`out [T, ` +
        `${D === 2 ? "2·" : ""}${letterOf(now)}] = [${T}, ${D * P}]\` comes out. torch has one more axis for a batch ` +
        "of N sequences: `[T, N, C]`, or `[N, T, C]` with batch_first=True. Here N is 1.",
    ];
  },
  task: (now) =>
    readsText(now.model)
      ? "Make the sentence longer or shorter, and watch which of these numbers change."
      : "Go to the last step, with the right arrow key or the slider.",
  watch: (now) => (now.memory.steps ??= now.run.steps),
  done: (now) => (readsText(now.model) ? now.run.steps !== now.memory.steps : now.view.step === now.run.steps - 1),
  learnt: (now) => {
    const { C, P, D } = sizeLetters(now);
    return (
      `T comes from the sequence: it is now ${now.run.steps}. ${C ? `C = ${C}` : "C"} and ${D === 2 ? "2·" : ""}${letterOf(now)} = ` +
      `${D * P} come from the network, and are the same for every sequence.`
    );
  },
};

const HIDDEN: Step = {
  title: "The hidden state",
  panels: () => ["transport", "heatmap"],
  sets: ({ model }) => ({ page: "read", quantity: "h", step: 0, track: model.tracks[0].name }),
  says: (now) => {
    const { H, P } = sizeLetters(now);
    const numbers =
      P === H
        ? `${P} numbers between −1 and 1, one for each *unit*`
        : `${P} numbers, which a projection computes from the outputs of its ${H} *units*`;
    return [
      `From one ${now.model.unit} to the next, an LSTM has a memory. Part of it is the *hidden state* h: in each layer ` +
        `and direction ${numbers}.`,
      `In the heat map a row is ${P === H ? "a unit" : "one of these numbers"} and a column is a step. A column of h is ` +
        "the hidden state after that step: the layer's summary of all it has read so far, " +
        "which its gates read together with the next input.",
    ];
  },
  task: (now) =>
    `Follow along: go from the first ${now.model.unit} to the last, with the right arrow key or the slider, and ` +
    `watch the column.`,
  watch: ({ memory, view }) => {
    memory.seen ??= new Set();
    memory.seen.add(view.step);
  },
  status: ({ memory, run }) => `${memory.seen?.size ?? 0} of ${run.steps} steps seen`,
  done: ({ memory, run, view }) => view.step === run.steps - 1 && memory.seen?.size >= Math.min(run.steps, 4),
  learnt: () =>
    "Each column is computed from three things: the column of the step read before it, the cell state c of that step, " +
    "which the heat map can also show, and one new input. Whatever was read earlier comes only through those two states.",
};

/** The numbers of the unit and step of the view, or of a task. */
export function here({ run }: Now, { track: name, unit, step }: Pick<View, "track" | "unit" | "step">) {
  const track = trackOf(run, name);
  return lstmValues(track, Math.min(unit, track.info.units - 1), Math.min(step, run.steps - 1));
}

const GATES_DO: Step = {
  title: "Write, keep, read: what i, f, g and o do",
  panels: () => ["heatmap"],
  sets: () => ({ page: "read", quantity: "f" }),
  restores: ["quantity"],
  says: ({ view }) => [
    "Behind h is the *cell state* c, the long-term memory. In every unit three gates control it, each a number from " +
      "0 (closed) to 1 (open): `f`, the forget gate, sets how much of the cell state is *kept*; `i`, the input gate, " +
      "how much of the candidate `g` is *written* into it; `o`, the output gate, how much of it is *read* out.",
    "g, the cell candidate, is often called a gate too, but it gates nothing: it is the value to write, from −1 to 1. " +
      `The heat map now shows ${view.quantity}.`,
  ],
  task: ({ run, view }) => {
    const { high, low } = forgetBounds(trackOf(run, view.track));
    return (
      `Click a place in the heat map where f is at least ${high} (it keeps), then one where it is at most ` +
      `${low} (it forgets).`
    );
  },
  watch: (now) => {
    const { memory, view, run } = now;
    const place = `${view.track} ${view.unit} ${view.step}`;
    memory.began ??= place;
    if (memory.began === place) return;
    const { high, low } = forgetBounds(trackOf(run, view.track));
    memory.kept ||= here(now, now.view).f >= high;
    memory.forgot ||= here(now, now.view).f <= low;
  },
  status: (now) =>
    `f is ${format(here(now, now.view).f)} here · keeps: ${now.memory.kept ? "found" : "not yet"} · forgets: ` +
    `${now.memory.forgot ? "found" : "not yet"}`,
  done: ({ memory }) => Boolean(memory.kept && memory.forgot),
  learnt: () =>
    "Every unit decides this afresh at every step, from the input and the previous hidden state of all units.",
};

export const GATES: readonly Step[] = [SHAPES, HIDDEN, GATES_DO];

/** One unit at one step. */
type Moment = ReturnType<typeof lstmValues>;

/** |c| at least, o at most */
type Bounds = { c: number; o: number };

const OFFERS: Bounds[] = [
  { c: 0.5, o: 0.1 },
  { c: 0.5, o: 0.25 },
  { c: 0.2, o: 0.4 },
];

function best(track: Track, steps: number, score: (moment: Moment) => number) {
  let [unit, t, most] = [0, 0, -Infinity];
  for (let k = 0; k < steps * track.info.units; k++) {
    const [u, at] = [k % track.info.units, Math.floor(k / track.info.units)];
    const value = score(lstmValues(track, u, at));
    if (value > most) [unit, t, most] = [u, at, value];
  }
  return { unit, t, ...lstmValues(track, unit, t) };
}

/** A moment where both keeping and writing matter. */
export const mixed = (track: Track, steps: number) =>
  best(track, steps, ({ kept, wrote }) => Math.min(Math.abs(kept), Math.abs(wrote)));

/** A moment with a large cell state and a small output. */
export const silent = (track: Track, steps: number) =>
  best(track, steps, ({ c, o }) => Math.min(Math.abs(c), 1) * (1 - o));

export const isSilent = ({ c, o }: Bounds, bounds: Bounds): boolean => Math.abs(c) >= bounds.c && o <= bounds.o;

/** Bounds for a "secret" that this run can satisfy. */
export function silentBounds(track: Track, steps: number): Bounds {
  const found = silent(track, steps);
  const least = { c: Math.abs(found.c) * 0.9, o: Math.min(1, found.o * 1.1) };
  return [...OFFERS, least].find((bounds) => isSilent(found, bounds)) ?? least;
}

/** Thresholds for nearly open and nearly closed forget gates in a run. */
function forgetBounds({ values }: Track): { high: number; low: number } {
  let [high, low] = [0, 1];
  for (const f of values.f) [high, low] = [Math.max(high, f), Math.min(low, f)];
  return { high: Math.min(0.9, Math.floor(high * 100) / 100), low: Math.max(0.1, Math.ceil(low * 100) / 100) };
}
