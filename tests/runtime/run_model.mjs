// Runs a model file on what is given as JSON, and prints what it found as JSON: node run_model.mjs FILE GIVEN. With the native engine, if
// the package has it.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { accelerate, load, ModelError } from "./package/index.js";

const engine = new URL("./package/native.wasm", import.meta.url);
if (existsSync(engine)) await accelerate(await readFile(engine));

const [path, given] = process.argv.slice(2);
const input = JSON.parse(given);

const rows = (values, size) =>
  Array.from({ length: values.length / size }, (_, t) => Array.from(values.slice(t * size, (t + 1) * size)));

function ofNumbers(model) {
  const steps = input.map((row) => Float32Array.from(row));
  const run = model.runNumbers(steps);
  if (model.series) return { forecast: Array.from(run.series.forecast) };
  const places = ({ values }) => Object.entries(values).map(([name, all]) => [name, rows(all, all.length / run.steps)]);
  const named = ({ tracks }) => tracks.map((track) => [track.info.name, places(track)]);
  if (model.tracks.some(({ reverse }) => reverse)) return { values: named(run) };
  const stream = model.stream();
  const outputs = steps.map((step) => Array.from(stream.step(step)));
  return { values: named(run), streamed: named(stream.run()), outputs, kept: keptSteps(model, steps) };
}

// The numbers of steps that streams join which keep so many of them; null if there is nothing to join.
function keptSteps(model, steps) {
  return [0, 1, 2, steps.length].map((keep) => {
    const stream = model.stream();
    stream.keep = keep;
    steps.forEach((step) => stream.step(step).fill(9)); // the output is the caller's
    try {
      return stream.run().tracks.every(({ values }) => values.h.every((h) => h < 9)) ? stream.run().steps : -1;
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      return null;
    }
  });
}

function ofText(model) {
  const { tokens, heads } = model.run(model.tokenise(input));
  const { labels, chosen, probabilities } = heads[0];
  const tags = Array.from(chosen, (k) => labels[k]);
  return { tokens, chosen: tags, probabilities: rows(probabilities, labels.length) };
}

try {
  const model = load(await readFile(path));
  console.log(JSON.stringify(model.kind !== "tagger" && model.kind !== "language-model" ? ofNumbers(model) : ofText(model)));
} catch (error) {
  if (!(error instanceof ModelError)) throw error;
  console.log(JSON.stringify({ refused: error.message }));
}
