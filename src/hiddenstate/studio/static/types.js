// The shapes that the studio's modules hand to one another. Types only: nothing here runs.
//
// T time steps, H hidden units, C input features, L layers. Arrays are Float32Array, row after row.

/**
 * A gate or a state, by its letter: i f g o c h. Their order and meanings come with each bundle, from Python.
 * @typedef {string} Quantity
 */

/**
 * One layer and direction: "l0", "l0r" (reverse). Steps are counted as in the input, in the reverse direction too.
 * @typedef {object} TrackInfo
 * @property {string} name
 * @property {number} layer
 * @property {boolean} reverse
 * @property {number} inputSize C of this layer
 * @property {number} units H
 * @property {number} outputs P: units of the hidden state, H without a projection
 */

/**
 * What one layer and direction did. `before(t)` of the state is the step read before: t-1, or t+1 in reverse.
 * @typedef {object} Track
 * @property {TrackInfo} info
 * @property {Record<Quantity, Float32Array>} values each [T, H]; h [T, P]
 * @property {Float32Array | null} input [T, C] what it read; null where only a trace is known
 * @property {Float32Array} h0 [P] the state before the first step that it read
 * @property {Float32Array} c0 [H]
 * @property {{h: Float32Array, c: Float32Array} | null} carried [T, P] and [T, H] the states that were handed on, where
 *   a readout edit made what is shown differ from them; stateBefore of runtime/states.js knows
 */

/**
 * @typedef {object} Choice one label with its probability
 * @property {string} label
 * @property {number} probability
 */

/**
 * A distribution at each step: the tags of a column for the word there, or what a language model expects next.
 * @typedef {object} Head
 * @property {string} name "upos", "xpos", ... or "next"
 * @property {string[]} labels K of them
 * @property {Float32Array} probabilities [T, K]
 * @property {Float32Array} logits [T, K] before softmax (and without a chain or a temperature)
 * @property {Int32Array} chosen [T] the predicted label at each step
 */

/**
 * One run of a model over a sentence (or numbers). Frozen: an edit makes another run.
 * @typedef {object} Run
 * @property {string[]} tokens T of them: words, characters, or "0", "1", ... where there is no vocabulary
 * @property {boolean[]} known whether each token is in the vocabulary
 * @property {number} steps T
 * @property {Track[]} tracks of the LSTM that is looked into (a tagger's: the one over words)
 * @property {Head[]} heads empty where a model predicts nothing
 * @property {Float32Array | null} surprise [T] nats, of each token after those before it; language models only
 * @property {readonly Edit[]} edits that were applied
 */

/**
 * One change of a run, as hiddenstate.Edit has it.
 * @typedef {object} Edit
 * @property {string} place "l1.f"
 * @property {"set" | "scale" | "add"} kind the new value is value, old * value, or old + value
 * @property {number} value
 * @property {number[] | null} unit null: all
 * @property {number[] | null} t null: all
 * @property {"write" | "readout"} scope write: goes on through time; readout: this step's output alone
 */

/**
 * The parts of one gate of one unit at one step, before its activation: pre = bias + Σ input + Σ hidden.
 * @typedef {object} DotProduct
 * @property {string} gate
 * @property {Float32Array} inputWeights [C]
 * @property {Float32Array} input [C]
 * @property {Float32Array} hiddenWeights [P]
 * @property {Float32Array} hidden [P] the hidden state before the step
 * @property {number} biasInput
 * @property {number} biasHidden
 * @property {number} sum
 */

/**
 * What lies in one weight of one track, by gate.
 * @typedef {object} TrackWeights
 * @property {Float32Array} weight_ih [4H, C], gates stacked in the bundle's order
 * @property {Float32Array} weight_hh [4H, P]
 * @property {Float32Array | null} bias_ih [4H]
 * @property {Float32Array | null} bias_hh [4H]
 * @property {Float32Array | null} weight_hr [P, H] only with a projection
 */

/**
 * A model of whatever kind, in the browser.
 * @typedef {object} Model
 * @property {"tagger" | "language-model" | "lstm" | "trace"} kind
 * @property {string} name
 * @property {string} unit what a step is: "word", "character", or "step"
 * @property {TrackInfo[]} tracks
 * @property {readonly string[]} gates in the order in which the weights stack them
 * @property {readonly string[]} quantities gates and states
 * @property {Record<Quantity, string>} meanings
 * @property {boolean} hasWeights false for a trace: no edits, no dot products
 * @property {string} card the model card (Markdown), "" without
 * @property {{label: string, shape: number[]}[]} parts what the model is made of, from input to output, each with the
 *   shape of its weight (of the one that reads the input, where it has several)
 * @property {(text: string) => string[]} tokenise into what run takes: in the order in which the model reads, so from the
 *   text's end where it reads backward
 * @property {(tokens: string[], edits?: readonly Edit[]) => Run} run throws StudioError on what it can't read
 * @property {(rows: Float32Array[], edits?: readonly Edit[]) => Run} runNumbers kind "lstm": T rows of C numbers
 * @property {(run: Run, track: string, gate: string, unit: number, t: number) => DotProduct} dotProduct
 * @property {(track: string) => TrackWeights} weights
 * @property {(edits?: readonly Edit[]) => Stream} stream
 * @property {(run: Run) => Subject} subject of a run without edits; throws StudioError where it can't be explained
 * @property {Run | null} given the run that came with it (a trace, or numbers handed over in Python)
 */

/**
 * One step at a time, the state carried. A reverse direction cannot stream.
 * @typedef {object} Stream
 * @property {(x: Float32Array, token?: string) => void} step
 * @property {(token: string) => void} read
 * @property {(given?: {t: number, h: Float32Array, c: Float32Array}) => void} reset to the beginning; or to step t, which
 *   is read next, with the states [L, P] and [L, H] that it goes on from
 * @property {() => Run} run all that was read since the last reset (the last `keep` steps)
 * @property {number} keep may be set; what is older is forgotten
 */

/** @typedef {{vector: Float64Array, bias: number}} Readout a number linear in a step's outputs [D*P]: Σ vector·out + bias */

/**
 * What a distribution is made of: how each of its labels is read off the outputs of a step.
 * @typedef {object} Reader
 * @property {string} name that of the run's head
 * @property {string[]} labels K of them
 * @property {(label: number) => Readout | null} logit null where a label has a probability alone
 * @property {((out: Float32Array, label: number) => number) | null} logProbability of outputs [D*P], natural; null where
 *   probabilities depend on the whole sentence
 */

/**
 * What is explained: an LSTM, what it reads, and what is read off its outputs; as hiddenstate.explain.Subject has it.
 * @typedef {object} Subject
 * @property {{info: TrackInfo, weights: TrackWeights, gates: readonly string[]}[]} cells empty where there are no weights
 * @property {Track[]} tracks the run itself, without edits
 * @property {number} steps T
 * @property {number} lead how many of the steps come before the run's first: 1 in a language model, which reads a line end
 * @property {string[]} tokens T of them
 * @property {{h: Float32Array, c: Float32Array}[]} initial the state of each track that it begins with
 * @property {Reader[]} readers
 * @property {() => Float32Array} baseline [C] what stands for a step that says nothing
 * @property {string} baselineName what that is: "an unknown word"
 */

/**
 * What stands in a bundle: a model's folder, or an LSTM or a trace alone, as hiddenstate.studio.bundle writes it.
 *
 * Its tensors: a model's weights under the names of its folder; an LSTM's under those of its state_dict
 * ("weight_ih_l0"). What was handed over beside: "given.input" [T, C]; "given.h0" [L*D, P] and "given.c0" [L*D, H], zeros
 * without; and of a trace "given.l0.f" [T, H] for each recorded place, and "given.carried.l0" [T, H] where it has that.
 * @typedef {object} BundleHead
 * @property {"hiddenstate-studio"} format
 * @property {number} version
 * @property {"tagger" | "language-model" | "lstm" | "trace"} kind
 * @property {string} name
 * @property {string[]} gates
 * @property {string[]} states
 * @property {Record<string, string>} meanings
 * @property {any} config the "config" in the model's config.json, or of an LSTM or a trace {input_size, hidden_size,
 *   num_layers, bidirectional, bias, proj_size} (of a trace input_size is 0 where it is not known)
 * @property {any} vocabulary of the model's folder; null for an LSTM or a trace
 * @property {any} tokeniser what hiddenstate/text/tokenise.json holds (hiddenstate.text.tokenise.PATTERN)
 * @property {string} card
 * @property {{tokens: string[] | null, steps: number} | null} given what was handed over beside the weights: a trace, or
 *   numbers to read; null without
 */

/**
 * What the person is looking at: all of it is in the URL.
 * @typedef {object} View
 * @property {"read" | "compare" | "structure" | "explain"} page
 * @property {string} model its id
 * @property {string} text
 * @property {string} otherModel compare: "" for the same model
 * @property {string} otherText compare
 * @property {"sentences" | "models" | "edits"} comparison what the compare page sets side by side
 * @property {"position" | "words"} align which steps stand beside one another there
 * @property {number} step the cursor
 * @property {string} track
 * @property {Quantity} quantity what the heat map shows
 * @property {number} unit the one under the microscope
 * @property {number[]} pinned
 * @property {string} sort "index", "change", "cluster", or "tag:NOUN" (correlation)
 * @property {string} head which head is shown
 * @property {"model" | "layer" | "unit" | "gate"} zoom of the microscope
 * @property {string} gate the one whose dot products are shown
 * @property {readonly Edit[]} edits
 * @property {number} tour the step of the tour, -1 outside
 * @property {string} sandbox the sizes in the structure page's sandbox; "" for those of the lesson
 * @property {string} rows how the state table is sorted: a column's name, with "-" before it from the largest down
 * @property {string} filter which of its rows are shown: "NOUN", "probability<0.6"
 * @property {string} label explain: whose logit or probability is explained; "" for what the model says
 * @property {"auto" | "logit" | "probability"} measure explain: which of them; auto: what suits the model
 * @property {string} memory explain: the cell state whose ledger is shown, "l1.c[125]"; "" for the most telling one
 * @property {number} writer explain: the step whose writings are followed; -1 for the one that left most
 * @property {"occlusion" | "shapley"} method explain: whether Shapley values are computed, too
 * @property {"words" | "steps"} players explain: what is replaced at a time where steps are characters
 * @property {"auto" | "light" | "dark"} theme
 */

/**
 * Where the page runs.
 * @typedef {object} Boot
 * @property {"server" | "file" | "notebook"} host
 * @property {{id: string, name: string, kind: string}[]} models
 * @property {Partial<View>} view what it begins with
 * @property {"" | "view" | "stream"} live whether Python holds the page by the hand: it may set the view, and is told
 *   when it changes; and whether the first model runs as a stream there, whose steps come as they are read
 */

/**
 * What Python says while the page is open, see host.watch.
 * @typedef {object} LiveBegin the stream goes on from this state: step t is read next
 * @property {"begin"} type
 * @property {number} t
 * @property {Float32Array} h [L, P] before it
 * @property {Float32Array} c [L, H] before it
 */

/**
 * @typedef {object} LiveStep the stream has read a step
 * @property {"step"} type
 * @property {number} t
 * @property {string | null} token
 * @property {Float32Array} x [C]
 * @property {Float32Array} h [L, P] after it
 * @property {Float32Array} c [L, H] after it
 */

/** @typedef {{type: "view", view: Partial<View>}} LiveView Python has set parts of the view */

/** @typedef {{type: "end"}} LiveEnd nothing more will come */

/** @typedef {LiveBegin | LiveStep | LiveView | LiveEnd} LiveMessage */

export {};
