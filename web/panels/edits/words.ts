// Edits in words: a readable sentence, and the equivalent lines of Python.

import { placeParts } from "studio/state/edits.js";
import { wordAt } from "studio/state/run.js";
import type { Edit, Model, Run } from "studio/types.js";

const VERBS = { set: "set to", scale: "multiplied by", add: "raised by" };
const ARGUMENTS = { set: "to", scale: "by", add: "value" };

/** A number as Python would write it: "1.0", "0.25", "1e-07". */
function pythonNumber(value: number): string {
  const text = String(value).replace(/e([+-])(\d)$/, "e$10$2");
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** Describes the operation: "set to 0.5", "multiplied by 2.0". */
export function actionText(edit: Edit): string {
  if (edit.kind === "add" && edit.value < 0) return `lowered by ${pythonNumber(-edit.value)}`;
  return `${VERBS[edit.kind]} ${pythonNumber(edit.value)}`;
}

/** Describes the selection: "unit 7", "units 1, 2, 3", "all units". */
function selectionText(name: string, chosen: number[] | null): string {
  if (!chosen) return `all ${name}s`;
  return chosen.length === 1 ? `${name} ${chosen[0]}` : `${name}s ${chosen.join(", ")}`;
}

/** Describes the units and steps; a single step is named with its word. */
export function extentText(edit: Edit, tokens: string[]): string {
  const [t] = edit.t?.length === 1 ? edit.t.map((one) => (one < 0 ? one + tokens.length : one)) : [-1];
  const word = t in tokens ? wordAt({ tokens }, t, 24) : "";
  const steps = selectionText("step", edit.t) + (word === "" ? "" : ` “${word}”`);
  return `${selectionText("unit", edit.unit)}, ${steps}`;
}

/** Describes the place: "forget gate of l0", "forget gate of l0 before its sigmoid". */
export function placeText(place: string, model: Model): string {
  const { track, quantity } = placeParts(place);
  const name = quantity.replace(/_pre$/, "");
  const before = name === quantity ? "" : ` before its ${model.cell.activations[name]}`;
  return `${model.meanings[name] ?? name} of ${track}${before}`;
}

export function editSentence(edit: Edit, model: Model, tokens: string[]): string {
  const scope = edit.scope === "readout" ? ", only for this step's output" : "";
  return `${placeText(edit.place, model)}: ${actionText(edit)} (${extentText(edit, tokens)}${scope})`;
}

function argument(name: string, chosen: number[] | null): string[] {
  if (!chosen) return [];
  return [`${name}=${chosen.length === 1 ? chosen[0] : `[${chosen.join(", ")}]`}`];
}

/** The edit as a call: hs.set("l1.f", unit=203, t=17, to=0.0). */
export function pythonEdit(edit: Edit): string {
  const parts = [
    JSON.stringify(edit.place),
    ...argument("unit", edit.unit),
    ...argument("t", edit.t),
    `${ARGUMENTS[edit.kind]}=${pythonNumber(edit.value)}`,
    ...(edit.scope === "readout" ? ['scope="readout"'] : []),
  ];
  return `hs.${edit.kind}(${parts.join(", ")})`;
}

/** The code inside the block, and the setup before it, by kind of model. */
function pythonRun(model: Model, tokens: string[]): { before: string[]; lstm: string; call: string } {
  const words = `[${tokens.map((token) => JSON.stringify(token)).join(", ")}]`;
  if (model.kind === "tagger") return { before: [], lstm: "tagger.lstm", call: `reading = tagger.read(${words})` };
  if (model.kind !== "language-model") {
    const name = model.cell.label.toLowerCase();
    return { before: [], lstm: name, call: `out, ${model.cell.memory === "c" ? "(h_n, c_n)" : "h_n"} = ${name}(x)` };
  }
  const ids = `torch.from_numpy(model.tokens.ids(${words})).long()[:, None]`;
  const start = "_, begin = model(torch.tensor([[model.tokens.start]]))  # a text is read after a newline";
  return { before: [start, `ids = ${ids}`], lstm: "model.lstm", call: "said, state = model(ids, begin)" };
}

/** An edit of a series, at a date, or at steps of the whole series. */
function dated(edit: Edit, tokens: string[], from: number): string {
  const [t] = edit.t?.length === 1 ? edit.t : [-1];
  const date = t in tokens ? wordAt({ tokens }, t, Infinity) : "";
  if (date !== "") return pythonEdit({ ...edit, t: null }).replace(", ", `, t=${JSON.stringify(date)}, `);
  return pythonEdit({ ...edit, t: edit.t && edit.t.map((step) => (step < 0 ? step + tokens.length : step) + from) });
}

/** The lines of Python that run the model with these edits. */
export function pythonBlock(edits: readonly Edit[], model: Model, { tokens, series }: Run): string {
  if (series) {
    const calls = edits.map((edit) => `    ${dated(edit, tokens, series.from ?? 0)},\n`);
    return `reading = model.read(frame, edits=[\n${calls.join("")}])\n`;
  }
  const { before, lstm, call } = pythonRun(model, tokens);
  const calls = edits.map(pythonEdit);
  const one = `with ${lstm}.edit(${calls.join(", ")}):`;
  const many = `with ${lstm}.edit(\n${calls.map((line) => `    ${line},\n`).join("")}):`;
  return [...before, one.length <= 88 || calls.length < 2 ? one : many, `    ${call}`, ""].join("\n");
}
