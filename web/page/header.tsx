// The frame around the pages: the name, the model, page tabs, undo, the theme, and notices.

import type { Signal } from "@preact/signals";
import type { Model, View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Button, IconButton, Segments, Select } from "studio/ui/form.js";

const PAGES: { value: View["page"]; text: string; title: string }[] = [
  { value: "read", text: "Read", title: "Watch the model read" },
  { value: "compare", text: "Compare", title: "Two sentences or two models side by side" },
  {
    ...{ value: "explain", text: "Explain" },
    title: "Which steps wrote a memory, which words decided the result, and what-if patches",
  },
  { value: "units", text: "Units", title: "What every unit does over the indexed corpus" },
  { value: "search", text: "Search", title: "Where units behave in a certain way in the indexed corpus" },
  { value: "structure", text: "Structure", title: "Weights by gate, the unrolled network, and a sandbox for shapes" },
];
const OF_INDEX: ReadonlySet<View["page"]> = new Set(["units", "search"]);
const THEMES: readonly View["theme"][] = ["auto", "light", "dark"];

export function Header() {
  const { store, corpus, view } = useApp();
  const options = PAGES.filter(({ value }) => corpus.about !== null || !OF_INDEX.has(value));
  return (
    <header class="top">
      <h1 class="wordmark">hiddenstate</h1>
      <ModelName />
      <nav class="top-pages" aria-label="Pages">
        <Segments {...{ label: "Page", options, value: view.page }} choose={(page) => store.set({ page })} />
        <Button
          {...{ text: "Start the tour", kind: "tour-button", title: "A guided tour in ten steps" }}
          press={() => store.set({ tour: 0, page: "read" })}
        />
      </nav>
      <div class="top-ends">
        <Undo />
        <Theme />
      </div>
    </header>
  );
}

function ModelName() {
  const { store, session, host, view } = useApp();
  const { models } = host.boot();
  const size = <span class="soft model-size">{session.model && sizeText(session.model)}</span>;
  if (models.length < 2) {
    return (
      <p class="model-name">
        <b>{models[0]?.name ?? "no model"}</b> {size}
      </p>
    );
  }
  return (
    <div class="model-name">
      <Select
        {...{ label: "Model", options: models.map(({ id, name }) => ({ value: id, text: name })), value: view.model }}
        choose={(model) => store.set({ model })}
      />
      {size}
    </div>
  );
}

function sizeText({ tracks }: Model) {
  const layers = Math.max(...tracks.map(({ layer }) => layer)) + 1;
  const ways = tracks.some(({ reverse }) => reverse) ? ", both directions" : "";
  return `${layers} ${layers === 1 ? "layer" : "layers"} \u00d7 ${tracks[0].units} units${ways}`;
}

function Undo() {
  const { store } = useApp();
  const { canUndo, canRedo, undoLabel } = store;
  return (
    <>
      <IconButton
        {...{ icon: "undo", label: "Undo", disabled: !canUndo }}
        title={canUndo ? `Undo: ${undoLabel} (Ctrl+Z)` : "Nothing to undo"}
        onClick={() => store.undo()}
      />
      <IconButton
        {...{ icon: "redo", label: "Redo", disabled: !canRedo }}
        title={canRedo ? "Redo (Ctrl+Shift+Z)" : "Nothing to redo"}
        onClick={() => store.redo()}
      />
    </>
  );
}

function Theme() {
  const { store, view } = useApp();
  const { theme } = view;
  return (
    <IconButton
      {...{ icon: theme, label: `Theme: ${theme}`, title: `Theme: ${theme === "auto" ? "same as the system" : theme}` }}
      onClick={() => store.set({ theme: THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] })}
    />
  );
}

/** One-time notices, the last one first, each of which can be closed. */
export const Notices = ({ texts }: { texts: Signal<string[]> }) => (
  <>
    {texts.value.map((text, k) => (
      <div class="notice" role="status">
        <span>{text}</span>
        <Button text="Close" kind="quiet" press={() => (texts.value = texts.value.filter((_, n) => n !== k))} />
      </div>
    ))}
  </>
);
