// One of deployment.py's processes: node step.mjs FOLDER STEPS, beside the package; with its native engine, if it has one.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { accelerate, load } from "./package/index.js";

const SIZE = 128;
const [folder, steps] = process.argv.slice(2);
const engine = new URL("./package/native.wasm", import.meta.url);
if (existsSync(engine)) await accelerate(await readFile(engine));
const stream = load(await readFile(`${folder}/m.safetensors`)).stream();
const x = new Float32Array(SIZE).fill(0.5);
stream.step(x);
console.log(`out=${Array.from(stream.run().tracks[0].values.h).join(" ")}`);
const { user, system } = process.cpuUsage();
console.log(`start=${(user + system) / 1e6}`);
let least = Infinity;
for (let k = 0; k < Number(steps); k++) {
  const begin = process.hrtime.bigint();
  stream.step(x);
  least = Math.min(least, Number(process.hrtime.bigint() - begin));
}
console.log(`step=${least / 1e9}`);
const status = await readFile("/proc/self/status", "utf8");
console.log(`memory=${1024 * Number(/VmHWM:\s*(\d+)/.exec(status)[1])}`);
