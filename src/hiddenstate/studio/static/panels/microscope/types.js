// Types shared by the microscope's modules; contains no code.

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/ui/svg-parts.js").Box} Box */

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{at: Point, anchor: "start" | "middle" | "end"}} Label */
/** @typedef {{name: string, points: Point[]}} Wire named after the value that it carries */

/**
 * @typedef {object} Layout
 * @property {number} width
 * @property {number} height
 * @property {Record<string, Box>} boxes gates by letter, states and parts of sums by name, and "x", where the vectors come in
 * @property {Record<string, Point>} nodes the cell's operations: keep write add tanh show
 * @property {Wire[]} wires that carry a number of this unit
 * @property {Point[][]} buses that carry whole vectors, x and h_prev
 * @property {Record<string, Label>} labels of the numbers between the operations
 */

/** @typedef {"jump" | "move" | "play"} Pace at once, swiftly, or with numbers that travel along the wires */

/**
 * The data from which a zoom level is drawn. The functions return current values.
 * @typedef {object} Scene
 * @property {Model} model
 * @property {TrackInfo} track
 * @property {number} width
 * @property {() => Run} run
 * @property {() => View} view
 * @property {(patch: Partial<View>) => void} go
 * @property {() => boolean} live whether the run is a stream in Python
 * @property {() => number} pause milliseconds until the earliest next step
 * @property {(quantity: string) => ((from: Element) => void) | null} editor null if nothing can be edited
 */

/**
 * @typedef {object} Level
 * @property {Element} root
 * @property {(view: View, pace: Pace) => void} update
 * @property {() => void} leave
 * @property {() => SVGSVGElement} picture
 * @property {() => string[][]} table
 */

export {};
