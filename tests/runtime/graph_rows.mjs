// Lets rows of a stream join, leave and begin again at random, beside a stream for each: node graph_rows.mjs FILE. Prints the largest
// difference.
import { readFile } from "node:fs/promises";
import { loadGraph, ModelError } from "./package/index.js";

const model = loadGraph(await readFile(process.argv[2]));
const [{ shape }] = model.inputs; // [N, T, ...]
const width = shape.slice(2).reduce((a, b) => a * b, 1);
let seed = 3;
const draw = (most) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * most);
};
const input = (rows) => ({ shape: [rows, ...shape.slice(2)], data: Float32Array.from({ length: rows * width }, () => draw(1000) / 200 - 2) });

let stream = model.stream(2);
const alone = new Map([0, 1].map((row) => [row, model.stream()]));
let largest = 0;
for (let t = 0; t < 200; t++) {
  const [way, row] = [draw(12), [...alone.keys()][draw(alone.size)]];
  if (way === 0 && alone.size < 9) alone.set(stream.join(), model.stream());
  else if (way === 1 && alone.size > 1) stream.leave([row]), alone.delete(row);
  else if (way === 2) stream.reset([row]), alone.get(row).reset();
  else if (way === 3) alone.get(row).state = stream.stateOf([row]);
  else if (way === 4) stream = stream.fork();
  else if (way === 6) {
    const other = model.stream(alone.get(row).rows.length);
    other.load(alone.get(row).save());
    alone.set(row, other);
  }
  else if (way === 5 && alone.size < 9) alone.set(stream.join(alone.get(row).state), alone.get(row).fork());
  const rows = [...alone.keys()].filter(() => draw(2));
  if (rows.length === 0) continue;
  const x = input(rows.length);
  const results = stream.step([x], rows);
  rows.forEach((row, k) => {
    const part = (data, rows) => data.slice((k * data.length) / rows, ((k + 1) * data.length) / rows);
    const single = alone.get(row).step([{ shape: [1, ...x.shape.slice(1)], data: part(x.data, rows.length) }]);
    single.forEach(({ data }, j) => {
      part(results[j].data, rows.length).forEach((value, i) => (largest = Math.max(largest, Math.abs(value - data[i]))));
    });
  });
}
for (const bad of [[99], [-1], [], [0.5], [stream.rows[0], stream.rows[0]]]) {
  try {
    stream.reset(bad);
    largest = Infinity;
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
  }
}
const [name] = Object.keys(stream.state);
for (const bad of [undefined, null, {}, { ...stream.state, [name]: null }, { ...stream.state, more: 1 }]) {
  try {
    stream.state = bad;
    largest = Infinity;
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
  }
}
console.log(JSON.stringify(largest));
