// Facts that Python owns; written by build_backend/page_facts.py (make facts).

/** One change of a run, like hiddenstate.Edit. */
export interface Edit {
  place: string; // "l1.f"
  kind: "set" | "scale" | "add"; // the new value is value, old * value, or old + value
  value: number;
  unit: number[] | null; // null: all
  t: number[] | null; // null: all
  scope: "write" | "readout"; // write: carried on through time; readout: only this step's output
}

/** The user's current view, which is stored in the URL in full. */
export interface View {
  page: "read" | "compare" | "structure" | "explain" | "units" | "search";
  model: string; // its id
  text: string;
  otherModel: string; // compare: "" for the same model
  otherText: string; // compare
  comparison: "sentences" | "models" | "edits"; // the kind of comparison on the compare page
  align: "position" | "words"; // how steps are aligned there
  step: number; // the cursor
  track: string;
  quantity: string; // the values in the heat map
  unit: number; // the one under the microscope
  pinned: number[];
  sort: string; // "index", "change", "cluster", or "tag:NOUN" (correlation)
  head: string; // which head is shown
  zoom: "model" | "layer" | "unit" | "gate"; // of the microscope
  gate: string; // the gate whose products are shown
  edits: readonly Edit[];
  tour: number; // the step of the tour, or -1
  sandbox: string; // the sizes in the structure page's sandbox; "" for those of the lesson
  rows: string; // the order of the state table: a column, with "-" in front for descending order
  filter: string; // the filter of its rows: "NOUN", "probability<0.6"
  label: string; // explain: the label to explain; "" for the model's prediction
  measure: "auto" | "logit" | "probability"; // explain: what of it; auto: whichever suits the model
  memory: string; // explain: the memory of the ledger, "l1.c[125]"; "" for the most telling one
  writer: number; // explain: the step to follow in the ledger; -1 for the one of which most remains
  method: "occlusion" | "shapley"; // explain: whether Shapley values are computed as well
  players: "words" | "steps"; // explain: the units to replace if steps are characters
  query: string; // search: the query, as typed
  unitRows: string; // units: the order of the gallery, like `rows`
  unitFilter: string; // units: the filter of the gallery: "l1.h NOUN"
  theme: "auto" | "light" | "dark";
}

/** A stream continues from here; step `t` is next. */
export interface BeginMessage {
  type: "begin";
  t: number;
  h: Float32Array;
  c?: Float32Array;
}

/** A stream has read a step. */
export interface StepMessage {
  type: "step";
  t: number;
  token: string | null;
  x: Float32Array;
  h: Float32Array;
  c?: Float32Array;
}

/** The changed parts of the view's state, in JSON types or NumPy's numbers, from the page or Python. */
export interface ViewMessage {
  type: "view";
  view: Partial<View>;
}

/** The kinds of cells. */
export const CELLS = {
  LSTM: {
    name: "LSTM",
    label: "LSTM",
    gates: ["i", "f", "g", "o"],
    states: ["c", "h"],
    carried: ["h", "c"],
    memory: "c",
    candidate: "g",
    activations: { i: "sigmoid", f: "sigmoid", g: "tanh", o: "sigmoid" },
    scales: {},
    parts: {},
    isAdditive: true,
    meanings: {
      i: "input gate",
      f: "forget gate",
      g: "cell candidate",
      o: "output gate",
      c: "cell state",
      h: "hidden state",
    },
  },
  GRU: {
    name: "GRU",
    label: "GRU",
    gates: ["r", "z", "n"],
    states: ["h"],
    carried: ["h"],
    memory: "h",
    candidate: "n",
    activations: { r: "sigmoid", z: "sigmoid", n: "tanh" },
    scales: { n: "r" },
    parts: { n_h: "n", n_rh: "n" },
    isAdditive: true,
    meanings: {
      r: "reset gate",
      z: "update gate",
      n: "candidate state",
      h: "hidden state",
      n_h: "the state's part of n, before the reset gate",
      n_rh: "the state's part of n, after the reset gate",
    },
  },
  RNN_TANH: {
    name: "RNN_TANH",
    label: "RNN",
    gates: ["h"],
    states: ["h"],
    carried: ["h"],
    memory: "h",
    candidate: "h",
    activations: { h: "tanh" },
    scales: {},
    parts: {},
    isAdditive: false,
    meanings: { h: "hidden state" },
  },
  RNN_RELU: {
    name: "RNN_RELU",
    label: "RNN",
    gates: ["h"],
    states: ["h"],
    carried: ["h"],
    memory: "h",
    candidate: "h",
    activations: { h: "relu" },
    scales: {},
    parts: {},
    isAdditive: false,
    meanings: { h: "hidden state" },
  },
} as const;

/** The kinds of cells by the setting in models' configs; the first is the default. */
export const CELL_SETTINGS: Record<string, string> = {
  lstm: "LSTM",
  gru: "GRU",
  rnn: "RNN_TANH",
  rnn_relu: "RNN_RELU",
};

/** A model file, and a layer's options in it. */
export const MODEL_FILE = {
  format: "hiddenstate.model/1",
  sizes: ["input_size", "hidden_size", "num_layers", "proj_size"],
  flags: ["bias", "bidirectional", "batch_first"],
};

/** what a graph may have, and the format of a stream's saved state, as in models/graph/graph.py */
export const GRAPH = {
  nodes: 4096,
  text: 4194304,
  size: 2147483648,
  work: 67108864,
  work_per_byte: 16,
  state: "hiddenstate.graph-stream/1",
};
export const INT8 = { most: 127, columns: 133144, units: 32 }; // the largest, and the most columns and fewest units of layers that round what they multiply
export const BUNDLE = { format: "hiddenstate-studio", version: 1 }; // the data of a model on the page
export const TINY = 1e-8; // for smaller c, tanh(c)/c is 1 to the last digit
export const MOST_LAYERS = 4096; // of a recurrent layer
export const LARGEST_SIZE = 16777216; // of anything in a config
export const MOST_ENTRIES = 4096; // of a file's metadata
export const LARGEST_HEADER = 100000000; // of a safetensors file, in bytes, as in safetensors itself
export const SHUT = 0.1; // a gate is shut below this
export const OPEN = 0.9; // and open above this; values from -1 to 1 are low below -OPEN
export const OPPOSED = 0.1; // methods of attribution disagree if both relative values exceed this, with opposite signs,
export const LARGE = 0.25; // or if one exceeds this,
export const NOTHING = 0.05; // and the other is below this.
export const HELD = 0.95; // the share of a memory above which the word that erased most of it is not named
export const MOST_PASSAGES = 32; // in one request
export const MOST_PASSAGE_STEPS = 256; // of a passage
export const MOST_CHARACTERS = 20000; // of a text that Python takes
export const MOST_ITEMS = 1000; // units, steps or edits in a list that Python takes
export const EDIT_KINDS = ["set", "scale", "add"];
export const EDIT_SCOPES = ["write", "readout"];

/** The choices in a view. */
export const CHOICES = {
  page: ["read", "compare", "structure", "explain", "units", "search"],
  comparison: ["sentences", "models", "edits"],
  align: ["position", "words"],
  zoom: ["model", "layer", "unit", "gate"],
  measure: ["auto", "logit", "probability"],
  method: ["occlusion", "shapley"],
  players: ["words", "steps"],
  theme: ["auto", "light", "dark"],
} as const;

/** The view of a new page. */
export const FIRST_VIEW: View = {
  page: "read",
  model: "",
  text: "",
  otherModel: "",
  otherText: "",
  comparison: "sentences",
  align: "words",
  step: 0,
  track: "",
  quantity: "c",
  unit: -1,
  pinned: [],
  sort: "index",
  head: "",
  zoom: "unit",
  gate: "f",
  edits: [],
  tour: -1,
  sandbox: "",
  rows: "step",
  filter: "",
  label: "",
  measure: "auto",
  memory: "",
  writer: -1,
  method: "occlusion",
  players: "words",
  query: "",
  unitRows: "-held_out",
  unitFilter: "",
  theme: "auto",
};
