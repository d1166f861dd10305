// Which feature, at which lag: what the forecast loses without each feature at each step before it.

import { useComputed, useSignal } from "@preact/signals";
import { type LagMap, lagMap, lagMapCost } from "studio/runtime/explain/lags.js";
import type { Explained } from "studio/state/explained.js";
import { seriesNumber, withUnit } from "studio/state/series.js";
import type { SeriesColumn, Subject } from "studio/types.js";
import { useApp, useJob } from "studio/ui/app.js";
import { CellMap, type CellMapProps, SUM, strongest } from "studio/ui/cell-map.js";
import { tick } from "studio/ui/draw.js";
import { Progress } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";

const HELP =
  "Each cell is what the forecast loses when one feature of one step is replaced by that feature's mean over the " +
  "series, and the rest stays as it was (occlusion). The column on the right replaces a feature at all of these " +
  "steps, the last row all features of one step. These values are measured, not sums: what two parts do together is lost " +
  "with either. Point at a cell, or reach it with the arrow keys, for its number; press it to go to its step.";
const BOTH_WAYS =
  "This model reads in both directions, so what it reads before a step is not all that a forecast needs.";

interface Lags {
  subject: Subject;
  name: string; // of the target
  features: SeriesColumn[];
  last: number; // the lag of the last step: how many steps after it the forecast is for
  map: LagMap;
}

export function LagsPanel() {
  const { store, session, question } = useApp();
  const pointed = useSignal<number | null>(null);
  const subject = useComputed(() => {
    const { explained } = question.value;
    return explained?.subject.source && explained.subject.cells.every(({ info }) => !info.reverse) ? explained : null;
  });
  const job = useJob("explain", () => subject.value, lagWork);
  const lags = job.result?.value ?? null;
  return (
    <Panel
      {...{ id: "lags", title: "Which feature, at which lag", help: HELP, hidden: !session.model?.series }}
      picture={() => lags && <LagPicture {...{ lags, width: 1000 }} />}
      exports={{ csv: () => (lags ? lagRows(lags) : []) }}
      tools={<Progress of={job} label="Progress" />}
    >
      <p class="attribution-says" aria-live="polite">
        {lags
          ? cellSentence(lags, pointed.value ?? strongest(values(lags.map).subarray(0, -lags.map.byStep.length)))
          : job.problem || (subject.value === null && BOTH_WAYS)}
      </p>
      <Stage class="scroll lags-stage" reveal=".asked" when={lags}>
        {(width) =>
          lags && (
            <LagPicture
              {...{ lags, width, point: (k) => (pointed.value = k) }}
              press={(n) => store.set({ step: (n % lags.map.byStep.length) - lags.subject.lead })}
            />
          )
        }
      </Stage>
    </Panel>
  );
}

function lagWork({ subject, target, name, label, model }: Explained) {
  const { features = [], targets = [], ahead = [] } = model.series ?? {};
  const place = subject.readers[0]?.labels.indexOf(label) ?? -1; // forecasts are labels: all targets, for each step ahead
  const last = ahead[Math.floor(place / targets.length)] ?? 0;
  return { steps: lags(), cost: lagMapCost(subject, target) };

  function* lags(): Generator<number, Lags, void> {
    return { subject, name, features, last, map: yield* lagMap(subject, target) };
  }
}

const [LEFT, NARROWEST, WIDEST] = [110, 5.45, 40]; // the narrowest: 30 steps with three dates, on a phone
const ALL = "all features";

type PictureProps = { lags: Lags } & Pick<CellMapProps, "width" | "press" | "point">;

/** Features down, and below them all features of a step; steps along, and beside them all steps of a feature. */
export function LagPicture({ lags, width, ...rest }: PictureProps) {
  const { subject, features, map } = lags;
  const T = map.byStep.length;
  return (
    <CellMap
      {...{ width, left: LEFT, values: values(map), label: "What each feature adds at each step", ...rest }}
      columns={subject.tokens.slice(0, T).map((word, t) => ({ word, kind: t === T - 1 ? " asked" : "" }))}
      rows={[...features.map(({ name }) => name), ALL]}
      sums={Array.from(map.byFeature, signed)}
      column={Math.max(NARROWEST, Math.min(WIDEST, (width - LEFT - SUM) / T))}
      name={(n) => cellSentence(lags, n)}
    />
  );
}

/** @returns [C + 1, T] */
function values({ C, parts, byStep }: LagMap): Float64Array {
  const T = byStep.length;
  return Float64Array.from({ length: (C + 1) * T }, (_, n) => {
    const [t, c] = [n % T, Math.floor(n / T)];
    return c === C ? byStep[t] : parts[t * C + c];
  });
}

const signed = (value: number): string => tick(`${value > 0 ? "+" : ""}${seriesNumber(value)}`);

function cellSentence({ subject, name, features, last, map }: Lags, n: number): string {
  const T = map.byStep.length;
  const [t, c] = [n % T, Math.min(map.C, Math.floor(n / T))]; // the map may have become shorter
  const added = values(map)[c * T + t];
  const { offset, factor } = features[c] ?? { offset: 0, factor: 1 };
  const was = c < map.C ? ` (${tick(seriesNumber(offset + factor * (subject.source?.x[t * map.C + c] ?? NaN)))})` : "";
  return (
    `${c < map.C ? withUnit(features[c]) : "All features"} at ${subject.tokens[t]}, lag ${last + T - 1 - t}${was}: ${signed(added)}. Without ` +
    `it, the ${name} would be ${tick(seriesNumber(map.whole - added))} in place of ${tick(seriesNumber(map.whole))}.`
  );
}

function lagRows({ subject, features, last, map }: Lags): string[][] {
  const { C, parts, byStep } = map;
  const rows = Array.from(byStep, (all, t) => {
    const own = features.map((_, c) => String(parts[t * C + c]));
    return [subject.tokens[t], String(last + byStep.length - 1 - t), ...own, String(all)];
  });
  const names = features.map(({ name }) => name);
  const sums = ["all steps", "", ...Array.from(map.byFeature, String), ""];
  return [["date", "lag", ...names, "all features"], ...rows, sums];
}
