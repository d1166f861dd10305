// The input and the model's predictions: a text box, the tokens with their predictions, and the whole distribution
// at the selected step.

import { Distribution } from "studio/panels/sentence/distribution.js";
import { NumbersInput } from "studio/panels/sentence/numbers.js";
import { SentencePicture, sentenceRows } from "studio/panels/sentence/picture.js";
import { readsNumbers, SignalPlot } from "studio/panels/sentence/signal.js";
import { TextInput } from "studio/panels/sentence/text.js";
import { Words } from "studio/panels/sentence/words.js";
import type { Model } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Select } from "studio/ui/form.js";
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
  const { store, session, view } = useApp();
  const { run, error } = session;
  const heads = run?.heads.map(({ name }) => ({ value: name, text: name })) ?? [];
  return (
    <Panel
      {...{ id: "sentence", ...WORDING[session.model?.kind ?? "tagger"], body: "sentence-body" }}
      picture={() => run && <SentencePicture run={run} view={store.get()} />}
      exports={{ csv: () => (run ? sentenceRows(run, store.get().head) : []) }}
      tools={
        <>
          <div class="sentence-input">
            <Input />
          </div>
          {heads.length > 1 && (
            <Select label="Predicts" options={heads} value={view.head} choose={(head) => store.set({ head })} />
          )}
        </>
      }
    >
      <div class="sentence-read">
        <p class="problem" role="alert" hidden={error === null}>
          {error?.message}
        </p>
        {run && readsNumbers(run) ? <SignalPlot run={run} /> : <Words />}
      </div>
      <Distribution />
    </Panel>
  );
}

function Input() {
  const { model, live } = useApp().session;
  if (live) return <p class="soft">Live: the steps come from a stream in Python.</p>;
  if (model === null || model.kind === "trace") return null;
  return model.kind === "layer" ? <NumbersInput key={model.name} model={model} /> : <TextInput model={model} />;
}
