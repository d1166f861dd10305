// Runs a model file on what is given as JSON, and prints what it found as JSON: node run_model.mjs FILE GIVEN
import { readFile } from "node:fs/promises";
import { load, ModelError } from "./package/index.js";

const [path, given] = process.argv.slice(2);
const input = JSON.parse(given);

const rows = (values, size) =>
  Array.from({ length: values.length / size }, (_, t) => Array.from(values.slice(t * size, (t + 1) * size)));

function ofNumbers(model) {
  const run = model.runNumbers(input.map((row) => Float32Array.from(row)));
  const places = ({ values }) => Object.entries(values).map(([name, all]) => [name, rows(all, all.length / run.steps)]);
  return { values: run.tracks.map((track) => [track.info.name, places(track)]) };
}

function ofText(model) {
  const { tokens, heads } = model.run(model.tokenise(input));
  const { labels, chosen, probabilities } = heads[0];
  const tags = Array.from(chosen, (k) => labels[k]);
  return { tokens, chosen: tags, probabilities: rows(probabilities, labels.length) };
}

try {
  const model = load(await readFile(path));
  console.log(JSON.stringify(model.kind === "layer" ? ofNumbers(model) : ofText(model)));
} catch (error) {
  if (!(error instanceof ModelError)) throw error;
  console.log(JSON.stringify({ refused: error.message }));
}
