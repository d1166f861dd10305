// Runs whole models: node run_graph.mjs JOB..., each JSON {path or text, args: [{shape, data}], bigints, chunks}. Prints the results of a run, or of
// each chunk of a stream, as JSON; or why the file was refused.
import { readFile } from "node:fs/promises";
import { loadGraph, ModelError } from "./package/index.js";

const plain = (results) => results.map(({ shape, data }) => ({ shape, data: Array.from(data) }));

/** Steps from .. to of the arguments. */
function cut(model, args, from, to) {
  return args.map(({ shape, data }, k) => {
    const axis = model.inputs[k].shape.indexOf("T");
    if (axis < 0) return { shape, data };
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const inside = (_, at) => Math.floor(at / inner) % shape[axis] >= from && Math.floor(at / inner) % shape[axis] < to;
    return { shape: shape.with(axis, to - from), data: data.filter(inside) };
  });
}

function outcome({ args: given, bigints, chunks }, model) {
  const args = bigints ? given.map(({ shape, data }) => ({ shape, data: BigInt64Array.from(data, BigInt) })) : given;
  if (!chunks) return plain(model.run(args));
  const stream = model.stream(args[0].shape[model.inputs[0].shape.indexOf("N")] ?? 1);
  let at = 0;
  return chunks.map((size) => plain(stream.feed(cut(model, args, at, (at += size)))));
}

for (const path of process.argv.slice(2)) {
  const job = JSON.parse(await readFile(path));
  try {
    console.log(JSON.stringify(outcome(job, loadGraph(job.text ?? (await readFile(job.path))))));
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    console.log(JSON.stringify({ refused: error.message }));
  }
}
