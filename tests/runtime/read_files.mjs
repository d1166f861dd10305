// Reads the model in each file, and prints the outcomes as JSON: "read", or why it was refused. node read_files.mjs FILE...
import { readFile } from "node:fs/promises";
import { load, ModelError } from "./package/index.js";

const outcome = async (path) => {
  try {
    load(await readFile(path));
    return "read";
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    return error.message;
  }
};

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(outcome))));
