// The search of an indexed corpus: a query, its matches and rates, and queries from the sentence.

import { type Found, addressOf, firstUnit } from "studio/state/corpus.js";
import { createBrush } from "studio/panels/search/brush.js";
import { rates } from "studio/panels/search/rates.js";
import { createResults } from "studio/panels/search/results.js";
import { foundSentence, GRAMMAR, SEARCH_HELP } from "studio/panels/search/text.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";

export function mountSearch(app: App): DocumentFragment {
  const { store, corpus } = app;
  const made = new DocumentFragment();
  const { root, body } = panel({ id: "search", title: "Search the corpus", help: SEARCH_HELP });
  made.append(root);
  if (corpus.reason !== "") {
    body.append(element("p", { class: "soft", role: "status", text: corpus.reason }));
    return made;
  }
  const box = element("input", {
    type: "search",
    class: "search-box",
    "aria-label": "Query",
    placeholder: GRAMMAR[1][0],
    spellcheck: "false",
    autocomplete: "off",
    maxlength: 2000,
  });
  const press = element("button", { type: "submit", class: "primary", text: "Search" });
  const stop = element("button", { type: "button", text: "Stop", hidden: true });
  const form = element("form", { class: "search-form", role: "search" }, [box, press, stop]);
  const says = element("p", { class: "search-says", role: "status" });
  const tables = element("div", { class: "search-rates" });
  const results = createResults(app, (message) => (says.textContent = message));
  body.append(
    form,
    grammar((query) => search(query)),
    says,
    tables,
    results.root,
  );
  let asked: AbortController | null = null;
  let found: Found | null = null;
  const draw = () => {
    const unit = (found && firstUnit(found.query)) || addressOf(store.get());
    if (found !== null && unit !== "") results.show(found.spans, unit);
  };
  const run = async (query: string) => {
    asked?.abort();
    const control = new AbortController();
    asked = control;
    stop.hidden = false;
    says.textContent = "Searching\u2026";
    const progress = (done: number, total: number) => {
      if (asked === control)
        says.textContent = `Running the corpus again for a threshold that is not stored: ${done} of ${total} shards\u2026`;
    };
    try {
      const answer = await corpus.search(query, progress, control.signal);
      if (asked !== control) return;
      found = answer;
      says.textContent = foundSentence(answer, app.session.model?.unit ?? "step");
      tables.replaceChildren(...rates(answer));
      draw();
    } catch (error) {
      if (asked !== control) return;
      found = null;
      tables.replaceChildren();
      results.show([], "");
      says.textContent = control.signal.aborted ? "Stopped." : error instanceof Error ? error.message : String(error);
    }
    stop.hidden = true;
  };
  const search = (query: string) => {
    box.value = query;
    if (store.get().query === query) void run(query);
    else store.set({ query });
  };
  let ran = "";
  const update = () => {
    const { page, query } = store.get();
    if (page !== "search" || query === ran) return;
    ran = box.value = query;
    if (query !== "") void run(query);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = box.value.trim();
    if (query !== "") search(query);
  });
  stop.addEventListener("click", () => asked?.abort());
  store.subscribe(["page", "query"], update);
  store.subscribe(["track", "quantity", "unit"], () => found && firstUnit(found.query) === "" && draw());
  results.show([], "");
  made.append(createBrush(app, search));
  update();
  return made;
}

function grammar(search: (query: string) => void) {
  const rows = GRAMMAR.map(([form, meaning]) =>
    element("tr", {}, [
      element("td", {}, [
        element("button", {
          type: "button",
          class: "quiet number",
          text: form,
          title: "Search for it",
          on: { click: () => search(form) },
        }),
      ]),
      element("td", { text: meaning }),
    ]),
  );
  return element("details", { class: "search-grammar" }, [
    element("summary", { text: "How to write a query" }),
    element("table", {}, [element("tbody", {}, rows)]),
  ]);
}
