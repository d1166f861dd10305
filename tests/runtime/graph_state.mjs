// Goes on from a stream's saved state, if one is given, takes a step of ones, and saves the state: node graph_state.mjs FILE ROWS TO [FROM].
// Prints the state, and why an altered one is refused.
import { readFile, writeFile } from "node:fs/promises";
import { loadGraph, ModelError } from "./package/index.js";

const [path, rows, to, from] = process.argv.slice(2);
const model = loadGraph(await readFile(path));
const stream = model.stream(Number(rows));
if (from) stream.load(await readFile(from));
const shape = model.inputs[0].shape.filter((size) => size !== "T").map((size) => (size === "N" ? Number(rows) : size));
stream.step([{ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1) }]);
const bytes = stream.save();
await writeFile(to, bytes);
const text = new TextDecoder("latin1").decode(bytes);
const changed = Uint8Array.from(bytes);
changed[text.indexOf(model.fingerprint)] ^= 1;
const refused = [changed, bytes.slice(0, -4), new Uint8Array(3), await readFile(path)].map((bad) => {
  try {
    stream.load(bad);
    return "loaded";
  } catch (error) {
    return error instanceof ModelError ? error.name : String(error);
  }
});
const state = Object.fromEntries(Object.entries(stream.state).map(([name, { data }]) => [name, Array.from(data)]));
console.log(JSON.stringify({ state, refused }));
