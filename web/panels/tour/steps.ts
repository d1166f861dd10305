// The ten steps of the tour, in order: their texts, tasks and conditions.

import { CELL } from "studio/panels/tour/steps-cell.js";
import { EDIT } from "studio/panels/tour/steps-edit.js";
import { GATES } from "studio/panels/tour/steps-gates.js";
import { TIME } from "studio/panels/tour/steps-time.js";
import type { Step } from "studio/panels/tour/types.js";

export const STEPS: readonly Step[] = [...GATES, ...CELL, ...TIME, EDIT];
