// The sentence panel as a picture and as a table.

import { element, svg } from "studio/app/draw.js";
import { headOf, predictionAt } from "studio/app/predictions.js";
import { shownToken } from "studio/app/tokens.js";

/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/app/panel.js").App} App */

const WIDTH = 960;
const LINE = 46;

/**
 * Words over their tags and the bars of their probabilities, in lines as a page has them.
 * @param {App} app
 * @returns {SVGSVGElement}
 */
export function sentencePicture({ session, store }) {
  const { run } = session;
  const placed = run === null ? [] : laidOut(run);
  const height = ((placed.at(-1)?.line ?? 0) + 1) * LINE + 8;
  const parts = run === null ? [] : placed.flatMap((place, t) => wordParts(run, store.get().head, t, place));
  return svg("svg", { class: "sentence-picture", width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` }, parts);
}

/**
 * @param {Run} run
 * @returns {{x: number, width: number, line: number}[]}
 */
function laidOut(run) {
  const context = element("canvas").getContext("2d");
  if (context) context.font = "16px Georgia, serif";
  let [x, line] = [8, 0];
  return run.tokens.map((token) => {
    const width = Math.max(34, (context?.measureText(shownToken(token)).width ?? 40) + 14);
    if (x + width > WIDTH - 8) [x, line] = [8, line + 1];
    const place = { x, width, line };
    x += width;
    return place;
  });
}

/**
 * @param {Run} run
 * @param {string} headName
 * @param {number} t
 * @param {{x: number, width: number, line: number}} place
 * @returns {SVGElement[]}
 */
function wordParts(run, headName, t, { x, width, line }) {
  const [middle, y] = [x + (width - 6) / 2, line * LINE];
  const head = headOf(run, headName);
  const token = svg("text", { x: middle, y: y + 20, class: "picture-token", "text-anchor": "middle", text: shownToken(run.tokens[t]) });
  if (run.surprise === null && head === null) return [token];
  const { label, probability } = head && !run.surprise ? predictionAt(head, t) : { label: "", probability: 0 };
  const below = run.surprise ? run.surprise[t].toFixed(1) : label;
  const share = run.surprise ? Math.min(1, run.surprise[t] / 8) : probability;
  return [
    token, svg("text", { x: middle, y: y + 34, class: "picture-tag", "text-anchor": "middle", text: below }),
    svg("rect", { x, y: y + 38, width: (width - 6) * (Number.isFinite(share) ? share : 0), height: 3, class: "picture-bar" }),
  ];
}

/**
 * A row for each step; a column for each label of the chosen head, where there are few.
 * @param {App} app
 * @returns {string[][]}
 */
export function sentenceRows({ session, store }) {
  const { run } = session;
  if (run === null) return [];
  const head = headOf(run, store.get().head);
  const labels = head && head.labels.length <= 200 ? head.labels : [];
  const heading = ["step", "token", "known", ...(head ? ["prediction", "probability"] : []), ...(run.surprise ? ["surprise"] : []), ...labels];
  const rows = run.tokens.map((token, t) => {
    const said = head && predictionAt(head, t);
    const shares = labels.map((_, k) => String(/** @type {NonNullable<typeof head>} */ (head).probabilities[t * labels.length + k]));
    return [String(t), token, String(run.known[t] ?? true), ...(said ? [said.label, String(said.probability)] : []),
      ...(run.surprise ? [String(run.surprise[t])] : []), ...shares];
  });
  return [heading, ...rows];
}
