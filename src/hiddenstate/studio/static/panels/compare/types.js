// Types that the compare page's modules share. Types only: nothing here runs.

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
 * @property {string} quantity
 * @property {string} head
 * @property {number} width the available width
 */

export {};
