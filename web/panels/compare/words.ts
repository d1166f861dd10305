// A comparison in words and numbers: where two runs diverge, the column under the cursor, and a table.

import { MET, type Scene, type Side, type Strip } from "studio/panels/compare/scene.js";
import { findHead, predictionAt, shownToken, wordAt } from "studio/state/run.js";
import { forecastText } from "studio/state/series.js";

/** The words of a column: “to” | “the”, or just “to” if they are the same. */
function wordsAt({ pair, columns }: Scene, k: number): string {
  const { a, b } = columns[k];
  const [one, two] = [a < 0 ? "“–”" : named(pair.a, a), b < 0 ? "“–”" : named(pair.b, b)];
  return one === two ? one : `${one} | ${two}`;
}

function named({ run }: Side, t: number) {
  const word = wordAt(run, t, Infinity);
  return word === "" ? `step ${t}` : `“${word}”`;
}

/** Describes where the two runs diverge in the selected track, and whether they converge again. */
export function comparisonVerdict(scene: Scene): string {
  const { strips, a, state } = scene;
  const strip = strips.find(({ name }) => name === a?.info.name);
  if (!strip)
    return (
      "The two models have layers of different sizes, so no distance between their states is defined. You can still compare " +
      "their predictions word by word."
    );
  const { parting, distance, name, reverse } = strip;
  if (parting.first < 0) return `In ${name} the two are the same at every step.`;
  const parts =
    `In ${name}, which reads ${reverse ? "from the end" : "from the start"}, they diverge at ` +
    `${wordsAt(scene, parting.first)}`;
  const far = `are furthest apart at ${wordsAt(scene, parting.widest)} (‖Δ${state}‖ = ${distance[parting.widest].toFixed(2)})`;
  return `${parts}, ${far}, and ${ending(scene, strip)}.`;
}

function ending(scene: Scene, { parting, distance }: Strip): string {
  const share = (k: number) => `${Math.round((100 * distance[k]) / distance[parting.widest])} %`;
  if (parting.meets >= 0)
    return `converge again from ${wordsAt(scene, parting.meets)} on, where they stay below ${MET * 100} % of that`;
  return `do not converge again: after the last step they share, ${share(parting.last)} of that is left`;
}

export function columnReadout(scene: Scene, k: number, unit: number): string {
  const { columns, strips, a, state } = scene;
  if (!columns[k]) return "";
  const sides = [sideAt(scene, "a", k, unit), sideAt(scene, "b", k, unit)].join("   ");
  const strip = strips.find(({ name }) => name === a?.info.name);
  const size = strip && !Number.isNaN(strip.distance[k]) ? `   ‖Δ${state}‖ = ${strip.distance[k].toFixed(4)}` : "";
  return sides + size;
}

function sideAt(scene: Scene, side: "a" | "b", k: number, unit: number): string {
  const { pair, columns, quantity: first, other, head, a, b } = scene;
  const t = columns[k][side];
  const { name, run } = pair[side];
  if (t < 0) return `${name}: no step here`;
  const track = side === "a" ? a : b;
  const quantity = side === "a" ? first : other;
  const values = quantity === null ? undefined : track?.values[quantity];
  const value = values?.[t * (values.length / run.steps) + unit];
  const mine = findHead(run, head);
  const made = forecastText(pair[side].model, run, t);
  const tag = mine
    ? ` ${shownToken(predictionAt(mine, t).label)} ${predictionAt(mine, t).probability.toFixed(4)}`
    : made && ` forecasts ${made}`;
  return (
    `${name}: ` +
    `${named(pair[side], t)}${tag}${value === undefined ? "" : `, ${quantity} of unit ${unit} = ${value.toFixed(4)}`}`
  );
}

export function comparisonRows(scene: Scene): string[][] {
  const { pair, columns, strips, head, state } = scene;
  const names = [" of A", " of B"];
  const top = names.flatMap((of) => ["step", "token", "prediction", "probability"].map((what) => what + of));
  const lines = columns.map((column, k) => [
    ...cells(pair.a, head, column.a),
    ...cells(pair.b, head, column.b),
    ...strips.map(({ distance }) => (Number.isNaN(distance[k]) ? "" : String(distance[k]))),
  ]);
  return [[...top, ...strips.map(({ name }) => `‖Δ${state}‖ ${name}`)], ...lines];
}

function cells({ run }: Side, name: string, t: number): string[] {
  const head = findHead(run, name);
  if (t < 0) return ["", "", "", ""];
  const chosen = head && predictionAt(head, t);
  return [String(t), run.tokens[t], chosen?.label ?? "", chosen ? String(chosen.probability) : ""];
}
