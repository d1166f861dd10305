// Types shared by the modules of the compare page; contains no code.

/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/panels/compare/align.js").Column} Column */
/** @typedef {import("studio/panels/compare/pair.js").Pair} Pair */
/** @typedef {import("studio/panels/compare/ribbon.js").Strip} Strip */

/**
 * @typedef {object} Scene
 * @property {Pair} pair
 * @property {Column[]} columns
 * @property {Track | undefined} a
 * @property {Track | undefined} b
 * @property {boolean} comparable whether their units can be compared
 * @property {Strip[]} strips
 * @property {string} quantity of A
 * @property {string | null} other the quantity of B with the same letter or the same role; null if there is none
 * @property {string} state whose distance is shown: c if both have it and it is chosen, else h
 * @property {string} head
 * @property {number} width the available width
 */

export {};
