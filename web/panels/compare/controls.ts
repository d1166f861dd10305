// The controls of the comparison: its kind, texts, models and suggested pairs, and the track, quantity and alignment to
// show.

import { PAIRS } from "studio/panels/compare/presets.js";
import { withoutFirstWord } from "studio/panels/compare/second.js";
import { numberCount } from "studio/state/input.js";
import type { App } from "studio/state/types.js";
import { trackTitle } from "studio/state/units.js";
import type { Model, View } from "studio/types.js";
import { element, set } from "studio/ui/draw.js";
import { choice } from "studio/ui/fields.js";

const KINDS = { sentences: "Two sentences", models: "Two models", edits: "Before and after the edits" };
const WAYS = { position: "position", words: "equal words" };

/** A text box that follows the view, and applies typed text after a short delay. */
function textBox({ store, session }: App, key: "text" | "otherText", name: string) {
  // A textarea, because newlines matter to models of characters and of numbers.
  const input = element("textarea", { rows: 1, spellcheck: "false", autocomplete: "off" });
  const suit = () => {
    const { model } = session;
    const numbers = model?.kind === "layer";
    set(input, "aria-label", `${numbers ? "Input" : "Sentence"} ${name}`);
    const given = model?.given && key === "text" ? "As given. " : "";
    input.placeholder = numbers
      ? `${given}A signal, such as sine 24, or rows of ${numberCount(model.tracks[0].inputSize)}, one per line`
      : "";
  };
  const update = () => {
    if (document.activeElement !== input)
      input.value = store.get()[key] || (key === "otherText" ? store.get().text : "");
  };
  input.addEventListener("input", () => store.set({ [key]: input.value }));
  store.subscribe(["text", "otherText", "comparison"], update);
  session.on("model", suit);
  suit();
  update();
  return input;
}

/** A drop-down list of models, if the page has several. */
function modelBox({ store }: App, key: "model" | "otherModel", name: string, models: { id: string; name: string }[]) {
  const options = models.map(({ id, name: text }) => element("option", { value: id, text }));
  const select = element("select", { "aria-label": `Model ${name}` }, options);
  const update = () => (select.value = store.get()[key] || store.get().model);
  select.addEventListener("change", () => store.set({ [key]: select.value }));
  store.subscribe(["model", "otherModel"], update);
  update();
  return select;
}

export function whatControls(app: App, models: { id: string; name: string }[]): HTMLElement {
  const { store } = app;
  const several = models.length > 1;
  const texts = [textBox(app, "text", "A"), textBox(app, "otherText", "B")];
  const chosen = several ? [modelBox(app, "model", "A", models), modelBox(app, "otherModel", "B", models)] : [];
  const sides = ["A", "B"].map((name, k) =>
    element("div", { class: "compare-side" }, [
      element("span", { class: `side ${name.toLowerCase()}`, text: name }),
      chosen[k],
      texts[k],
    ]),
  );
  const pairs = pairBar(app);
  const bar = element("div", { class: "compare-kind" });
  const update = () => {
    const { comparison } = store.get();
    chosen.forEach((select) => (select.hidden = comparison !== "models"));
    texts[1].hidden = comparison !== "sentences";
    sides[1].hidden = comparison === "edits";
    pairs.hidden =
      comparison !== "sentences" ||
      (app.session.model?.kind !== "tagger" && app.session.model?.kind !== "language-model");
    bar.replaceChildren(kindBar(app, several));
  };
  store.subscribe(["comparison"], update);
  app.session.on("model", update);
  update();
  return element("div", { class: "compare-what" }, [element("div", { class: "compare-row" }, [bar, pairs]), ...sides]);
}

function kindBar({ store, session }: App, several: boolean) {
  const { models, ...others } = KINDS;
  const named = session.model?.kind === "layer" ? { sentences: "Two inputs" } : {};
  const options = { ...(several ? KINDS : others), ...named } as Record<View["comparison"], string>;
  return choice("Compare", options, store.get().comparison, (comparison) => {
    const { otherText, otherModel } = store.get();
    store.set({
      comparison,
      otherText: comparison === "sentences" ? otherText : "",
      otherModel: comparison === "models" ? otherModel : "",
    });
  });
}

function pairBar({ store }: App) {
  const about = element("p", { class: "compare-about" });
  const options = PAIRS.map(({ text, other }, k) =>
    element("option", { value: String(k), text: `${text}  |  ${other}` }),
  );
  const select = element("select", {}, [element("option", { value: "", text: "pairs to try" }), ...options]);
  const say = () => {
    const now = store.get();
    const k = PAIRS.findIndex(({ text, other }) => text === now.text && other === now.otherText);
    const lacksFirst = now.otherText !== "" && now.otherText === withoutFirstWord(now.text);
    select.value = k < 0 ? "" : String(k);
    about.textContent = PAIRS[k]?.about ?? (lacksFirst ? "B is A without its first word. Edit either one." : "");
  };
  select.addEventListener("change", () => {
    const pair = PAIRS[Number(select.value)];
    if (select.value !== "") store.change({ text: pair.text, otherText: pair.other }, "compare a pair of sentences");
  });
  store.subscribe(["text", "otherText"], say);
  say();
  return element("div", { class: "compare-pairs" }, [
    element("label", { class: "pick" }, [element("span", { text: "pairs" }), select]),
    about,
  ]);
}

export function howControls(app: App): HTMLElement {
  const { store, session } = app;
  const controls = element("div", { class: "compare-picks" });
  const fill = () => {
    const { model } = session;
    if (!model) return;
    const aligns = store.get().comparison !== "edits" && model.kind !== "layer"; // otherwise steps are matched by number
    controls.replaceChildren(
      pick(
        "layer",
        model.tracks.map(({ name }) => name),
        store.get().track,
        (track) => store.set({ track }),
        titlesOf(model),
      ),
      pick(
        "values",
        [...model.quantities],
        store.get().quantity,
        (quantity) => store.set({ quantity }),
        model.meanings,
      ),
      ...(aligns ? [choice("Aligned by", WAYS, store.get().align, (align) => store.set({ align }))] : []),
    );
  };
  session.on("model", fill);
  store.subscribe(["track", "quantity", "align", "comparison"], fill);
  fill();
  return element("div", { class: "compare-how" }, [controls]);
}

function titlesOf({ tracks }: Model): Record<string, string> {
  const twoWays = tracks.some(({ reverse }) => reverse);
  return Object.fromEntries(tracks.map((info) => [info.name, trackTitle(info, twoWays)]));
}

function pick(
  label: string,
  values: string[],
  chosen: string,
  onChoose: (value: string) => void,
  meanings: Record<string, string> = {},
) {
  const options = values.map((value) =>
    element("option", { value, text: meanings[value] ? `${value}: ${meanings[value]}` : value }),
  );
  const select = element("select", {}, options);
  select.value = chosen;
  select.addEventListener("change", () => onChoose(select.value));
  return element("label", { class: "pick" }, [element("span", { text: label }), select]);
}
