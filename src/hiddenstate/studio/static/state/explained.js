// The subject of the Explain page: the run without edits, and the number to explain.

import { logitTarget, probabilityTarget, stateTarget, topTracks } from "studio/runtime/explain/target.js";
import { predictionAt } from "studio/state/predictions.js";
import { shownToken, wordAt } from "studio/state/tokens.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Reader} Reader */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/runtime/explain/target.js").Target} Target */
/** @typedef {import("studio/state/session.js").Session} Session */

/**
 * @typedef {object} Explained
 * @property {Model} model
 * @property {Run} run
 * @property {Subject} subject
 * @property {Target} target
 * @property {string} name of the target: "logit of NOUN at “man”"
 * @property {Target | null} linear the target, or for a probability the logit behind it; null if there is none
 * @property {string} linearName
 * @property {string} short the linear target's name without the word: "logit of NOUN"
 * @property {string} label "" if a state is explained
 */

const MOST_STEPS = 300; // more steps would take too long, and would not fit on the page

/** @type {WeakMap<Run, Subject>} */
const SUBJECTS = new WeakMap();

/**
 * @param {Model} model
 * @param {Run} run without edits
 * @returns {Subject}
 */
export function subjectFor(model, run) {
  const known = SUBJECTS.get(run);
  if (known !== undefined) return known;
  const subject = model.subject(run);
  SUBJECTS.set(run, subject);
  return subject;
}

/**
 * @param {Session} session
 * @param {View} view
 * @returns {{explained: Explained, reason: ""} | {explained: null, reason: string}} the target, or the reason why nothing can be explained
 */
export function explainedOf(session, view) {
  const { model, plain, error, live } = session;
  const nothing = (/** @type {string} */ reason) => ({ explained: null, reason });
  if (error) return nothing(error.message);
  if (live) return nothing("This page watches a stream, and only keeps its last steps. Open the model itself.");
  if (!model || !plain) return nothing(model ? "Nothing has been read yet." : "");
  if (plain.steps > MOST_STEPS) {
    return nothing(`This text has ${plain.steps} ${model.unit}s, and at most ${MOST_STEPS} can be explained. Give a shorter one.`);
  }
  try {
    return { explained: aimed(model, plain, subjectFor(model, plain), view), reason: "" };
  } catch (problem) {
    return nothing(problem instanceof Error ? problem.message : String(problem));
  }
}

/**
 * @param {Model} model
 * @param {Run} run
 * @param {Subject} subject
 * @param {View} view
 * @returns {Explained}
 */
function aimed(model, run, subject, view) {
  const step = Math.min(view.step, run.steps - 1);
  const t = step + subject.lead;
  const common = { model, run, subject };
  const reader = readerOf(subject, view.head);
  if (reader === null) return { ...common, ...stateAimed(run, subject, view, t) };
  const label = labelOf(run, reader, view.label, step);
  const logit = logitTarget(reader, label, t);
  const chance = probabilityTarget(reader, label, t);
  const suits = model.kind === "language-model" ? "probability" : "logit";
  const wanted = view.measure === "auto" ? suits : view.measure;
  const target = wanted === "logit" ? (logit ?? chance) : (chance ?? logit);
  const named = (/** @type {string} */ what) => targetName(what, model, run, reader.labels[label], step);
  return {
    ...common,
    target: /** @type {Target} */ (target),
    name: named(target === logit ? "logit" : "log-probability"),
    ...{ linear: logit, linearName: named("logit"), short: short(model, reader.labels[label]), label: reader.labels[label] },
  };
}

/**
 * @param {Subject} subject
 * @param {string} head
 * @returns {Reader | null} the one with that name, else the first
 */
export function readerOf({ readers }, head) {
  return readers.find(({ name }) => name === head) ?? readers[0] ?? null;
}

/**
 * The target for a layer without a head: a unit of the last layer's hidden state.
 * @param {Run} run
 * @param {Subject} subject
 * @param {View} view
 * @param {number} t
 */
function stateAimed(run, subject, view, t) {
  const top = topTracks(subject.tracks);
  const found = top.findIndex(({ info }) => info.name === view.track);
  const d = found < 0 ? 0 : found;
  const { name: track, outputs } = top[d].info;
  const unit = Math.max(0, Math.min(view.unit, outputs - 1));
  const target = stateTarget(subject, d * outputs + unit, t);
  const name = `${track}.h[${unit}] at ${at(run, t)}`;
  return { target, name, linear: target, linearName: name, short: `${track}.h[${unit}]`, label: "" };
}

/**
 * The label to explain: the chosen one, or else a language model's actual next token, or else the model's prediction.
 * @param {Run} run
 * @param {Reader} reader
 * @param {string} asked
 * @param {number} step
 * @returns {number}
 */
function labelOf(run, reader, asked, step) {
  const found = asked === "" ? -1 : reader.labels.indexOf(asked);
  return found >= 0 ? found : ownLabel(run, reader, step);
}

/**
 * @param {Run} run
 * @param {Reader} reader
 * @param {number} step
 * @returns {number}
 */
export function ownLabel(run, { name, labels }, step) {
  const next = run.surprise === null ? -1 : labels.indexOf(run.tokens[step + 1]);
  if (next >= 0) return next;
  const head = run.heads.find((one) => one.name === name) ?? run.heads[0];
  return labels.indexOf(predictionAt(head, step).label);
}

/**
 * @param {string} what
 * @param {Model} model
 * @param {Run} run
 * @param {string} label
 * @param {number} step
 */
function targetName(what, model, run, label, step) {
  if (model.kind === "language-model") return `${what} of \u201c${shownToken(label)}\u201d after ${at(run, step)}`;
  return `${what} of ${label} at ${at(run, step)}`;
}

/**
 * @param {Model} model
 * @param {string} label
 */
function short({ kind }, label) {
  return `logit of ${kind === "language-model" ? `\u201c${shownToken(label)}\u201d` : label}`;
}

/**
 * @param {Run} run
 * @param {number} step
 */
function at(run, step) {
  const word = wordAt(run, step, 24);
  return word === "" ? `step ${step}` : `\u201c${word}\u201d (step ${step})`;
}

/**
 * @typedef {object} NamedPlayer steps start .. stop-1 of the subject
 * @property {number} start
 * @property {number} stop
 * @property {string} name
 */

/**
 * The players are the steps or, for characters, whole words with the space after them.
 * @param {Explained} explained
 * @param {View["players"]} wanted
 * @returns {NamedPlayer[]}
 */
export function playersIn({ model, subject }, wanted) {
  const { tokens, lead } = subject;
  const inWords = model.unit === "character" && wanted === "words";
  /** @type {NamedPlayer[]} */
  const found = [];
  tokens.forEach((token, t) => {
    const last = found.at(-1);
    const goesOn = inWords && t > lead && last && (isSpace(token) || !isSpace(tokens[t - 1]));
    if (goesOn) last.stop = t + 1;
    else found.push({ start: t, stop: t + 1, name: "" });
  });
  for (const one of found) one.name = tokens.slice(one.start, one.stop).map(tokenName).join("").trim() || "\u2423";
  return found;

  /** @param {string} token */
  function tokenName(token) {
    return inWords && token === " " ? " " : shownToken(token);
  }
}

/** @param {string} token */
function isSpace(token) {
  return /^\s+$/.test(token);
}

/**
 * The players nearest to the target, if there are too many to compute; the others are never replaced.
 * @param {NamedPlayer[]} players
 * @param {Explained} explained
 * @param {number} most
 * @returns {NamedPlayer[]} in time order
 */
export function nearest(players, { subject, target }, most) {
  const bothWays = subject.cells.some(({ info }) => info.reverse);
  const count = bothWays ? players : players.filter(({ start }) => start <= target.t);
  const far = (/** @type {NamedPlayer} */ { start, stop }) => Math.max(start - target.t, target.t - (stop - 1), 0);
  return [...count].sort((a, b) => far(a) - far(b)).slice(0, most).sort((a, b) => a.start - b.start);
}
