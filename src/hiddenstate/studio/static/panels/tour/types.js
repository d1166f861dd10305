// The shapes that the tour's modules hand to one another. Types only: nothing here runs.

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/types.js").App} App */

/**
 * What a step is given: the page as it is, and a place for what it wants to remember while it lasts.
 * @typedef {object} Now
 * @property {App} app
 * @property {Model} model
 * @property {Run} run without edits
 * @property {View} view
 * @property {Record<string, any>} memory
 */

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {(now: Now) => string[]} panels ids of those that it talks about; none: it needs no panel
 * @property {(now: Now) => Partial<View>} sets what it puts on the page when it begins
 * @property {(keyof View)[]} restores what it puts back when it is left
 * @property {(now: Now) => string[]} says paragraphs
 * @property {(now: Now) => string} task
 * @property {(now: Now, again: () => void) => HTMLElement} [work] done in the card; `again` asks whether it is done
 * @property {(now: Now) => string} [status] how far one is
 * @property {(now: Now) => void} [watch] notes what happened
 * @property {(now: Now) => boolean} done
 * @property {(now: Now) => string} learnt
 */

export {};
