// Builds a model that runs in the browser from a bundle.

import { BUNDLE } from "studio/facts.js";
import { damaged, StudioError } from "studio/runtime/errors.js";
import { trace } from "studio/runtime/given.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { language } from "studio/runtime/language.js";
import { plain } from "studio/runtime/plain.js";
import { read } from "studio/runtime/safetensors.js";
import { tagger } from "studio/runtime/tagger.js";
import { Weights } from "studio/runtime/weights.js";
import type { BundleHead, Model } from "studio/types.js";

const { format: FORMAT, version: VERSION } = BUNDLE;

const KINDS: Record<string, (head: BundleHead, weights: Weights) => Model> = {
  tagger,
  "language-model": language,
  layer: plain,
  trace,
};

/** @param weights a safetensors file */
export function loadModel(head: BundleHead, weights: ArrayBuffer): Model {
  check(head);
  try {
    const given = new Weights(read(weights));
    const model = KINDS[head.kind](head, given);
    given.finish();
    return model;
  } catch (error) {
    throw error instanceof StudioError ? error : damaged(`a model that can't be built (${error})`, "a complete one");
  }
}

function check(head: BundleHead) {
  if (head?.format !== FORMAT) throw damaged(`data of format ${JSON.stringify(head?.format)}`, FORMAT);
  if (!Number.isSafeInteger(head.version) || head.version < 1) {
    throw damaged(`data of version ${JSON.stringify(head.version)}`, "a positive integer");
  }
  if (head.version > VERSION) {
    const advice = "Upgrade hiddenstate, or reload the page that came with the model.";
    throw new StudioError(`data of version ${head.version}`, `at most ${VERSION}`, advice);
  }
  if (!Object.hasOwn(KINDS, head.kind)) {
    throw damaged(`a model of kind ${JSON.stringify(head.kind)}`, `one of ${Object.keys(KINDS).join(" ")}`);
  }
  kindNamed(head.cell, head.cells);
}
