// The run before and after the edits, one column per step: the prediction, how much it changed, and the change in each
// track's h.

import { type Difference, type Distance, firstOf } from "studio/state/difference.js";
import { shownToken, stepName } from "studio/state/tokens.js";
import type { Choice } from "studio/types.js";
import { element } from "studio/ui/draw.js";

function predicted(choice: Choice | null, changed: boolean): HTMLElement {
  const cell = element("td", { class: changed ? "changed" : "" });
  if (choice) {
    cell.append(
      element("span", { class: "label", text: shownToken(choice.label) }),
      element("span", { class: "share", text: choice.probability.toFixed(2) }),
    );
  }
  return cell;
}

/**
 * A number with a bar whose length is the number's share of the row's scale.
 *
 * @param mark "" or the label of a first step
 */
function sized(size: number, scale: number, mark: string): HTMLElement {
  const bar = element("span", { class: "bar", style: { "--share": Math.min(1, size / scale) } });
  const cell = element("td", { class: mark ? "size first" : "size" }, [
    bar,
    element("span", { class: "share", text: size ? short(size) : "0" }),
  ]);
  if (mark) cell.append(element("span", { class: "mark", text: mark }));
  return cell;
}

function short(size: number) {
  return size < 0.01 ? "<.01" : size.toFixed(2);
}

function row(name: string, title: string, cells: HTMLElement[], kind: string = "") {
  return element("tr", { class: kind }, [element("th", { scope: "row", text: name, title }), ...cells]);
}

function trackRow({ info, size, first }: Distance, scale: number) {
  const title = `Largest difference in h of any unit of ${info.name}, with and without the edits`;
  const mark = info.reverse ? "◂ first" : "first ▸";
  return row(
    info.name,
    title,
    Array.from(size, (one, t) => sized(one, scale, t === first ? mark : "")),
  );
}

function predictionRows({ words }: Difference): HTMLElement[] {
  if (!words[0]?.before) return [];
  const moved = words.map((word) => word.moved);
  const first = firstOf(moved, false);
  return [
    row(
      "before",
      "Prediction without the edits",
      words.map((word) => predicted(word.before, false)),
      "before",
    ),
    row(
      "after",
      "Prediction with the edits",
      words.map((word) => predicted(word.after, word.changed)),
      "after",
    ),
    row(
      "moved",
      "Probability that moved to other labels",
      moved.map((one, t) => sized(one, 1, t === first ? "first" : "")),
    ),
  ];
}

/** The scale of the bars of h: values between -1 and 1 differ by at most 2. */
export function barBound(tracks: Distance[]): number {
  const most = Math.max(0, ...tracks.map(({ size }) => Math.max(0, ...size)));
  return [0.1, 0.2, 0.5, 1].find((bound) => most <= bound) ?? 2;
}

export function differenceTable(difference: Difference, onStep: (t: number) => void): HTMLElement {
  const scale = barBound(difference.tracks);
  const heads = difference.words.map(({ t, token, changed }) => {
    const step = element("button", { type: "button", text: shownToken(token), title: `step ${t}` });
    step.addEventListener("click", () => onStep(t));
    return element("th", { scope: "col", class: changed ? "changed" : "" }, [step]);
  });
  const label = `max |Δh|, bars to ${scale}`;
  return element("table", { class: "difference", style: { "--columns": heads.length } }, [
    element("caption", { text: "Before and after the edits, step by step" }),
    element("thead", {}, [element("tr", {}, [element("td", {}), ...heads])]),
    element("tbody", {}, predictionRows(difference)),
    element("tbody", { class: "tracks" }, [
      element("tr", { class: "divide" }, [
        element("th", { scope: "rowgroup", colspan: String(heads.length + 1), text: label }),
      ]),
      ...difference.tracks.map((track) => trackRow(track, scale)),
    ]),
  ]);
}

/** Rows for a file. */
export function differenceRows({ words, tracks }: Difference): string[][] {
  const head = [
    "step",
    "token",
    "before",
    "probability before",
    "after",
    "probability after",
    "moved",
    ...tracks.map(({ info }) => `max |Δh| ${info.name}`),
  ];
  const lines = words.map(({ t, token, before, after, moved }) => [
    String(t),
    token,
    before?.label ?? "",
    before ? String(before.probability) : "",
    after?.label ?? "",
    after ? String(after.probability) : "",
    String(moved),
    ...tracks.map(({ size }) => String(size[t])),
  ]);
  return [head, ...lines];
}

/** Describes the changes in a sentence or two. */
export function verdictOf({ words, tracks, first, changed }: Difference): string {
  const tokens = words.map(({ token }) => token);
  const at = (t: number) => stepName({ tokens }, t);
  const parted = tracks.filter((track) => track.first >= 0);
  if (!parted.length) return "These edits change nothing here: every value stays the same.";
  const inside = parted.map((track) => `${track.info.name} at ${at(track.first)}`).join(", ");
  const count = `${changed} of ${words.length} predictions ${changed === 1 ? "changes" : "change"}`;
  const outside = words[0].before
    ? `${count}${first < 0 ? "" : `; the first to differ at all is that at ${at(first)}`}. `
    : "";
  return `${outside}First difference in each layer, in reading order: ${inside}.`;
}
