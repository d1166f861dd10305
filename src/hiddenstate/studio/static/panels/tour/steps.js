// The ten steps of the tour, in order. What each says, asks for, and takes for done.

import { CELL } from "studio/panels/tour/steps-cell.js";
import { EDIT } from "studio/panels/tour/steps-edit.js";
import { GATES } from "studio/panels/tour/steps-gates.js";
import { TIME } from "studio/panels/tour/steps-time.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/ui/panel.js").App} App */

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

/** @type {readonly Step[]} */
export const STEPS = [...GATES, ...CELL, ...TIME, EDIT];
