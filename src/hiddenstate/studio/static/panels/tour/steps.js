// The ten steps of the tour, in order: their texts, tasks and conditions.

import { CELL } from "studio/panels/tour/steps-cell.js";
import { EDIT } from "studio/panels/tour/steps-edit.js";
import { GATES } from "studio/panels/tour/steps-gates.js";
import { TIME } from "studio/panels/tour/steps-time.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/types.js").App} App */
/** @typedef {import("studio/panels/tour/types.js").Step} Step */

/** @type {readonly Step[]} */
export const STEPS = [...GATES, ...CELL, ...TIME, EDIT];
