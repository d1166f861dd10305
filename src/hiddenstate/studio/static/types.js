// Types shared by the studio's modules; contains no code.
//
// T time steps, H hidden units, C input features, L layers. Arrays are Float32Array in row-major order.

/**
 * A gate or a state, by its letter: i f g o c h. Their order and meanings come with each bundle, from Python.
 * @typedef {string} Quantity
 */

/** @typedef {import("studio/runtime/kinds.js").CellKind} CellKind */

/**
 * One layer and direction: "l0", "l0r" (reverse). Steps are numbered as in the input, also in the reverse direction.
 * @typedef {object} TrackInfo
 * @property {string} name
 * @property {number} layer
 * @property {boolean} reverse
 * @property {number} inputSize C of this layer
 * @property {number} units H
 * @property {number} outputs P: units of the hidden state, H without a projection
 */

/**
 * The values of one layer and direction. The step read before step t is t-1, or t+1 in reverse.
 * @typedef {object} Track
 * @property {TrackInfo} info
 * @property {Record<Quantity, Float32Array>} values each [T, H]; h [T, P]
 * @property {Float32Array | null} input [T, C] its input; null for a recorded trace
 * @property {Record<Quantity, Float32Array>} initial h [P], and c [H] of an LSTM: the state before the first step read
 * @property {Record<Quantity, Float32Array> | null} carried [T, P] and [T, H] the states passed on, if a readout edit made the outputs differ from them; see stateBefore in runtime/states.js
 */

/** @typedef {{label: string, probability: number}} Choice one label with its probability */

/**
 * A distribution at each step, over the tags of the word there (for one column) or over a language model's next tokens.
 * @typedef {object} Head
 * @property {string} name "upos", "xpos", ... or "next"
 * @property {string[]} labels K of them
 * @property {Float32Array} probabilities [T, K]
 * @property {Float32Array} logits [T, K] before softmax (and without a chain or a temperature)
 * @property {Int32Array} chosen [T] the predicted label at each step
 */

/**
 * One run of a model over a sentence (or numbers). It is frozen; an edit creates a new run.
 * @typedef {object} Run
 * @property {string[]} tokens T of them: words, characters, or "0", "1", ... without a vocabulary
 * @property {boolean[]} known whether each token is in the vocabulary
 * @property {number} steps T
 * @property {Track[]} tracks of the LSTM shown (a tagger's: the one over words)
 * @property {Head[]} heads empty if the model predicts nothing
 * @property {Float32Array | null} surprise [T] of each token, in nats; language models only
 * @property {readonly Edit[]} edits that were applied
 */

/**
 * One change of a run, like hiddenstate.Edit.
 * @typedef {object} Edit
 * @property {string} place "l1.f"
 * @property {"set" | "scale" | "add"} kind the new value is value, old * value, or old + value
 * @property {number} value
 * @property {number[] | null} unit null: all
 * @property {number[] | null} t null: all
 * @property {"write" | "readout"} scope write: carried on through time; readout: only this step's output
 */

/**
 * The parts of one gate of one unit at one step, before its activation: the input part plus `scale` times the recurrent
 * part, each with its bias.
 * @typedef {object} DotProduct
 * @property {string} gate
 * @property {Float32Array} inputWeights [C]
 * @property {Float32Array} input [C]
 * @property {Float32Array} hiddenWeights [P]
 * @property {Float32Array} hidden [P] the hidden state before the step
 * @property {number} biasInput
 * @property {number} biasHidden
 * @property {number} scale the reset gate for the candidate of a GRU, else 1
 * @property {number} fromInput Σ input + biasInput
 * @property {number} fromHidden Σ hidden + biasHidden
 * @property {number} sum
 */

/**
 * The weights of one track.
 * @typedef {object} TrackWeights
 * @property {Float32Array} weight_ih [G*H, C], G gates stacked in the bundle's order
 * @property {Float32Array} weight_hh [G*H, P]
 * @property {Float32Array | null} bias_ih [G*H]
 * @property {Float32Array | null} bias_hh [G*H]
 * @property {Float32Array | null} weight_hr [P, H] only with a projection
 */

/**
 * A model of any kind, in the browser.
 * @typedef {object} Model
 * @property {"tagger" | "language-model" | "layer" | "trace"} kind
 * @property {string} name
 * @property {string} unit the kind of step: "word", "character", or "step"
 * @property {TrackInfo[]} tracks
 * @property {CellKind} cell
 * @property {readonly string[]} gates in the order of the stacked weights
 * @property {readonly string[]} quantities gates and states
 * @property {Record<Quantity, string>} meanings
 * @property {boolean} hasWeights false for a trace: no edits, no dot products
 * @property {string} card the model card (Markdown), or ""
 * @property {{label: string, shape: number[]}[]} parts the model's parts from input to output, each with the
 *   shape of its weight (of the input weight, if it has several)
 * @property {(text: string) => string[]} tokenise into the argument of run, in reading order, so from the
 *   end of the text if it reads backward
 * @property {(tokens: string[], edits?: readonly Edit[]) => Run} run throws StudioError for input that it can't read
 * @property {(rows: Float32Array[], edits?: readonly Edit[], names?: string[] | null) => Run} runNumbers kind "layer": T of C
 * @property {(run: Run, track: string, gate: string, unit: number, t: number) => DotProduct} dotProduct
 * @property {(track: string) => TrackWeights} weights
 * @property {(edits?: readonly Edit[]) => Stream} stream
 * @property {(run: Run) => Subject} subject of a run without edits; throws StudioError if it can't be explained
 * @property {Run | null} given the run that came with it (a trace, or numbers given in Python)
 */

/**
 * Runs one step at a time and carries the state. A reverse direction can't stream.
 * @typedef {object} Stream
 * @property {(x: Float32Array, token?: string) => Float32Array} step returns the last layer's hidden state [P], a copy
 * @property {(token: string) => Float32Array} read like `step`, for a token of a language model
 * @property {(given?: {t: number, h: Float32Array, c?: Float32Array}) => void} reset to the start; or to step t, which
 *   is read next, with the states [L, P] and, of an LSTM, [L, H] to continue from
 * @property {() => Run} run everything read since the last reset (the last `keep` steps), which are joined again at each call
 * @property {number} keep can be set, also to 0; older steps are dropped
 */

/** @typedef {{vector: Float64Array, bias: number}} Readout a number linear in a step's outputs [D*P]: Σ vector·out + bias */

/**
 * Describes how the labels of a distribution are read from the outputs of a step.
 * @typedef {object} Reader
 * @property {string} name the name of the run's head
 * @property {string[]} labels K of them
 * @property {(label: number) => Readout | null} logit null if a label only has a probability
 * @property {((out: Float32Array, label: number) => number) | null} logProbability of outputs [D*P], natural; null if
 *   probabilities depend on the whole sentence
 */

/**
 * The subject of an explanation: an LSTM, its input, and the readers of its outputs, like hiddenstate.explain.Subject.
 * @typedef {object} Subject
 * @property {CellKind} cell
 * @property {{info: TrackInfo, weights: TrackWeights, kind: CellKind}[]} cells empty without weights
 * @property {Track[]} tracks the run itself, without edits
 * @property {number} steps T
 * @property {number} lead how many of the steps come before the run's first: 1 in a language model, which reads a newline
 * @property {string[]} tokens T of them
 * @property {Record<Quantity, Float32Array>[]} initial the initial state of each track
 * @property {Reader[]} readers
 * @property {() => Float32Array} baseline [C] the input of an uninformative step
 * @property {string} baselineName its name: "an unknown word"
 */

/**
 * The head of a bundle: a model's folder, or an LSTM or a trace, as hiddenstate.studio.bundle writes it.
 *
 * Its tensors: a model's weights under the names of its folder; an LSTM's under those of its state_dict
 * ("weight_ih_l0"). Data given with it: "given.input" [T, C]; "given.h0" [L*D, P] and, of an LSTM, "given.c0" [L*D, H],
 * zeros if absent; and for a trace "given.l0.f" [T, H] for each recorded place, and "given.carried.l0" [T, H] if recorded.
 * @typedef {object} BundleHead
 * @property {"hiddenstate-studio"} format
 * @property {number} version
 * @property {"tagger" | "language-model" | "layer" | "trace"} kind
 * @property {string} name
 * @property {string} cell the kind of cell shown: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"
 * @property {Record<string, {gates: string[], states: string[]}>} cells the letters of every kind, in order
 * @property {Record<string, string>} meanings of the letters of the kind shown
 * @property {any} config the "config" in the model's config.json, or for an LSTM or a trace {input_size, hidden_size,
 *   num_layers, bidirectional, bias, proj_size} (a trace's input_size is 0 if unknown)
 * @property {any} vocabulary of the model's folder; null for an LSTM or a trace
 * @property {any} tokeniser the content of hiddenstate/text/tokenise.json (hiddenstate.text.tokenise.PATTERN)
 * @property {string} card
 * @property {{tokens: string[] | null, steps: number} | null} given the data given with the weights: a trace, or
 *   numbers to read; or null
 */

/**
 * The user's current view, which is stored in the URL in full.
 * @typedef {object} View
 * @property {"read" | "compare" | "structure" | "explain" | "units" | "search"} page
 * @property {string} model its id
 * @property {string} text
 * @property {string} otherModel compare: "" for the same model
 * @property {string} otherText compare
 * @property {"sentences" | "models" | "edits"} comparison the kind of comparison on the compare page
 * @property {"position" | "words"} align how steps are aligned there
 * @property {number} step the cursor
 * @property {string} track
 * @property {Quantity} quantity the values in the heat map
 * @property {number} unit the one under the microscope
 * @property {number[]} pinned
 * @property {string} sort "index", "change", "cluster", or "tag:NOUN" (correlation)
 * @property {string} head which head is shown
 * @property {"model" | "layer" | "unit" | "gate"} zoom of the microscope
 * @property {string} gate the gate whose products are shown
 * @property {readonly Edit[]} edits
 * @property {number} tour the step of the tour, or -1
 * @property {string} sandbox the sizes in the structure page's sandbox; "" for those of the lesson
 * @property {string} rows the sort order of the state table: a column's name, with "-" in front for descending order
 * @property {string} filter the filter of its rows: "NOUN", "probability<0.6"
 * @property {string} label explain: the label to explain; "" for the model's prediction
 * @property {"auto" | "logit" | "probability"} measure explain: its logit or probability; auto: whichever suits the model
 * @property {string} memory explain: the memory of the ledger, "l1.c[125]"; "" for the most telling one
 * @property {number} writer explain: the step to follow in the ledger; -1 for the one of which most remains
 * @property {"occlusion" | "shapley"} method explain: whether Shapley values are computed as well
 * @property {"words" | "steps"} players explain: the units to replace if steps are characters
 * @property {string} query search: the query, as typed
 * @property {string} unitRows units: the order of the gallery, like `rows`
 * @property {string} unitFilter units: the filter of the gallery: "l1.h NOUN"
 * @property {"auto" | "light" | "dark"} theme
 */

/**
 * Where the page runs.
 * @typedef {object} Boot
 * @property {"server" | "file" | "notebook"} host
 * @property {{id: string, name: string, kind: string}[]} models
 * @property {Partial<View>} view the initial view
 * @property {"" | "view" | "stream"} live whether Python shares the view, and whether the first model is a stream there
 * @property {{name: string, model: string, steps: number} | null} index behind the pages Units and Search
 */

/**
 * Messages from Python while the page is open; see host.watch.
 * @typedef {object} LiveBegin the stream continues from this state: step t is next
 * @property {"begin"} type
 * @property {number} t
 * @property {Float32Array} h [L, P] before it
 * @property {Float32Array} [c] [L, H] before it, of an LSTM
 */

/**
 * @typedef {object} LiveStep the stream has read a step
 * @property {"step"} type
 * @property {number} t
 * @property {string | null} token
 * @property {Float32Array} x [C]
 * @property {Float32Array} h [L, P] after it
 * @property {Float32Array} [c] [L, H] after it, of an LSTM
 */
/** @typedef {{type: "view", view: Partial<View>}} LiveView Python has set parts of the view */
/** @typedef {{type: "end"}} LiveEnd no more messages will come */
/** @typedef {LiveBegin | LiveStep | LiveView | LiveEnd} LiveMessage */

export {};
