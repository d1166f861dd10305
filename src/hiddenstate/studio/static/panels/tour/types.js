// Types shared by the tour's modules; contains no code.

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/types.js").App} App */

/**
 * The argument that a step receives: the current page, and storage that lasts as long as the step.
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
 * @property {(now: Now) => string[]} panels ids of its panels; empty if it needs none
 * @property {(now: Now) => Partial<View>} sets the changes to the view when it starts
 * @property {(keyof View)[]} restores the keys to restore when it ends
 * @property {(now: Now) => string[]} says paragraphs
 * @property {(now: Now) => string} task
 * @property {(now: Now, again: () => void) => HTMLElement} [work] a task in the card; `again` checks whether it is done
 * @property {(now: Now) => string} [status] the progress
 * @property {(now: Now) => void} [watch] records progress
 * @property {(now: Now) => boolean} done
 * @property {(now: Now) => string} learnt
 */

export {};
