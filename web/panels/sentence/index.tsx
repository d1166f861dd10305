// The input and the model's predictions: a text box, the tokens with their predictions, and the whole distribution
// at the selected step.

import { MOST_CHARACTERS } from "studio/facts.js";
import { Distribution, Words } from "studio/panels/sentence/words.js";
import { SentencePicture, sentenceRows } from "studio/panels/sentence/picture.js";
import { Forecasts, SeriesPlot } from "studio/panels/sentence/series.js";
import { givenRows, inputRows, inputWidth, isNumeric, NAME_END, numberCount, SIGNALS } from "studio/state/input.js";
import { readsNumbers, spanOf } from "studio/state/series.js";
import { hasWords, shortest } from "studio/state/run.js";
import type { Model } from "studio/types.js";
import { choice, useApp, useTyping } from "studio/ui/app.js";
import { type Option, Says, Select } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";

const WORDING: Record<Model["kind"], { title: string; help: string }> = {
  tagger: {
    title: "Sentence",
    help:
      "Type, and the model reads along. Under each word is its predicted tag, and a bar as long as the tag's " +
      "probability; a word with a dotted line is not in the vocabulary, and is read by its letters. On the right: every tag's " +
      "probability for the word at the cursor.",
  },
  "language-model": {
    title: "Text",
    help:
      "Type, and the model reads along. The darker a token, the more it surprised the model, which had only read a " +
      "newline and the text before it (in nats: 0 is certainty). On the right: what it expects after the token at the cursor.",
  },
  "series-model": {
    title: "Series",
    help:
      "What the model reads at each step, below its targets: the truth, and the forecasts that it made for each step. " +
      "Drag to move the cursor; drag over the line above to read a part of the series. On the right: what it forecasts " +
      "after the step at the cursor.",
  },
  layer: {
    title: "Input",
    help:
      "This layer has no vocabulary: it reads numbers, one row at each time step. Choose a signal or give rows of " +
      "your own. On the right: the hidden state at the cursor's step, strongest units first.",
  },
  trace: {
    title: "Recorded run",
    help:
      "A trace is the record of one run. It has no weights, so you can look through it but not run it again. On " +
      "the right: the hidden state at the cursor's step, strongest units first.",
  },
};

export function SentencePanel() {
  const { store, session } = useApp();
  const { run, error, model } = session;
  const heads = run?.heads.map(({ name }) => ({ value: name, text: name })) ?? [];
  return (
    <Panel
      {...{ id: "sentence", ...WORDING[session.model?.kind ?? "tagger"], body: "sentence-body" }}
      picture={() => run && model && <SentencePicture {...{ model, run, plain: session.plain, view: store.get() }} />}
      exports={{ csv: () => (run && model ? sentenceRows(model, run, store.get().head) : []) }}
      tools={
        <>
          <div class="sentence-input">
            <Input />
          </div>
          {heads.length > 1 && <Select {...{ label: "Predicts", options: heads, ...choice(store, "head") }} />}
        </>
      }
    >
      <div class="sentence-read">
        <Says kind="problem" how="alert" hidden={error === null} text={error?.message} />
        {run && model && readsNumbers(run) ? <SeriesPlot {...{ model, run }} /> : <Words />}
      </div>
      {run && model?.series ? <Forecasts {...{ model, run }} /> : <Distribution />}
    </Panel>
  );
}

function Input() {
  const { model, live } = useApp().session;
  if (live) return <p class="soft">Live: the steps come from a stream in Python.</p>;
  return model && model.kind !== "trace" && <TextInput key={model.name} model={model} />;
}

const SHORTEST_REST = 90;
export const EXAMPLES: Record<string, string[]> = {
  word: [
    "She said the old man who sold us the house could not remember why he had left the city.",
    "The old man the boats.",
    "Time flies like an arrow; fruit flies like a banana.",
    "Giraffes in a field",
    "The blorfs were glimping happily near the quibbled zandle.",
  ],
  character: [
    "To be, or not to be: that is the question.",
    "First Citizen:\nBefore we proceed any further, hear me speak.",
  ],
};

/** A text box with examples; numbers are rows, or a signal. */
function TextInput({ model }: { model: Model }) {
  const { store, session, view } = useApp();
  const rest = () => Math.max(SHORTEST_REST, 1.5 * session.took);
  const typing = useTyping(view.text, (text) => store.set({ text }), rest);
  const isNumbers = isNumeric(model);
  const columns = numberCount(inputWidth(model));
  const box = { id: isNumbers ? "rows" : "text", spellcheck: false, autocomplete: "off", ...typing };
  const words = { "aria-label": `Text to read, ${model.unit} by ${model.unit}`, placeholder: "Type a sentence." };
  const rows = {
    "aria-label": `Rows of ${columns}, one row per step`,
    placeholder: `${isGiven(model) ? "The data that was loaded. Or a" : "A"} signal, such as sine 24, or rows of ${columns}, one per line`,
  };
  const texts = EXAMPLES[model.unit] ?? EXAMPLES.word;
  const examples = isNumbers ? numberExamples(model) : texts.map((text) => ({ value: text, text }));
  return (
    <div class="text-box">
      {/* A textarea only where newlines matter. */}
      {isNumbers && <textarea class="number" rows={2} {...rows} {...box} />}
      {model.unit === "character" && <textarea rows={2} {...words} {...box} />}
      {model.unit === "word" && <input type="text" {...words} {...box} />}
      <Select
        {...{ kind: "nameless", label: "Examples", value: "Examples" }}
        options={[{ value: "Examples", text: "Examples" }, ...examples]}
        choose={(text) => store.change({ text: text === OWN ? ownRows(view.text, model) : text }, "another text")}
      />
      {isNumbers && <Says kind="soft" text={shortage(view.text, model)} />}
    </div>
  );
}

const OWN = "own rows";
const FIRST = 8; // initial number of rows of noise

function numberExamples(model: Model): Option[] {
  const [signals, own] = [SIGNALS.map((name) => `${name} 24`), { value: OWN, text: OWN }];
  const given = isGiven(model) ? [{ value: "", text: "as given" }] : [];
  return [...given, ...signals.map((text) => ({ value: text, text })), own];
}

const isGiven = ({ given, series }: Model): boolean => given !== null || (series?.steps ?? 0) > 0;

/** The current input as editable text: numbers with their names, as far as the page's address can hold them. */
function ownRows(text: string, model: Model): string {
  const span = model.series && spanOf(model.series, text);
  const given = span ? model.series!.runSpan(span.from, span.to) : model.given;
  const rows = span || text.trim() === "" ? givenRows(given) : null;
  const asked = text.trim() === "" ? `noise ${FIRST} 0` : text;
  if (!given || !rows) return inputRows(model, asked).map(asText).join("\n");
  const named = hasWords(given);
  let lines = "";
  for (const [t, row] of rows.entries()) {
    const line = (named ? `${given.tokens[t].replace(/\s+/g, " ")}${NAME_END} ` : "") + asText(row);
    if (t > 0 && lines.length + 1 + line.length > MOST_CHARACTERS) break;
    lines += t > 0 ? `\n${line}` : line;
  }
  return lines;
}

/** What a text that begins with given numbers leaves out, in words. */
function shortage(text: string, model: Model) {
  const steps = model.series?.steps ?? model.given?.steps ?? 0;
  if (!isGiven(model) || text.length < MOST_CHARACTERS / 2 || text !== ownRows("", model)) return "";
  const count = text.split("\n").length;
  return count < steps ? `The first ${count} of ${steps} rows; the page's address can't hold more.` : "";
}

const asText = (row: Float32Array): string => Array.from(row, shortest).join(", ");
