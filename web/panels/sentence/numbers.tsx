// Numeric input, for a layer without a vocabulary: a signal by name, or the user's own rows.

import { useRef } from "preact/hooks";
import { MOST_CHARACTERS } from "studio/facts.js";
import { givenRows, NAME_END, parseRows, signalNamed, SIGNALS } from "studio/state/input.js";
import { hasWords } from "studio/state/tokens.js";
import type { Model } from "studio/types.js";
import { useApp, useTyping } from "studio/ui/app.js";
import { Segments } from "studio/ui/form.js";

const REST = 120; // milliseconds
const FIRST = 8; // initial number of rows of noise

export function NumbersInput({ model }: { model: Model }) {
  const { store, view } = useApp();
  const columns = model.tracks[0].inputSize;
  const counts = useRef({ steps: "24", seed: "0" }); // of the last signal
  const kind = inputKind(view.text, model);
  const isSignal = kind !== "rows" && kind !== "given";
  const [, steps, seed] = view.text.trim().split(/\s+/);
  if (isSignal && isCount(steps)) counts.current = { ...counts.current, steps };
  if (kind === "noise" && isCount(seed)) counts.current = { ...counts.current, seed };

  const say = (text: string) => store.set({ text });
  const choose = (to: string) => {
    const { steps: length, seed: start } = counts.current;
    if (to === "given") say("");
    else if (to === "rows") say(ownRows(store.get().text, model));
    else say(`${to} ${length}${to === "noise" ? ` ${start}` : ""}`);
  };
  const typing = useTyping(kind === "rows" ? view.text : "", say, () => REST);
  const counter = (name: "steps" | "seed", label: string, min: number, max: number) => (
    <label class="field">
      <span>{label}</span>
      <input
        {...{ type: "number", min, max, step: 1, class: "counter", value: counts.current[name] }}
        onInput={({ currentTarget }) => {
          if (!currentTarget.checkValidity() || currentTarget.value === "") return;
          counts.current = { ...counts.current, [name]: currentTarget.value };
          choose(kind);
        }}
      />
    </label>
  );
  const options = [...SIGNALS.map((name) => ({ value: name, text: name })), { value: "rows", text: "own rows" }];
  if (model.given) options.unshift({ value: "given", text: "as given" });
  return (
    <div class="numbers-in">
      <div class="numbers-choice">
        <Segments {...{ label: "Signal", options, value: kind, choose }} />
        {isSignal && counter("steps", "Steps", 1, 400)}
        {kind === "noise" && counter("seed", "Seed", 0, 999999)}
      </div>
      <textarea
        {...{ id: "rows", rows: 3, spellcheck: false, class: "number", hidden: kind !== "rows", ...typing }}
        aria-label={`Rows of ${columns} numbers, one row per step`}
        placeholder={`one row per step, ${columns} numbers in each, separated by commas`}
      />
      <p class="soft" role="status">
        {kind === "rows" && shortage(view.text, model)}
      </p>
    </div>
  );
}

function isCount(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text);
}

function inputKind(text: string, model: Model): string {
  if (text.trim() === "") return model.given ? "given" : "noise";
  return signalNamed(text) ?? "rows";
}

/**
 * The current input as text that can be edited: the numbers of the signal, or those given with the model, with their
 * names, as far as the page's address can hold them.
 */
function ownRows(text: string, { given, tracks }: Model): string {
  const rows = text.trim() === "" ? givenRows(given) : null;
  if (!given || !rows) {
    const read = parseRows(text.trim() === "" ? `noise ${FIRST} 0` : text, tracks[0].inputSize);
    return read.map(asText).join("\n");
  }
  const named = hasWords(given);
  let lines = "";
  for (const [t, row] of rows.entries()) {
    const line = (named ? `${oneLine(given.tokens[t])}${NAME_END} ` : "") + asText(row);
    if (t > 0 && lines.length + 1 + line.length > MOST_CHARACTERS) break;
    lines += t > 0 ? `\n${line}` : line;
  }
  return lines;
}

/** What a text that begins with given numbers leaves out, in words. */
function shortage(text: string, model: Model) {
  if (!model.given || text !== ownRows("", model)) return "";
  const count = text.split("\n").length;
  return count < model.given.steps
    ? `The first ${count} of ${model.given.steps} rows; the page's address can't hold more.`
    : "";
}

function oneLine(name: string) {
  return name.replace(/\s+/g, " ");
}

/** The shortest decimals that give the same numbers in float32. */
function asText(row: Float32Array): string {
  return Array.from(row, (value) => {
    const digits = [6, 7, 8].find((count) => Math.fround(Number(value.toPrecision(count))) === value) ?? 9;
    return String(Number(value.toPrecision(digits)));
  }).join(", ");
}
