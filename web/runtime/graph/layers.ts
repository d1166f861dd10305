// The recurrent layers and cells of a graph.

import { damaged } from "studio/runtime/errors.js";
import { type NumberArray, transposed, zeros } from "studio/runtime/graph/arithmetic.js";
import { type GraphNode, labelOf, statesOf } from "studio/runtime/graph/graph.js";
import { KINDS } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import type { Weights } from "studio/runtime/weights.js";

/** The layers of a graph by the prefix of their weights; nodes may share one. */
export function layersOf(nodes: readonly GraphNode[], weights: Weights): Map<string, Lstm> {
  const layers = new Map<string, Lstm>();
  const forms = new Map<string, string>();
  for (const node of nodes) {
    const { prefix, batch_first: _, ...sizes } = node.settings;
    const form = JSON.stringify(Object.entries({ proj_size: 0, num_layers: 1, bidirectional: false, ...sizes }).sort());
    if ((forms.get(prefix) ?? form) !== form) {
      throw damaged(`${labelOf(node)}, whose weights another node reads in another form`, "one form");
    }
    forms.set(prefix, form);
    if (!layers.has(prefix)) layers.set(prefix, layerOf(node, weights));
  }
  return layers;
}

function layerOf(node: GraphNode, weights: Weights): Lstm {
  const { prefix, cell, input_size: inputSize, hidden_size: hiddenSize, bias, ...more } = node.settings;
  const { num_layers: numLayers = 1, proj_size: projSize = 0, bidirectional = false } = more;
  try {
    return new Lstm({ inputSize, hiddenSize, numLayers, bidirectional, bias, projSize }, weights, prefix, KINDS[cell]);
  } catch (error) {
    throw damaged(`${labelOf(node)}: ${(error as Error).message}`, "weights of its sizes");
  }
}

/** The output of a layer and its states, or the states of a cell; `before`: the states carried. */
export function runLayer(node: GraphNode, inputs: NumberArray[], layer: Lstm, before?: NumberArray[]): NumberArray[] {
  const { op, settings } = node;
  const isLayer = op === "layer";
  const [x, ...initial] = inputs;
  const byRows = !isLayer || settings.batch_first ? x : transposed(x, [1, 0, 2]);
  const [N, T] = isLayer ? byRows.shape : [byRows.shape[0], 1];
  const C = byRows.data.length / (N * T);
  const names = statesOf(node);
  const count = layer.cells.length;
  const given = before ?? initial;
  const out = zeros([N, T, layer.outputSize]);
  const ends = names.map((name) => zeros([count, N, layer.begin()[0][name].length]));
  for (let n = 0; n < N; n++) {
    const state = layer.begin();
    given.forEach(({ shape, data }, k) => {
      const [rows, width] = shape.slice(-2);
      state.forEach((part, j) => {
        const at = (j * rows + (rows === 1 ? 0 : n)) * width;
        part[names[k]].set(data.subarray(at, at + width));
      });
    });
    const run = layer.run(Float32Array.from(byRows.data.subarray(n * T * C, (n + 1) * T * C)), T, [], state);
    out.data.set(run.out, n * T * layer.outputSize);
    names.forEach((name, k) =>
      run.state.forEach((part, j) => ends[k].data.set(part[name], (j * N + n) * part[name].length)),
    );
  }
  if (!isLayer) return ends.map(({ shape, data }) => ({ shape: shape.slice(1), data }));
  return [settings.batch_first ? out : transposed(out, [1, 0, 2]), ...ends];
}
