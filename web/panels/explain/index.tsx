// Chooses what to explain: a text, a word, and the logit or probability there.

import { outputAt } from "studio/runtime/explain/target.js";
import { type Explained, ownLabel, findReader } from "studio/state/explained.js";
import { isNumeric } from "studio/state/input.js";
import { findHead, likeliest, predictionAt, shortToken, shownToken, stepName } from "studio/state/run.js";
import type { Run, View } from "studio/types.js";
import { useApp, useTyping } from "studio/ui/app.js";
import { format, tick } from "studio/ui/draw.js";
import { Says, Segments, Select } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Grid } from "studio/ui/stage.js";

const HELP =
  "Choose a word and a question about it: why does this tag have this logit, or what made the next symbol likely? " +
  "Below: which steps wrote the memories behind it, what is lost when a word is replaced, and what changes when one " +
  "state comes from another sentence. Everything is computed here, as defined in hiddenstate.explain.";
const EDITED = "This page explains the run without your edits, which apply on the other pages.";
const NUMBERS = "A signal, such as sine 24, or rows of numbers, one per line";
const REST = 150; // milliseconds
const DENSE = 60; // steps
const LONGEST = 24;

export function ExplainPanel() {
  const { store, session, view, question } = useApp();
  const { explained, reason } = question.value;
  const rest = () => Math.max(REST, 1.5 * session.took);
  const typing = useTyping(view.text, (text) => store.set({ text }), rest);
  const isNumbers = session.model !== null && isNumeric(session.model);
  return (
    <Panel id="explain" title="What to explain" help={HELP} body="explain-body">
      <textarea
        {...{ class: "explain-text", rows: 1, spellcheck: false, autocomplete: "off" }}
        hidden={session.model?.kind === "trace" || session.model?.series !== undefined}
        aria-label={isNumbers ? "Numbers to explain" : "Text to explain"}
        placeholder={isNumbers ? NUMBERS : "Type a sentence."}
        {...typing}
      />
      <Words />
      {explained && <Questions explained={explained} />}
      <p class="explain-name" aria-live="polite">
        {explained && (
          <>
            {"Explained below: the "}
            <b>{explained.name}</b>
            {", "}
            <span class="number">
              {tick(format(explained.target.of(outputAt(explained.subject, explained.target.t))))}
            </span>
          </>
        )}
      </p>
      <Says kind="explain-note" text={reason || (view.edits.length > 0 && EDITED)} />
    </Panel>
  );
}

function Words() {
  const { store, session, view } = useApp();
  const { plain: run } = session;
  if (run && session.model?.series) return <StepChoice run={run} />;
  const head = run === null ? null : findHead(run, view.head);
  return (
    <Grid
      {...{ as: "div", label: "Word to explain", current: view.step, eager: true }}
      class={`explain-words${(run?.steps ?? 0) > DENSE ? " dense" : ""}`}
      press={(step) => store.set({ step })}
    >
      {run?.tokens.map((token, t) => (
        <button type="button" data-cell={t} aria-pressed={t === view.step} title={shownToken(token)}>
          <span class="token">{shortToken(token, LONGEST)}</span>
          {head && run.surprise === null && <span class="says">{predictionAt(head, t).label}</span>}
        </button>
      ))}
    </Grid>
  );
}

/** The step of a series, which may have very many. */
function StepChoice({ run }: { run: Run }) {
  const { store, view } = useApp();
  return (
    <label class="explain-step">
      <input
        {...{ type: "range", min: 0, max: run.steps - 1, value: view.step, "aria-label": "Step to explain" }}
        aria-valuetext={stepName(run, view.step)}
        onInput={({ currentTarget }) => store.set({ step: Number(currentTarget.value) })}
      />
      <span class="number">{run.tokens[view.step]}</span>
    </label>
  );
}

const MEASURES = [
  { value: "logit", text: "Logit", title: "The score before softmax: linear in the outputs" },
  { value: "probability", text: "Log-probability", title: "The natural logarithm of the probability" },
] as const;
const MOST_LABELS = 60;

function Questions({ explained }: { explained: Explained }) {
  const { store, view } = useApp();
  const { readers } = explained.subject;
  const reader = findReader(explained.subject, view.head);
  if (reader === null) return null;
  return (
    <div class="explain-asks">
      {readers.length > 1 && (
        <Select
          label="Column"
          options={readers.map(({ name }) => ({ value: name, text: name }))}
          value={reader.name}
          choose={(head) => store.set({ head, label: "" })}
        />
      )}
      <Select
        label={explained.model.series ? "Forecast" : "Why"}
        options={labelOptions(explained, view)}
        value={view.label === "" ? "" : explained.label}
        choose={(label) => store.set({ label })}
      />
      {reader.logProbability !== null && explained.linear !== null && (
        <Segments
          label="Quantity"
          options={MEASURES}
          value={explained.target === explained.linear ? "logit" : "probability"}
          choose={(measure) => store.set({ measure })}
        />
      )}
    </div>
  );
}

/** Lists the model's prediction or the actual next token first, then the likeliest labels. */
function labelOptions({ model, run, subject, label }: Explained, view: View): { value: string; text: string }[] {
  const reader = findReader(subject, view.head);
  const head = findHead(run, view.head);
  if (reader && model.series) return reader.labels.map((name, k) => ({ value: k > 0 ? name : "", text: name }));
  if (!reader || !head) return [];
  const step = Math.min(view.step, run.steps - 1);
  const own = shownToken(reader.labels[ownLabel(run, reader, step)]);
  const first = model.kind === "language-model" ? `the next token: ${own}` : `its prediction: ${own}`;
  const names = likeliest(head, step, MOST_LABELS).map((choice) => choice.label);
  if (view.label !== "" && !names.includes(label)) names.push(label);
  return [{ value: "", text: first }, ...names.map((name) => ({ value: name, text: shownToken(name) }))];
}
