// Goes on from a stream's saved states, takes steps of ones, and saves the state: node graph_state.mjs FILE ROWS STEPS TO [FROM...]. Prints a
// line for each FROM: "loaded", or why it was refused.
import { readFile, writeFile } from "node:fs/promises";
import { loadGraph, ModelError } from "./package/index.js";

const [path, rows, steps, to, ...from] = process.argv.slice(2);
const model = loadGraph(await readFile(path));
const stream = model.stream(Number(rows));
for (const each of from) {
  const bytes = await readFile(each);
  try {
    stream.load(bytes);
    console.log("loaded");
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    console.log(error.message.replaceAll("\n", " "));
  }
}
const args = model.inputs.map((input) => {
  const shape = input.shape.filter((size) => size !== "T").map((size) => (size === "N" ? Number(rows) : size));
  return { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1) };
});
for (let step = 0; step < Number(steps); step++) stream.step(args);
await writeFile(to, stream.save());
