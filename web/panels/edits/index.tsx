// The Edits panel: the edits, their effect on the run, and things to try.

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Spot, type Work, draftAt, Editor, useEditor } from "studio/panels/edits/editor.js";
import { IdeaCards, Presets } from "studio/panels/edits/ideas.js";
import { EditList, PythonLines } from "studio/panels/edits/list.js";
import { DifferencePicture, differenceRows, DifferenceTable, differenceVerdict } from "studio/panels/edits/table.js";
import { compareRuns, type Difference } from "studio/state/edits.js";
import { useApp } from "studio/ui/app.js";
import { Button, Says } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";

const HELP =
  "Change a value inside the run and see what happens. Choose a value in the heat map and press Enter, or click " +
  "one in the cell, and an editor opens there. An edit does exactly what hs.set, hs.scale and hs.add do in " +
  "Python: everything that follows in the " +
  "equations is computed from the changed value, and the rest of the page shows the edited run.";

const INVITATION =
  "No edits yet. Choose a value in the heat map and press Edit there, click one in the cell, or try one of these.";
const TRACE = "This is a recorded trace. It has no weights and can't be run again, so nothing in it can be changed.";

export function EditsPanel() {
  const { store, session, view } = useApp();
  const work = useSignal<Work | null>(null);
  const editor = useEditor(work);
  const edit = (spot: Spot, at: DOMRect) => {
    if (session.model?.hasWeights) editor.open({ spot, draft: draftAt(spot), index: store.get().edits.length }, at);
  };
  useEffect(() => listenForEdits(edit), []);
  const { model, run } = session;
  const { edits } = view;
  const difference = useComputed(() => {
    const { run: edited, plain } = session;
    return plain && edited && compareRuns(plain, edited, view.head);
  });
  return (
    <Panel
      {...{ id: "edits", title: "Edits: what if?", help: HELP, body: "edits-body", tools: <History /> }}
      picture={() => difference.value && <DifferencePicture difference={difference.value} />}
      exports={{ csv: () => (difference.value ? differenceRows(difference.value) : []) }}
    >
      <div class="edits-side">
        <div class="edits-list">
          {model && run && (
            <>
              {edits.length === 0 && <p class="edits-none">{model.hasWeights ? INVITATION : TRACE}</p>}
              {edits.length > 0 && <EditList {...{ edits, model, run }} change={editor.change} />}
              {edits.length > 0 && <PythonLines {...{ edits, model, run }} />}
            </>
          )}
        </div>
        {model?.hasWeights && run && <Presets model={model} />}
      </div>
      {model && run && run.edits.length === 0 ? (
        <div class="edits-result ideas">
          <IdeaCards model={model} />
        </div>
      ) : (
        <div class="edits-result">{difference.value && <Effect difference={difference.value} />}</div>
      )}
      <Editor {...{ work, editor, difference }} />
    </Panel>
  );
}

const MOST_COLUMNS = 2000;

const Effect = ({ difference }: { difference: Difference }) => (
  <>
    <Says kind="verdict" how="polite" text={differenceVerdict(difference)} />
    {difference.words.length > MOST_COLUMNS ? (
      <p class="soft">The steps are too many for a table: read a part of at most {MOST_COLUMNS}.</p>
    ) : (
      <div class="scroll" tabindex={0} role="group" aria-label="Before and after, step by step">
        <DifferenceTable difference={difference} />
      </div>
    )}
  </>
);

function History() {
  const { store, view } = useApp();
  const { canUndo, canRedo, undoLabel } = store;
  return (
    <>
      <Button
        text="Undo"
        {...{ disabled: !canUndo, title: canUndo ? `Undo: ${undoLabel}` : "Nothing to undo" }}
        press={() => store.undo()}
      />
      <Button text="Redo" disabled={!canRedo} press={() => store.redo()} />
      <Button
        text="Remove all"
        {...{ disabled: view.edits.length === 0 }}
        press={() => store.change({ edits: [] }, "remove all edits")}
      />
    </>
  );
}

/** Opens the editor beside whatever asks for it, in any panel. */
function listenForEdits(open: (spot: Spot, at: DOMRect) => void): () => void {
  const edit = (event: Event) => {
    if (event instanceof CustomEvent && event.target instanceof Element)
      open(event.detail, event.target.getBoundingClientRect());
  };
  document.addEventListener("hs-edit", edit);
  return () => document.removeEventListener("hs-edit", edit);
}
