// The frame around the pages, with the model, the tabs, undo, the theme and notices; and their panels, which are created
// when a page is first opened.

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { AttributionPanel } from "studio/panels/attribution/index.js";
import { ComparePanel } from "studio/panels/compare/index.js";
import { EditsPanel } from "studio/panels/edits/index.js";
import { ExplainPanel } from "studio/panels/explain/index.js";
import { HeatmapPanel } from "studio/panels/heatmap/index.js";
import { LagsPanel } from "studio/panels/lags/index.js";
import { LedgerPanel } from "studio/panels/ledger/index.js";
import { LinesPanel } from "studio/panels/lines/index.js";
import { MicroscopePanel } from "studio/panels/microscope/index.js";
import { SearchPanel } from "studio/panels/search/index.js";
import { SentencePanel } from "studio/panels/sentence/index.js";
import { StructurePanel } from "studio/panels/structure/index.js";
import { SweepPanel } from "studio/panels/sweep/index.js";
import { TablePanel } from "studio/panels/table/index.js";
import { Tour } from "studio/panels/tour/index.js";
import { TransportPanel } from "studio/panels/transport/index.js";
import { UnitsPanel } from "studio/panels/units/index.js";
import type { Model, View } from "studio/types.js";
import { choice, useApp } from "studio/ui/app.js";
import { Button, IconButton, Segments, Select } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";

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
  const { store, corpus } = useApp();
  const options = PAGES.filter(({ value }) => corpus.about !== null || !OF_INDEX.has(value));
  return (
    <header class="top">
      <h1 class="wordmark">hiddenstate</h1>
      <ModelName />
      <nav class="top-pages" aria-label="Pages">
        <Segments {...{ label: "Page", options, ...choice(store, "page") }} />
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
  const { store, session, host } = useApp();
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
        {...{ label: "Model", options: models.map(({ id, name }) => ({ value: id, text: name })) }}
        {...choice(store, "model")}
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

// Matches windows large enough to show the line charts without scrolling.
const TALL = window.matchMedia("(min-width: 1060px) and (min-height: 960px)");

declare const WITH_INDEX: boolean; // of a corpus; a page without one has no panels that need it

const PANELS: Record<View["page"], ComponentType[]> = {
  read: [Desk, EditsPanel, TablePanel],
  compare: [ComparePanel],
  explain: [ExplainPanel, LagsPanel, LedgerPanel, AttributionPanel, SweepPanel],
  units: [WITH_INDEX ? ofIndex(UnitsPanel) : WithoutIndex],
  search: [WITH_INDEX ? ofIndex(SearchPanel) : WithoutIndex],
  structure: [StructurePanel],
};
const NAMES = Object.keys(PANELS) as View["page"][];

/** A panel that needs an index, which the page may lack. */
function ofIndex(Indexed: ComponentType): ComponentType {
  return () => (useApp().corpus.reason === "" ? <Indexed /> : <WithoutIndex />);
}

/** In place of the panels of an index, which an address may ask for. */
function WithoutIndex() {
  const { corpus, view } = useApp();
  return (
    <Panel id={view.page} title={view.page === "units" ? "Units" : "Search"} help={corpus.reason}>
      <p role="status">{corpus.reason}</p>
    </Panel>
  );
}

export function Pages() {
  const { view } = useApp();
  const opened = useRef(new Set<View["page"]>());
  opened.current.add(view.page);
  return (
    <>
      {NAMES.map((name) => (
        <main class={`page page-${name}`} hidden={name !== view.page}>
          {opened.current.has(name) && PANELS[name].map((Panel) => <Panel />)}
        </main>
      ))}
      <Tour />
    </>
  );
}

/** The main panels, which fill a large window. The line charts come after them, or are part of them. */
function Desk() {
  const isTall = useSignal(TALL.matches);
  useEffect(() => {
    const follow = () => (isTall.value = TALL.matches);
    TALL.addEventListener("change", follow);
    return () => TALL.removeEventListener("change", follow);
  }, []);
  return (
    <>
      <div class="desk">
        <SentencePanel />
        <TransportPanel />
        <HeatmapPanel />
        <MicroscopePanel />
        {isTall.value && <LinesPanel />}
      </div>
      {!isTall.value && <LinesPanel />}
    </>
  );
}
