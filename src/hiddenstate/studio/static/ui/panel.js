// The card of a panel: a heading, an explanation in two or three sentences, tools, and its export.

import { element, set } from "studio/ui/draw.js";
import { save } from "studio/ui/export.js";

/** @typedef {import("studio/ui/export.js").Exports} Exports */
/** @typedef {import("studio/state/types.js").App} App */

const KINDS = /** @type {(keyof Exports)[]} */ (["svg", "png", "csv"]);

/**
 * @param {{id: string, title: string, help: string, exports?: Exports}} options
 * @returns {{root: HTMLElement, body: HTMLElement, tools: HTMLElement}}
 */
export function panel({ id, title, help, exports = {} }) {
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

/**
 * The placeholder in a panel that has nothing to show.
 * @param {App["session"]} session
 * @returns {HTMLElement}
 */
export function unread(session) {
  const line = element("p", { class: "soft", text: "Nothing has been read yet." });
  const show = () => (line.hidden = session.run !== null || session.model === null);
  session.on("run", show);
  show();
  return line;
}

/**
 * @param {string} id
 * @param {string} title
 * @param {string} help
 */
function helper(id, title, help) {
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

/**
 * @param {string} id
 * @param {string} title
 * @param {(keyof Exports)[]} kinds
 * @param {Exports} exports
 */
function exportMenu(id, title, kinds, exports) {
  const menu = /** @type {HTMLDetailsElement} */ (element("details", { class: "menu" }));
  const nothing = element("p", { class: "menu-nothing", "aria-live": "polite" });
  const summary = element("summary", { class: "quiet", text: "Save", "aria-label": `Save ${title}` });
  const close = () => {
    if (menu.contains(document.activeElement)) summary.focus(); // otherwise the focus would be lost with the closed menu
    menu.removeAttribute("open");
  };
  const keep = async (/** @type {keyof Exports} */ kind) => {
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
    if (!menu.contains(/** @type {Node | null} */ (event.relatedTarget))) close();
  });
  return menu;
}
