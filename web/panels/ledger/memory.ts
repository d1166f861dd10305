// The ledger's memory: the most telling one for the target, or the chosen one.

import {
  type Ledger,
  type TargetLedger,
  memoryLedger,
  mostTelling,
  targetLedger,
} from "studio/runtime/explain/ledger.js";
import type { Explained } from "studio/state/explained.js";
import type { View } from "studio/types.js";

export interface Scene {
  explained: Explained;
  track: string;
  unit: number;
  place: string; // "l1.c[125]"
  own: boolean; // whether it is the most telling memory
  ledger: Ledger;
  whole: TargetLedger | null; // null if the target is not a sum of memories
  writer: number; // the step to follow
  unread: number; // the chosen step if this direction reads it later; -1: none
}

const PLACE = /^(l\d+r?)\.([ch])\[(\d+)\]$/;

export function sceneFor(explained: Explained, view: View): Scene {
  const { subject, target, linear } = explained;
  const readout = linear?.readout ?? null;
  const chosen = chosenMemory(explained, view.memory);
  const telling = chosen ?? (readout && mostTelling(subject, target.t, readout)) ?? viewed(explained, view);
  const { info } = subject.tracks[telling.k];
  const ledger = memoryLedger(subject, telling.k, telling.unit, target.t, readout);
  return {
    ...{ explained, track: info.name, unit: telling.unit, ledger },
    place: `${info.name}.${subject.cell.memory}[${telling.unit}]`,
    own: chosen === null,
    whole: readout && targetLedger(subject, target.t, readout),
    ...followed(explained, ledger, view.writer),
  };
}

/** The scene with a different step to follow; `asked`: the step pointed at. */
export function following(scene: Scene, asked: number): Scene {
  return { ...scene, ...followed(scene.explained, scene.ledger, asked) };
}

function followed({ subject }: Explained, ledger: Ledger, asked: number) {
  const unread = asked < subject.steps && !ledger.steps.includes(asked) ? asked : -1;
  return { writer: writer(ledger, asked), unread };
}

function chosenMemory({ subject }: Explained, memory: string): { k: number; unit: number } | null {
  const [, name, state, unit] = PLACE.exec(memory) ?? [];
  const k = subject.tracks.findIndex(({ info }) => info.name === name);
  return state === subject.cell.memory && k >= 0 && Number(unit) < subject.tracks[k].info.units
    ? { k, unit: Number(unit) }
    : null;
}

function viewed({ subject }: Explained, { track, unit }: View) {
  const number = subject.tracks.findIndex(({ info }) => info.name === track);
  const k = Math.max(0, number);
  return { k, unit: Math.max(0, Math.min(unit, subject.tracks[k].info.units - 1)) };
}

/** The step to follow: the chosen one if it was read, or else the earlier step of which most remains. */
function writer({ steps, parts }: Ledger, asked: number): number {
  if (steps.includes(asked)) return asked;
  let best = 0;
  for (let s = 1; s < parts.length - 1; s++) if (Math.abs(parts[s]) > Math.abs(parts[best])) best = s;
  return steps[best];
}

/** Whether the trace recorded everything that the ledger needs. */
export const isRecorded = ({ ledger }: Scene) => ledger.parts.every((part) => !Number.isNaN(part));
