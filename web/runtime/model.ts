// Builds a model that runs in the browser from a bundle.

import { BUNDLE } from "studio/facts.js";
import { layerParts, named, unlabelled } from "studio/runtime/common.js";
import { damaged, ModelError, refuse } from "studio/runtime/errors.js";
import { recordedSubject } from "studio/runtime/explain/subject.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { language } from "studio/runtime/language.js";
import { tracksOf } from "studio/runtime/lstm.js";
import { plain, configSizes, givenStates, tokensOf } from "studio/runtime/plain.js";
import { read } from "studio/runtime/safetensors.js";
import { seriesModel } from "studio/runtime/series.js";
import { tagger } from "studio/runtime/tagger.js";
import { count, Weights } from "studio/runtime/weights.js";
import type { BundleHead, Model, Track, TrackInfo } from "studio/types.js";

const { format: FORMAT, version: VERSION } = BUNDLE;

const KINDS: Record<string, (head: BundleHead, weights: Weights) => Model> = {
  tagger,
  "language-model": language,
  "series-model": seriesModel,
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
    throw error instanceof ModelError ? error : damaged(`a model that can't be built (${error})`, "a complete one");
  }
}

function check(head: BundleHead) {
  if (head?.format !== FORMAT) throw damaged(`data of format ${JSON.stringify(head?.format)}`, FORMAT);
  if (!Number.isSafeInteger(head.version) || head.version < 1) {
    throw damaged(`data of version ${JSON.stringify(head.version)}`, "a positive integer");
  }
  if (head.version > VERSION) {
    const advice = "Upgrade hiddenstate, or reload the page that came with the model.";
    throw new ModelError(`data of version ${head.version}`, `at most ${VERSION}`, advice);
  }
  if (!Object.hasOwn(KINDS, head.kind)) {
    throw damaged(`a model of kind ${JSON.stringify(head.kind)}`, `one of ${Object.keys(KINDS).join(" ")}`);
  }
  kindNamed(head.cell, head.cells);
}

/** @param weights the recorded values; NaN for those not recorded */
function trace(head: BundleHead, weights: Weights): Model {
  const T = count(head.given, "steps");
  const kind = kindNamed(head.cell, head.cells);
  const infos = tracksOf(configSizes(head.config, 0));
  const width = ({ units, outputs }: TrackInfo, quantity: string) => (quantity === "h" ? outputs : units);
  const zeros = (info: TrackInfo) => kind.carried.map((state) => [state, new Float32Array(width(info, state))]);
  const states = infos.map((info): Record<string, Float32Array> => Object.fromEntries(zeros(info)));
  const initial = givenStates(states, weights, "values");
  const tracks = infos.map((info, k): Track => {
    const values = Object.fromEntries(
      [...kind.gates, ...kind.states].map((quantity) => {
        const [place, shape] = [`given.${info.name}.${quantity}`, [T, width(info, quantity)]];
        const none = () => new Float32Array(shape[0] * shape[1]).fill(NaN);
        return [quantity, weights.has(place) ? weights.values(place, shape) : none()];
      }),
    );
    const reads = info.layer === 0 && info.inputSize > 0 && weights.has("given.input");
    const carried = `given.carried.${info.name}`;
    return {
      ...{ info, values, initial: initial[k] },
      input: reads ? weights.values("given.input", [T, info.inputSize]) : null,
      carried: weights.has(carried) ? { ...values, [kind.memory]: weights.values(carried, [T, info.units]) } : null,
    };
  });
  const run = { ...unlabelled(tokensOf(head, T), tracks), edits: [] };
  const no = () => refuse("a trace, which has no weights", "a model that runs", "Open the LSTM itself.");
  return {
    ...named(head, kind),
    ...{ kind: "trace", unit: "step", tracks: infos, hasWeights: false, given: Object.freeze(run) },
    parts: layerParts(infos, kind),
    subject: (given) => recordedSubject(given, kind),
    ...{ tokenise: no, run: no, runNumbers: no, dotProduct: no, weights: no, stream: no },
  };
}
