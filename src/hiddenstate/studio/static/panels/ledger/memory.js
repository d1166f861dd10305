// The ledger's memory: the most telling one for the target, or the chosen one.

import { ledgerOf, mostTelling, targetLedger } from "studio/runtime/explain/ledger.js";

/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/runtime/explain/ledger.js").Ledger} Ledger */
/** @typedef {import("studio/runtime/explain/ledger.js").TargetLedger} TargetLedger */
/** @typedef {import("studio/state/explained.js").Explained} Explained */

/**
 * The content of the panel.
 * @typedef {object} Scene
 * @property {Explained} explained
 * @property {string} track
 * @property {number} unit
 * @property {string} place "l1.c[125]"
 * @property {boolean} own whether it is the most telling memory
 * @property {Ledger} ledger
 * @property {TargetLedger | null} whole null if the target is not a sum of memories
 * @property {number} writer the step to follow
 * @property {number} unread the chosen step if this direction reads it later; -1: none
 */

const PLACE = /^(l\d+r?)\.([ch])\[(\d+)\]$/;

/**
 * @param {Explained} explained
 * @param {View} view
 * @returns {Scene}
 */
export function sceneOf(explained, view) {
  const { subject, target, linear } = explained;
  const readout = linear?.readout ?? null;
  const chosen = chosenMemory(explained, view.memory);
  const telling = chosen ?? (readout && mostTelling(subject, target.t, readout)) ?? viewed(explained, view);
  const { info } = subject.tracks[telling.k];
  const ledger = ledgerOf(subject, telling.k, telling.unit, target.t, readout);
  return {
    ...{ explained, track: info.name, unit: telling.unit, place: `${info.name}.${subject.cell.memory}[${telling.unit}]`, ledger },
    own: chosen === null,
    whole: readout && targetLedger(subject, target.t, readout),
    ...followed(explained, ledger, view.writer),
  };
}

/**
 * The scene with a different step to follow.
 * @param {Scene} scene
 * @param {number} asked the step pointed at
 * @returns {Scene}
 */
export function following(scene, asked) {
  return { ...scene, ...followed(scene.explained, scene.ledger, asked) };
}

/**
 * @param {Explained} explained
 * @param {Ledger} ledger
 * @param {number} asked
 */
function followed({ subject }, ledger, asked) {
  const unread = asked < subject.steps && !ledger.steps.includes(asked) ? asked : -1;
  return { writer: writerOf(ledger, asked), unread };
}

/**
 * @param {Explained} explained
 * @param {string} memory
 * @returns {{k: number, unit: number} | null}
 */
function chosenMemory({ subject }, memory) {
  const [, name, state, unit] = PLACE.exec(memory) ?? [];
  const k = subject.tracks.findIndex(({ info }) => info.name === name);
  return state === subject.cell.memory && k >= 0 && Number(unit) < subject.tracks[k].info.units ? { k, unit: Number(unit) } : null;
}

/**
 * @param {Explained} explained
 * @param {View} view
 */
function viewed({ subject }, { track, unit }) {
  const k = Math.max(0, subject.tracks.findIndex(({ info }) => info.name === track));
  return { k, unit: Math.max(0, Math.min(unit, subject.tracks[k].info.units - 1)) };
}

/**
 * The step to follow: the chosen one if it was read, or else the earlier step of which most remains.
 * @param {Ledger} ledger
 * @param {number} asked
 * @returns {number}
 */
function writerOf({ steps, parts }, asked) {
  if (steps.includes(asked)) return asked;
  let best = 0;
  for (let s = 1; s < parts.length - 1; s++) if (Math.abs(parts[s]) > Math.abs(parts[best])) best = s;
  return steps[best];
}

/**
 * Whether the trace recorded everything that the ledger needs.
 * @param {Scene} scene
 */
export function isRecorded({ ledger }) {
  return ledger.parts.every((part) => !Number.isNaN(part));
}
