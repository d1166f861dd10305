// The figure of the compare page: words, heat maps, their difference and the ribbons, all over the same columns.

import { canvas, element, svg } from "studio/app/draw.js";
import { shownToken } from "studio/app/tokens.js";
import { differencePicture, paint, pictureOf } from "studio/panels/compare-maps.js";
import { marksOf, strands } from "studio/panels/compare-ribbon.js";
import { chosenAt, headOf } from "studio/panels/edits-difference.js";

/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/panels/compare-align.js").Column} Column */
/** @typedef {import("studio/panels/compare-pair.js").Pair} Pair */
/** @typedef {import("studio/panels/compare-pair.js").Side} Side */
/** @typedef {import("studio/panels/compare-ribbon.js").Strip} Strip */

/**
 * @typedef {object} Scene
 * @property {Pair} pair
 * @property {Column[]} columns
 * @property {Track | undefined} a
 * @property {Track | undefined} b
 * @property {boolean} comparable whether their units can be compared
 * @property {Strip[]} strips
 * @property {string} quantity
 * @property {string} head
 * @property {number} width room that there is
 */

const GUTTER = 64;
const WORDS = 42;
const GAP = 10;
const RIBBON = 46;
const RIBBON_HEAD = 22;

/** @typedef {ReturnType<typeof layoutOf>} Layout */

/**
 * Where everything goes.
 * @param {Scene} scene
 */
export function layoutOf({ pair, columns, a, b, comparable, strips, width, head }) {
  const longest = Math.max(
    ...[pair.a, pair.b].flatMap(({ run }) => run.tokens.map((token, t) => longestAt(token, headOf(run, head), t))),
  );
  const least = Math.max(18, Math.min(110, longest * 7 + 12));
  const column = Math.max(least, Math.min(240, Math.floor((width - GUTTER) / columns.length)));
  const map = (/** @type {Track | undefined} */ track) => (track ? Math.max(72, Math.min(144, track.info.units)) : 0);
  const wordsA = 0;
  const wordsB = wordsA + WORDS;
  const ribbons = wordsB + WORDS;
  const mapA = ribbons + (strips.length ? RIBBON_HEAD + strips.length * RIBBON : 0) + GAP;
  const mapB = mapA + map(a) + GAP;
  const difference = mapB + map(b) + GAP;
  const height = difference + (comparable ? map(a) : 0);
  return {
    column,
    wordsA,
    mapA,
    wordsB,
    mapB,
    difference,
    ribbons,
    height,
    mapHeightA: map(a),
    mapHeightB: map(b),
    left: GUTTER,
    total: GUTTER + column * columns.length,
    centre: (/** @type {number} */ k) => GUTTER + (k + 0.5) * column,
  };
}

/**
 * @param {string} token
 * @param {import("studio/types.js").Head | null} head
 * @param {number} t
 */
function longestAt(token, head, t) {
  return Math.max(token.length, head ? chosenAt(head, t).label.length + 5 : 0);
}

/**
 * @param {Scene} scene
 */
export function createFigure(scene) {
  const layout = layoutOf(scene);
  const maps = paintMaps(scene, layout);
  const cursor = svg("rect", { class: "cursor", y: 0, width: layout.column, height: layout.height, rx: 3 });
  const units = [layout.mapA, layout.mapB, layout.difference].map(() =>
    svg("rect", { class: "unit", x: layout.left, width: layout.total - layout.left }),
  );
  const drawn = svg(
    "svg",
    {
      class: "compare-drawing",
      width: layout.total,
      height: layout.height,
      viewBox: `0 0 ${layout.total} ${layout.height}`,
    },
    [...drawing(scene, layout), ...units, cursor],
  );
  const root = element(
    "div",
    { class: "compare-figure", style: { width: `${layout.total}px`, height: `${layout.height}px` } },
    [maps, drawn],
  );
  return {
    root,
    layout,
    /** @param {number} k @param {number} unit */
    mark(k, unit) {
      cursor.setAttribute("x", String(layout.left + k * layout.column));
      markUnit(units, scene, layout, unit);
    },
    /** The figure as one picture. */
    picture: () => pictureFile(drawn, maps, layout),
  };
}

/**
 * @param {Scene} scene
 * @param {Layout} layout
 * @returns {HTMLCanvasElement}
 */
function paintMaps({ a, b, comparable, quantity, columns }, layout) {
  const made = canvas(layout.total, layout.height, { "aria-hidden": "true" });
  const box = { x: layout.left, width: layout.total - layout.left };
  const [one, two] = [a && pictureOf(a, quantity, columns, "a"), b && pictureOf(b, quantity, columns, "b")];
  if (one) paint(made.context, one, { ...box, y: layout.mapA, height: layout.mapHeightA });
  if (two) paint(made.context, two, { ...box, y: layout.mapB, height: layout.mapHeightB });
  if (one && two && comparable)
    paint(made.context, differencePicture(one, two), { ...box, y: layout.difference, height: layout.mapHeightA });
  return made.canvas;
}

/**
 * All that is lines and text.
 * @param {Scene} scene
 * @param {Layout} layout
 * @returns {SVGElement[]}
 */
function drawing(scene, layout) {
  const { pair, strips, comparable, quantity } = scene;
  const labels = [
    label(pair.a.name, layout.wordsA + 15, "side a"),
    label(`${quantity} of A`, layout.mapA + 11),
    label(pair.b.name, layout.wordsB + 15, "side b"),
    label(`${quantity} of B`, layout.mapB + 11),
    ...(comparable ? [label("B − A", layout.difference + 11)] : []),
  ];
  return [
    ...labels,
    ...wordRow(scene, layout, "a"),
    ...wordRow(scene, layout, "b"),
    ...(strips.length ? ribbons(scene, layout) : []),
  ];
}

/**
 * @param {string} text
 * @param {number} y
 * @param {string} [kind]
 */
function label(text, y, kind = "") {
  const short = text.length > 8 ? `${text.slice(0, 7)}…` : text;
  return svg("text", { class: `row-label ${kind}`, x: GUTTER - 10, y, "text-anchor": "end", text: short }, [
    svg("title", { text }),
  ]);
}

/**
 * @param {Scene} scene
 * @param {Layout} layout
 * @param {"a" | "b"} side
 * @returns {SVGElement[]}
 */
function wordRow({ pair, columns, head }, layout, side) {
  const { run } = pair[side];
  const [mine, theirs] = [headOf(run, head), headOf(pair[side === "a" ? "b" : "a"].run, head)];
  const top = side === "a" ? layout.wordsA : layout.wordsB;
  return columns.flatMap((column, k) => {
    const t = column[side];
    const other = column[side === "a" ? "b" : "a"];
    if (t < 0) return [svg("text", { class: "word none", x: layout.centre(k), y: top + 15, text: "–" })];
    const word = svg(
      "text",
      { class: "word", x: layout.centre(k), y: top + 15, text: fitted(shownToken(run.tokens[t]), layout.column) },
      [svg("title", { text: shownToken(run.tokens[t]) })],
    );
    if (!mine) return [word];
    const { label: tag, probability } = chosenAt(mine, t);
    const changed = theirs !== null && other >= 0 && chosenAt(theirs, other).label !== tag;
    return [
      word,
      svg("text", {
        class: changed ? "tag changed" : "tag",
        x: layout.centre(k),
        y: top + 31,
        text: fitted(`${shownToken(tag)} ${probability.toFixed(2)}`, layout.column),
      }),
    ];
  });
}

/**
 * @param {string} text
 * @param {number} width
 */
function fitted(text, width) {
  const most = Math.max(2, Math.floor((width - 4) / 6.6));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/**
 * @param {Scene} scene
 * @param {Layout} layout
 * @returns {SVGElement[]}
 */
function ribbons({ strips, a, quantity }, layout) {
  const bound = boundOf(strips);
  const state = quantity === "c" ? "c" : "h";
  const title = svg("text", {
    class: "ribbon-title",
    x: layout.left,
    y: layout.ribbons + 13,
    text: `distance of ${state}, ‖Δ${state}‖: a gap as high as the band is ${bound}`,
  });
  return [
    title,
    ...strips.flatMap((strip, k) => {
      const y = layout.ribbons + RIBBON_HEAD + k * RIBBON;
      const where = {
        y,
        height: RIBBON - 6,
        centre: layout.centre,
        column: layout.column,
        scale: (RIBBON - 10) / bound,
      };
      const chosen = strip.name === a?.info.name;
      return [
        svg("g", { class: chosen ? "ribbon chosen" : "ribbon", "data-track": strip.name }, [
          svg("rect", {
            class: "band",
            x: layout.left,
            y,
            width: layout.total - layout.left,
            height: RIBBON - 6,
            rx: 3,
          }),
          ...strands(strip, where),
          ...marksOf(strip).map((mark) => markText(mark, strip, where, layout)),
          label(`${strip.name} ${strip.reverse ? "◂" : "▸"}`, y + RIBBON / 2, chosen ? "chosen" : ""),
        ]),
      ];
    }),
  ];
}

/**
 * The greatest distance stands between the strands where there is room; where they part and meet, at the column's edge.
 * @param {{k: number, text: string, kind: string}} mark
 * @param {Strip} strip
 * @param {{y: number, height: number, scale: number}} where
 * @param {Layout} layout
 */
function markText({ k, text, kind }, { distance, reverse }, { y, height, scale }, layout) {
  if (kind === "widest") {
    const roomy = distance[k] * scale > 18;
    return svg("text", { class: "ribbon-mark", x: layout.centre(k), y: roomy ? y + height / 2 + 4 : y + 11, text });
  }
  const side = reverse ? 1 : -1;
  const x = layout.centre(k) + side * (layout.column / 2 - 5);
  return svg("text", {
    class: `ribbon-mark ${kind}`,
    x,
    y: y + height - 4,
    "text-anchor": reverse ? "end" : "start",
    text,
  });
}

/**
 * The greatest distance, rounded up.
 * @param {Strip[]} strips
 * @returns {number}
 */
function boundOf(strips) {
  const most = Math.max(
    0.1,
    ...strips.flatMap(({ distance }) => Array.from(distance).filter((size) => !Number.isNaN(size))),
  );
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * power >= most * 0.999) ?? 10;
  return Number((step * power).toPrecision(2));
}

/**
 * @param {SVGElement[]} lines
 * @param {Scene} scene
 * @param {Layout} layout
 * @param {number} unit
 */
function markUnit(lines, { a, b, comparable }, layout, unit) {
  const maps = [
    [a, layout.mapA, layout.mapHeightA],
    [b, layout.mapB, layout.mapHeightB],
    [comparable ? a : undefined, layout.difference, layout.mapHeightA],
  ];
  maps.forEach(([track, top, height], k) => {
    const units = /** @type {Track | undefined} */ (track)?.info.units ?? 0;
    const row = Number(height) / Math.max(1, units);
    const thick = Math.max(2, row);
    lines[k].setAttribute("visibility", unit < units ? "visible" : "hidden");
    lines[k].setAttribute("y", String(Number(top) + (unit + 0.5) * row - thick / 2));
    lines[k].setAttribute("height", String(thick));
  });
}

/**
 * The drawing with the maps beneath it.
 * @param {SVGSVGElement} drawn
 * @param {HTMLCanvasElement} maps
 * @param {Layout} layout
 * @returns {SVGSVGElement}
 */
function pictureFile(drawn, maps, layout) {
  const copy = /** @type {SVGSVGElement} */ (drawn.cloneNode(true));
  copy.querySelector(".cursor")?.remove();
  copy.prepend(svg("image", { href: maps.toDataURL(), width: layout.total, height: layout.height }));
  return copy;
}
