// Chooses what to explain: a text, a word, and the logit or probability there.

import { Questions } from "studio/panels/explain/questions.js";
import { outputAt } from "studio/runtime/explain/target.js";
import { findHead, predictionAt } from "studio/state/predictions.js";
import { shortToken, shownToken } from "studio/state/tokens.js";
import { useApp, useTyping } from "studio/ui/app.js";
import { format, tick } from "studio/ui/draw.js";
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
  const { session, view, question } = useApp();
  const { explained, reason } = question.value;
  const typing = useTyping(
    view.text,
    (text) => session.text(text),
    () => Math.max(REST, 1.5 * session.took),
  );
  const isNumbers = session.model?.kind === "layer";
  return (
    <Panel id="explain" title="What to explain" help={HELP} body="explain-body">
      <textarea
        {...{ class: "explain-text", rows: 1, spellcheck: false, autocomplete: "off" }}
        hidden={session.model?.kind === "trace"}
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
      <p class="explain-note" role="status">
        {reason || (view.edits.length > 0 && EDITED)}
      </p>
    </Panel>
  );
}

/** The words of the text, as buttons. */
function Words() {
  const { store, session, view } = useApp();
  const { plain: run } = session;
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
