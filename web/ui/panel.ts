// The card of a panel: a heading, an explanation in two or three sentences, tools, and its export.

import type { App } from "studio/state/types.js";
import { element, set } from "studio/ui/draw.js";
import { type Exports, save } from "studio/ui/export.js";

const KINDS = ["svg", "png", "csv"] as (keyof Exports)[];

export function panel({
  id,
  title,
  help,
  exports = {},
}: {
  id: string;
  title: string;
  help: string;
  exports?: Exports;
}): { root: HTMLElement; body: HTMLElement; tools: HTMLElement } {
  const tools = element("div", { class: "panel-tools" });
  const body = element("div", { class: "panel-body" });
  const { button, text } = helper(id, title, help);
  const heading = element("h2", { id: `${id}-title`, class: "panel-title", text: title });
  const kinds = KINDS.filter((kind) => exports[kind]);
  const ends = [button, kinds.length > 0 ? exportMenu(id, title, kinds, exports) : null];
  const head = element("header", { class: "panel-head" }, [
    heading,
    tools,
    element("div", { class: "panel-ends" }, ends),
  ]);
  const root = element("section", { id, class: "panel", "aria-labelledby": `${id}-title` }, [head, text, body]);
  return { root, body, tools };
}

/** The placeholder in a panel that has nothing to show. */
export function unread(session: App["session"]): HTMLElement {
  const line = element("p", { class: "soft", text: "Nothing has been read yet." });
  const show = () => (line.hidden = session.run !== null || session.model === null);
  session.on("run", show);
  show();
  return line;
}

function helper(id: string, title: string, help: string) {
  const text = element("p", { id: `${id}-help`, class: "panel-help", text: help, hidden: true });
  const button = element("button", {
    type: "button",
    class: "quiet round",
    text: "?",
    title: "What is this?",
    "aria-label": `About: ${title}`,
    "aria-expanded": "false",
    "aria-controls": text.id,
  });
  button.addEventListener("click", () => {
    text.hidden = !text.hidden;
    set(button, "aria-expanded", String(!text.hidden));
  });
  return { button, text };
}

function exportMenu(id: string, title: string, kinds: (keyof Exports)[], exports: Exports) {
  const menu = element("details", { class: "menu" }) as HTMLDetailsElement;
  const nothing = element("p", { class: "menu-nothing", "aria-live": "polite" });
  const summary = element("summary", { class: "quiet", text: "Save", "aria-label": `Save ${title}` });
  const close = () => {
    if (menu.contains(document.activeElement)) summary.focus(); // otherwise the focus would be lost with the closed menu
    menu.removeAttribute("open");
  };
  const keep = async (kind: keyof Exports) => {
    const saved = await save(`hiddenstate-${id}`, kind, exports);
    nothing.textContent = saved ? "" : "There is nothing to save yet.";
    if (saved) close();
  };
  const items = kinds.map((kind) =>
    element("button", {
      type: "button",
      class: "menu-item",
      text: kind.toUpperCase(),
      "aria-label": `Save ${title} as ${kind.toUpperCase()}`,
      "data-export": kind,
      on: { click: () => keep(kind) },
    }),
  );
  menu.append(summary, element("div", { class: "menu-items" }, [...items, nothing]));
  menu.addEventListener("toggle", () => menu.open || nothing.replaceChildren());
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget as Node | null)) close();
  });
  return menu;
}
