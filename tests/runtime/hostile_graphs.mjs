// Reads damaged copies of a graph file, and runs and streams those that are read: node hostile_graphs.mjs FILE COUNT SEED. Prints how many
// were read, and how many were refused; any other error ends it.
import { readFile } from "node:fs/promises";
import { loadGraph, ModelError } from "./package/index.js";

const [path, count, seed] = process.argv.slice(2);
const whole = await readFile(path);
const header = 8 + Number(whole.readBigUInt64LE(0));
let state = Number(seed);
const draw = (most) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * most);
};
const digits = [...whole.keys()].filter((at) => at >= 8 && at < header && whole[at] >= 48 && whole[at] <= 57);

function damaged() {
  const way = draw(10);
  if (way === 0) return whole.subarray(0, draw(whole.length));
  const content = Buffer.from(whole);
  for (let k = 0; k <= draw(4); k++) {
    if (way < 6) content[digits[draw(digits.length)]] = 48 + draw(10);
    else content[8 + draw(header - 8)] = '0129"[]{}NTx,'.charCodeAt(draw(13));
  }
  return content;
}

function exercise(bytes) {
  const model = loadGraph(bytes);
  const sized = (shape, N, T) => shape.map((size) => ({ N, T })[size] ?? size);
  const args = (N, T) => model.inputs.map(({ shape }) => ({ shape: sized(shape, N, T), data: new Int8Array(sized(shape, N, T).reduce((a, b) => a * b, 1)) }));
  model.run(args(2, 3));
  const stream = model.stream(2);
  stream.feed(args(2, 2));
  stream.join();
  stream.fork().leave([0]);
}

const outcomes = { read: 0, refused: 0, streamed: 0 };
for (let k = 0; k < Number(count); k++) {
  try {
    const bytes = damaged();
    loadGraph(bytes);
    outcomes.read += 1;
    exercise(bytes);
    outcomes.streamed += 1;
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    outcomes.refused += 1;
  }
}
console.log(JSON.stringify(outcomes));
