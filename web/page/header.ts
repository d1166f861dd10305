// The frame around the pages: the name, the model, page tabs, undo, the theme, and notices.

import type { App } from "studio/state/types.js";
import type { Boot, Model, View } from "studio/types.js";
import { chooser, iconButton, segments } from "studio/ui/controls.js";
import { element, set } from "studio/ui/draw.js";
import { icon } from "studio/ui/icons.js";

const PAGES: { value: View["page"]; text: string; title: string }[] = [
  { value: "read", text: "Read", title: "Watch the model read" },
  { value: "compare", text: "Compare", title: "Two sentences or two models side by side" },
  {
    value: "explain",
    text: "Explain",
    title: "Which steps wrote a memory, which words decided the result, and what-if patches",
  },
  { value: "units", text: "Units", title: "What every unit does over the indexed corpus" },
  { value: "search", text: "Search", title: "Where units behave in a certain way in the indexed corpus" },
  { value: "structure", text: "Structure", title: "Weights by gate, the unrolled network, and a sandbox for shapes" },
];
const OF_INDEX: ReadonlySet<View["page"]> = new Set(["units", "search"]);
const THEMES: readonly View["theme"][] = ["auto", "light", "dark"];

export function header(app: App, boot: Boot): HTMLElement {
  const { store, corpus } = app;
  const shown = PAGES.filter(({ value }) => corpus.about !== null || !OF_INDEX.has(value));
  const pages = segments("Page", shown, (page) => store.set({ page }));
  const update = () => pages.show(store.get().page);
  store.subscribe(["page"], update);
  update();
  const tour = element("button", {
    type: "button",
    class: "tour-button",
    text: "Start the tour",
    title: "A guided tour in ten steps",
    on: { click: () => store.set({ tour: 0, page: "read" }) },
  });
  return element("header", { class: "top" }, [
    element("h1", { class: "wordmark", text: "hiddenstate" }),
    models(app, boot),
    element("nav", { class: "top-pages", "aria-label": "Pages" }, [pages.root, tour]),
    element("div", { class: "top-ends" }, [...undoButtons(app), themeButton(app)]),
  ]);
}

function models({ store, session }: App, boot: Boot) {
  const says = element("span", { class: "soft model-size" });
  session.on("model", () => (says.textContent = session.model ? sizes(session.model) : ""));
  if (boot.models.length < 2) {
    return element("p", { class: "model-name" }, [
      element("b", { text: boot.models[0]?.name ?? "no model" }),
      " ",
      says,
    ]);
  }
  const { root, select, fill } = chooser("Model", (model) => store.set({ model }));
  const show = () =>
    fill([{ label: "", options: boot.models.map(({ id, name }) => ({ value: id, text: name })) }], store.get().model);
  select.setAttribute("aria-label", "Model");
  store.subscribe(["model"], show);
  show();
  return element("div", { class: "model-name" }, [root, says]);
}

function sizes({ tracks }: Model) {
  const layers = Math.max(...tracks.map(({ layer }) => layer)) + 1;
  const ways = tracks.some(({ reverse }) => reverse) ? ", both directions" : "";
  return `${layers} ${layers === 1 ? "layer" : "layers"} \u00d7 ${tracks[0].units} units${ways}`;
}

function undoButtons({ store }: App) {
  const undo = iconButton("undo", "Undo", () => store.undo());
  const redo = iconButton("redo", "Redo", () => store.redo());
  const show = () => {
    undo.disabled = !store.canUndo;
    redo.disabled = !store.canRedo;
    undo.title = store.canUndo ? `Undo: ${store.undoLabel} (Ctrl+Z)` : "Nothing to undo";
    redo.title = store.canRedo ? "Redo (Ctrl+Shift+Z)" : "Nothing to redo";
  };
  store.onHistory(show);
  show();
  return [undo, redo];
}

function themeButton({ store }: App) {
  const button = iconButton("auto", "Theme", () => {
    const now = THEMES.indexOf(store.get().theme);
    store.set({ theme: THEMES[(now + 1) % THEMES.length] });
  });
  const show = () => {
    const { theme } = store.get();
    button.replaceChildren(icon(theme));
    set(button, "aria-label", `Theme: ${theme}`);
    button.title = `Theme: ${theme === "auto" ? "same as the system" : theme}`;
  };
  store.subscribe(["theme"], show);
  show();
  return button;
}

/** A one-time notice that can be closed. */
export function notice(text: string): HTMLElement {
  const close = element("button", {
    type: "button",
    class: "quiet",
    text: "Close",
    on: { click: () => line.remove() },
  });
  const line = element("div", { class: "notice", role: "status" }, [element("span", { text }), close]);
  return line;
}
