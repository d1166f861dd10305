// The two runs to compare, as chosen in the view.

import type { CellKind } from "studio/runtime/kinds.js";
import type { Session } from "studio/state/session.js";
import type { Model, Run, View } from "studio/types.js";

export type Side = { name: string; model: Model; run: Run };
export type Pair = { a: Side; b: Side };

/** @returns null until there are two */
export function chosenPair({ model, plain, run, other }: Session, { comparison }: View): Pair | null {
  if (!model || !plain || !run) return null;
  if (comparison === "edits") {
    return run.steps === plain.steps
      ? { a: { name: "before", model, run: plain }, b: { name: "after", model, run } }
      : null;
  }
  if (!other) return null;
  const names = comparison === "models" ? [model.name, other.model.name] : ["A", "B"];
  return { a: { name: names[0], model, run: plain }, b: { name: names[1], model: other.model, run: other.run } };
}

/** Why there is nothing to compare; "" if there is something. */
export function whyEmpty(session: Session, view: View, { a, b }: Pair): string {
  const { comparison, edits, otherText, otherModel, text } = view;
  if (session.error) return session.error.message; // the run with edits failed, so A is the run before them
  if (comparison === "edits" && !session.run?.edits.length) {
    return edits.length
      ? "All edits are switched off here, so the two runs are the same."
      : "There are no edits yet, so the two runs are the same. Make one on the first page.";
  }
  if (comparison === "sentences" && (otherText === "" || otherText === text))
    return a.model.kind === "layer"
      ? "The two inputs are the same. Change one of them."
      : "The two sentences are the same. Change one of them, or choose a pair.";
  if (comparison === "models" && otherModel === "") return "The two models are the same. Choose a different one for B.";
  return a.run === b.run ? "The two runs are the same." : "";
}

/** The reason why there are not two runs to compare. */
export function whyBlank(session: Session, { comparison }: View): string {
  const error = session.error ?? (comparison === "edits" ? null : session.otherError);
  if (error) return error.message;
  if (session.model && !session.run) return "There is nothing to compare: A has no input.";
  return comparison !== "edits" && session.run ? "There is nothing to compare: B has not been read yet." : "";
}

/**
 * The quantity of the other cell to show beside a given quantity: the one with the same letter or, failing that, the
 * same role.
 */
export function counterpart(quantity: string, a: CellKind, b: CellKind): string | null {
  if ([...b.gates, ...b.states].includes(quantity)) return quantity;
  if (quantity === a.memory) return b.memory;
  if (quantity === a.candidate) return b.candidate;
  const keep = { f: "z", z: "f" }[quantity];
  return keep !== undefined && b.gates.includes(keep) ? keep : null;
}
