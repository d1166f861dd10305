// The subject of the Explain page: the run without edits, and the number to explain.

import { type ReadonlySignal, computed } from "@preact/signals";
import { type Target, logitTarget, probabilityTarget, stateTarget, topTracks } from "studio/runtime/explain/target.js";
import { runPart } from "studio/runtime/series.js";
import { predictionAt, shownToken, wordAt } from "studio/state/run.js";
import type { Session } from "studio/state/session.js";
import type { Store } from "studio/state/store.js";
import type { Model, Reader, Run, Subject, View } from "studio/types.js";

export interface Explained {
  model: Model;
  run: Run;
  subject: Subject;
  target: Target;
  name: string; // of the target: "logit of NOUN at “man”"
  linear: Target | null; // the target, or for a probability the logit behind it; null if there is none
  linearName: string;
  short: string; // the linear target's name without the word: "logit of NOUN"
  label: string; // "" if a state is explained
}

const MOST_STEPS = 300; // more steps would take too long, and would not fit on the page

const SUBJECTS: WeakMap<Run, Subject> = new WeakMap();

/** @param run without edits */
export function subjectFor(model: Model, run: Run): Subject {
  const subject = SUBJECTS.get(run) ?? model.subject(run);
  SUBJECTS.set(run, subject);
  return subject;
}

/** The subject for a step: of a series, the steps up to it, which begin in the state before them. */
export function subjectAt(model: Model, run: Run, step: number): Subject {
  if (!isPart(model)) return subjectFor(model, run);
  const to = Math.min(step, run.steps - 1) + 1;
  const from = Math.max(0, to - MOST_LAGS);
  return { ...model.subject(runPart(run, from, to)), lead: -from };
}

/** The target, or the reason why nothing can be explained. */
export type Question = { explained: Explained; reason: "" } | { explained: null; reason: string };

/** What the page Explain explains; while that page is hidden, what it explained last. */
export function createQuestion(store: Store, session: Session): ReadonlySignal<Question> {
  let last: Question = { explained: null, reason: "" };
  return computed(() => (store.view.page === "explain" ? (last = explain(session, store.view)) : last));
}

function explain(session: Session, view: View): Question {
  const { model, plain, error, live } = session;
  const nothing = (reason: string) => ({ explained: null, reason });
  if (error) return nothing(error.message);
  if (live) return nothing("This page watches a stream, and only keeps its last steps. Open the model itself.");
  if (!model || !plain) return nothing(model ? "Nothing has been read yet." : "");
  if (plain.steps > MOST_STEPS && !isPart(model)) {
    return nothing(
      `This text has ${plain.steps} ${model.unit}s, and at most ${MOST_STEPS} can be explained. Give a shorter one.`,
    );
  }
  try {
    return { explained: aimed(model, plain, subjectAt(model, plain, view.step), view), reason: "" };
  } catch (problem) {
    return nothing(problem instanceof Error ? problem.message : String(problem));
  }
}

const MOST_LAGS = 100; // steps of a series

/** Whether only the last steps of a run before the cursor are explained: those of a series are many. */
const isPart = ({ series, tracks }: Model) => series !== undefined && tracks.every(({ reverse }) => !reverse);

function aimed(model: Model, run: Run, subject: Subject, view: View): Explained {
  const step = Math.min(view.step, run.steps - 1);
  const t = step + subject.lead;
  const common = { model, run, subject };
  const reader = findReader(subject, view.head);
  if (reader === null) return { ...common, ...stateAimed(run, subject, view, t) };
  const chosen = view.label === "" ? -1 : reader.labels.indexOf(view.label);
  const label = chosen >= 0 ? chosen : ownLabel(run, reader, step);
  const logit = logitTarget(reader, label, t);
  const chance = probabilityTarget(reader, label, t);
  const suits = model.kind === "language-model" ? "probability" : "logit";
  const wanted = view.measure === "auto" ? suits : view.measure;
  const target = wanted === "logit" ? (logit ?? chance) : (chance ?? logit);
  const named = (what: string) => targetName(model.series ? "forecast" : what, model, run, reader.labels[label], step);
  return {
    ...common,
    target: target as Target,
    name: named(target === logit ? "logit" : "log-probability"),
    ...{
      linear: logit,
      linearName: named("logit"),
      short: short(model, reader.labels[label]),
      label: reader.labels[label],
    },
  };
}

/** @returns the one with that name, else the first */
export const findReader = ({ readers }: Subject, head: string): Reader | null =>
  readers.find(({ name }) => name === head) ?? readers[0] ?? null;

/** The target for a layer without a head: a unit of the last layer's hidden state. */
function stateAimed(run: Run, subject: Subject, view: View, t: number) {
  const top = topTracks(subject.tracks);
  const found = top.findIndex(({ info }) => info.name === view.track);
  const d = found < 0 ? 0 : found;
  const { name: track, outputs } = top[d].info;
  const unit = Math.max(0, Math.min(view.unit, outputs - 1));
  const target = stateTarget(subject, d * outputs + unit, t);
  const name = `${track}.h[${unit}] at ${at(run, t)}`;
  return { target, name, linear: target, linearName: name, short: `${track}.h[${unit}]`, label: "" };
}

/** The label to explain if none is chosen: a language model's actual next token, or the model's prediction. */
export function ownLabel(run: Run, { name, labels }: Reader, step: number): number {
  const next = run.surprise === null ? -1 : labels.indexOf(run.tokens[step + 1]);
  if (next >= 0) return next;
  if (run.heads.length === 0) return 0;
  const head = run.heads.find((one) => one.name === name) ?? run.heads[0];
  return labels.indexOf(predictionAt(head, step).label);
}

function targetName(what: string, model: Model, run: Run, label: string, step: number) {
  if (model.kind === "language-model") return `${what} of \u201c${shownToken(label)}\u201d after ${at(run, step)}`;
  return `${what} of ${label} ${model.series ? "after" : "at"} ${at(run, step)}`;
}

function short({ kind, series }: Model, label: string) {
  if (series) return `forecast of ${label}`;
  return `logit of ${kind === "language-model" ? `\u201c${shownToken(label)}\u201d` : label}`;
}

function at(run: Run, step: number) {
  const word = wordAt(run, step, 24);
  return word === "" ? `step ${step}` : `\u201c${word}\u201d (step ${step})`;
}

/** steps start .. stop-1 of the subject */
export interface NamedPlayer {
  start: number;
  stop: number;
  name: string;
}

/** The players are the steps or, for characters, whole words with the space after them. */
export function playersIn({ model, subject }: Explained, wanted: View["players"]): NamedPlayer[] {
  const { tokens, lead } = subject;
  const inWords = model.unit === "character" && wanted === "words";
  const isSpace = (token: string) => /^\s+$/.test(token);
  const tokenName = (token: string) => (inWords && token === " " ? " " : shownToken(token));
  const found: NamedPlayer[] = [];
  tokens.forEach((token, t) => {
    const last = found.at(-1);
    const goesOn = inWords && t > lead && last && (isSpace(token) || !isSpace(tokens[t - 1]));
    if (goesOn) last.stop = t + 1;
    else found.push({ start: t, stop: t + 1, name: "" });
  });
  for (const one of found) one.name = tokens.slice(one.start, one.stop).map(tokenName).join("").trim() || "\u2423";
  return found;
}

/** The players nearest to the target, in time order, if there are too many; the others are never replaced. */
export function nearest(players: NamedPlayer[], { subject, target }: Explained, most: number): NamedPlayer[] {
  const bothWays = subject.cells.some(({ info }) => info.reverse);
  const count = bothWays ? players : players.filter(({ start }) => start <= target.t);
  const far = ({ start, stop }: NamedPlayer) => Math.max(start - target.t, target.t - (stop - 1), 0);
  return [...count]
    .sort((a, b) => far(a) - far(b))
    .slice(0, most)
    .sort((a, b) => a.start - b.start);
}
