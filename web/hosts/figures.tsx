// The classic script of the course's figures, which pages opened from disk can load.

import { render } from "preact";
import { LagPicture } from "studio/panels/lags/index.js";
import { SeriesPicture, bandsOf } from "studio/panels/sentence/series.js";
import { type LagMap, lagMap } from "studio/runtime/explain/lags.js";
import { type Target, logitTarget } from "studio/runtime/explain/target.js";
import type { Model, Series } from "studio/types.js";

export { ModelError } from "studio/runtime/errors.js";
export { Lstm, tracksOf } from "studio/runtime/lstm.js";
export { loadModel } from "studio/runtime/model.js";
export { stateBefore } from "studio/runtime/states.js";

/** Draws the window of a forecaster that begins at a step of its series, and what each number in it adds to the forecast. */
export function drawLags(root: Element, model: Model, from: number, width: number): LagMap {
  const { runSpan, window, features, ahead } = model.series as Series;
  const run = runSpan(from, from + (window as number));
  const subject = model.subject(run);
  const target = logitTarget(subject.readers[0], 0, run.steps - 1) as Target;
  const steps = lagMap(subject, target);
  let step = steps.next();
  while (!step.done) step = steps.next();
  const map = step.value;
  const bands = bandsOf(model, run, null);
  render(
    <>
      <SeriesPicture {...{ model, run, width, bands }} />
      <LagPicture {...{ lags: { subject, name: "forecast", features, last: ahead[0], map }, width }} />
    </>,
    root,
  );
  return map;
}
