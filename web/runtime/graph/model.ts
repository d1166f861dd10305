// A whole model as a graph of operations, over whole sequences or one time step at a time.

import { refuse } from "studio/runtime/errors.js";
import { GRAPH } from "studio/facts.js";
import { type NumberArray, put, taken } from "studio/runtime/graph/arithmetic.js";
import { statesOf, whyNoStream } from "studio/runtime/graph/graph.js";
import { type Carried, type GraphArgument, GraphProgram } from "studio/runtime/graph/program.js";
import { describe, read } from "studio/runtime/safetensors.js";

/** What is carried, by name: `lstm.h` [L, N, P], `conv.x` [N, C, K], ... */
export type GraphState = Record<string, NumberArray>;

const MOST_ROWS = 2 ** 24;
const range = (count: number) => Array.from({ length: count }, (_, k) => k);

/** A model with constant weights. */
export class GraphModel extends GraphProgram {
  /** Runs over whole sequences; returns the results. */
  run(args: readonly GraphArgument[]): NumberArray[] {
    return this.compute(...this.read(args)).results;
  }

  /** A stream of so many rows, whose states start where a run starts. */
  stream(rows: number = 1): GraphStream {
    return new GraphStream(this, rows);
  }
}

/** A running model. What its layers and causal convolutions carry can be read and set; rows come and go. */
export class GraphStream {
  model: GraphProgram;
  #carried: Carried;
  #count: number; // of rows
  #free: Set<number> = new Set();

  constructor(model: GraphProgram, rows: number) {
    const reason = whyNoStream(model.graph);
    if (reason) refuse("a stream of this model", "one that runs step by step", `Run it whole: ${reason}.`);
    const most = model.takesRows ? MOST_ROWS : 1;
    if (!Number.isSafeInteger(rows) || rows < 1 || rows > most) refuse(`${rows} rows`, `1 to ${most}`, "Give as many.");
    this.model = model;
    this.#count = rows;
    this.#carried = model.initialState(rows);
  }

  /** The rows in use. */
  get rows(): number[] {
    return range(this.#count).filter((row) => !this.#free.has(row));
  }

  /**
   * Reads one time step.
   *
   * @param args of the shapes of the model's inputs, without their time axes
   * @param rows the distinct rows that take this step; the others wait
   * @returns the results, without their time axes
   */
  step(args: readonly GraphArgument[], rows?: readonly number[]): NumberArray[] {
    const { inputs, outputs } = this.model;
    const whole = (Array.isArray(args) ? args : []).map((argument: GraphArgument, k) => {
      const axis = inputs[k]?.shape.indexOf("T") ?? -1;
      if (axis < 0 || !Array.isArray(argument?.shape)) return argument;
      const wanted = inputs[k].shape.filter((size) => size !== "T");
      if (argument.shape.length !== wanted.length) {
        refuse(`${inputs[k].name} of shape [${argument.shape}]`, `[${wanted}]`, "Give one time step in that shape.");
      }
      return { ...argument, shape: [...argument.shape.slice(0, axis), 1, ...argument.shape.slice(axis)] };
    });
    return this.#run(whole, rows).map(({ shape, data }, k) => {
      const axis = outputs[k].indexOf("T");
      return { shape: shape.filter((_, k) => k !== axis), data };
    });
  }

  /** Reads several time steps of all rows, with the results of single steps. */
  feed(args: readonly GraphArgument[]): NumberArray[] {
    return this.#run(args);
  }

  #run(args: readonly GraphArgument[], rows?: readonly number[]): NumberArray[] {
    const chosen = rows && this.#chosen(rows);
    const [arrays, sizes] = this.model.read(args);
    const count = chosen?.length ?? this.#count;
    if ((sizes.N ?? 1) !== count) refuse(`arguments of ${sizes.N ?? 1} rows`, `${count}`, "Give one for each row.");
    const before = chosen ? this.#mapped((part, axis) => taken(part, axis, chosen)) : this.#carried;
    const { results, after } = this.model.compute(arrays, sizes, before);
    if (chosen) this.#put(chosen, after);
    else this.#carried = after;
    return results;
  }

  /** Begins a new sequence in a row that is not in use, from this state of a row, and returns its number. */
  join(state?: GraphState): number {
    if (state !== undefined) this.#parts(state, 1);
    if (this.#free.size === 0) this.#widen();
    const row = Math.min(...this.#free);
    this.#free.delete(row);
    this.reset([row], state);
    return row;
  }

  /** Ends the sequences of rows; `join` gives them to new ones. */
  leave(rows: readonly number[]) {
    for (const row of this.#chosen(rows)) this.#free.add(row);
  }

  /** Sets what is carried of rows (all by default) to what a sequence begins with, or to a state of as many rows. */
  reset(rows?: readonly number[], state?: GraphState) {
    const chosen = rows ? this.#chosen(rows) : range(this.#count);
    const begins = state === undefined ? this.model.initialState(chosen.length) : this.#parts(state, chosen.length);
    this.#put(chosen, begins);
  }

  /** A copy of what is carried of all rows; assign one to continue. */
  get state(): GraphState {
    return this.#named(range(this.#count));
  }

  set state(state: GraphState) {
    this.#put(range(this.#count), this.#parts(state, this.#count));
  }

  /** A copy of what is carried of some rows. */
  stateOf(rows: readonly number[]): GraphState {
    return this.#named(this.#chosen(rows));
  }

  /** A second stream that goes on from here; the two are independent. */
  fork(): GraphStream {
    const other = new GraphStream(this.model, this.#count);
    other.state = this.state;
    other.#free = new Set(this.#free);
    return other;
  }

  /** What is carried of all rows as the bytes of a file, which Python's streams of the same model file read too. */
  save(): Uint8Array {
    const header: Record<string, object> = { __metadata__: { format: GRAPH.state, model: this.model.fingerprint } };
    const state = Object.entries(this.state);
    let at = 0;
    for (const [name, { shape, data }] of state) {
      header[name] = { dtype: "F32", shape, data_offsets: [at, at + 4 * data.length] };
      at += 4 * data.length;
    }
    const text = new TextEncoder().encode(JSON.stringify(header));
    const bytes = new Uint8Array(8 + text.length + at);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(text.length), true);
    bytes.set(text, 8);
    let next = 8 + text.length;
    for (const [, { data }] of state) for (const value of data) view.setFloat32((next += 4) - 4, value, true);
    return bytes;
  }

  /** Goes on from what `save` returned, or Python's stream wrote, in a stream of the same model file and as many rows. */
  load(bytes: ArrayBuffer | Uint8Array) {
    const whole = Uint8Array.from(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes)).buffer;
    const { format, model } = describe(whole).metadata;
    if (format !== GRAPH.state || model !== this.model.fingerprint) {
      refuse("another file", "the state of a stream of this model file", "Give what save returned.");
    }
    const state: GraphState = Object.fromEntries(read(whole));
    if (!Object.values(state).every(({ data }) => data.every(Number.isFinite))) {
      refuse("a state that is not finite", "finite numbers", "Give what save returned.");
    }
    this.state = state;
  }

  #named(rows: readonly number[]): GraphState {
    const parts = [...this.#mapped((part, axis) => taken(part, axis, rows)).values()].flat();
    return Object.fromEntries(this.#names().map((name, k) => [name, parts[k]]));
  }

  #names(): string[] {
    const names: string[] = [];
    for (const place of this.#carried.keys()) {
      const node = this.model.graph.nodes[place];
      for (const letter of node.op === "conv1d" ? ["x"] : statesOf(node)) {
        const name = node.name ? `${node.name}.${letter}` : letter;
        names.push(names.includes(name) ? `${name}@${place}` : name);
      }
    }
    return names;
  }

  /** The axis of rows: a convolution's inputs are [N, C, K], a layer's states [L, N, H]. */
  #axis(place: number): number {
    return this.model.graph.nodes[place].op === "conv1d" ? 0 : 1;
  }

  #mapped(of: (part: NumberArray, axis: number) => NumberArray): Carried {
    return new Map(
      [...this.#carried].map(([place, parts]) => [place, parts.map((part) => of(part, this.#axis(place)))]),
    );
  }

  /** A state of so many rows by the numbers of nodes, checked. */
  #parts(state: GraphState, rows: number): Carried {
    const names = this.#names();
    const got = Object.keys(state ?? {});
    if ([...got].sort().join() !== [...names].sort().join())
      refuse(`a state of ${got}`, names.join(", "), "Give these.");
    let next = 0;
    return this.#mapped((part, axis) => {
      const name = names[next++];
      const { shape, data } = state[name] ?? {};
      const wanted = part.shape.map((size, k) => (k === axis ? rows : size));
      const count = wanted.reduce((product, size) => product * size, 1);
      if (String(shape) !== String(wanted) || data?.length !== count) {
        refuse(`${name} of shape [${shape}]`, `[${wanted}]`, "Give it in that shape.");
      }
      return { shape: wanted, data: Float32Array.from(data) };
    });
  }

  #put(rows: readonly number[], state: Carried) {
    for (const [place, parts] of this.#carried) {
      const axis = this.#axis(place);
      parts.forEach((part, k) => put(part, axis, rows, (state.get(place) as NumberArray[])[k]));
    }
  }

  #widen() {
    const [count, before] = [this.#count, this.#carried];
    const wider = new GraphStream(this.model, 2 * count);
    wider.#put(range(count), before);
    this.#carried = wider.#carried;
    this.#count = 2 * count;
    this.#free = new Set(range(2 * count).slice(count));
  }

  #chosen(rows: readonly number[]): readonly number[] {
    const isOne = (row: number) => Number.isInteger(row) && row >= 0 && row < this.#count && !this.#free.has(row);
    if (!Array.isArray(rows) || rows.length === 0 || new Set(rows).size < rows.length || !rows.every(isOne)) {
      refuse(`rows [${rows}]`, `some of ${this.rows.slice(0, 20)}, each once`, "Name rows in use.");
    }
    return rows;
  }
}
