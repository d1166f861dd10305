// The structure page: the network unrolled over the words, the weights by gate, and a sandbox for sizes.

import { useComputed } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { outputText, type Plan, planTitle, unroll, UnrolledPicture } from "studio/panels/structure/picture.js";
import { SandboxPanel } from "studio/panels/structure/sandbox.js";
import { flows, modelSizes } from "studio/panels/structure/sizes.js";
import { WeightsPanel } from "studio/panels/structure/weights.js";
import { shortToken } from "studio/state/run.js";
import type { Model, Run } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Panel, Unread } from "studio/ui/panel.js";

export const StructurePanel = () => (
  <div class="structure" id="structure">
    <UnrolledPanel />
    <WeightsPanel />
    <SandboxPanel />
  </div>
);

const MOST = 48; // steps drawn at a time: a sentence is drawn whole, a long text in parts

const HELP =
  "The same layers, drawn once for each step: the boxes of a row share their weights. Orange is c, the " +
  "long-term memory of an LSTM; blue is h, which also goes up to the next layer and, from the " +
  "last one, out. Every line is labelled with the shape it carries. Click a box to look inside at that step.";

function UnrolledPanel() {
  const { session, view } = useApp();
  const first = useComputed(() => {
    const steps = session.run?.steps ?? 0;
    return steps <= MOST ? 0 : Math.min(Math.floor(view.step / MOST) * MOST, steps - 1);
  });
  const plan = useComputed(() => {
    const { model, run } = session;
    if (!model || !run) return null;
    const words = run.tokens.slice(first.value, first.value + MOST).map((word) => shortToken(word, 14));
    return unroll(modelSizes(model), words, { first: first.value, steps: run.steps });
  });
  const { model, run } = session;
  return (
    <Panel
      {...{ id: "unrolled", title: "The network unrolled", help: HELP }}
      picture={() => plan.value && <UnrolledPicture plan={plan.value} />}
      exports={{ csv: () => (model && run ? shapeRows(model, run) : []) }}
      draw={() => (
        <>
          <Unread />
          {plan.value && <Network plan={plan.value} />}
        </>
      )}
    />
  );
}

function Network({ plan }: { plan: Plan }) {
  const { store, view } = useApp();
  const { first, words, steps, sizes } = plan;
  const holder = useRef<HTMLDivElement>(null);
  const step = Math.min(view.step, steps - 1);
  useLayoutEffect(() => {
    const { current } = holder;
    const [x, half] = [plan.stepX(step - first), plan.column / 2];
    if (!current || (x - half >= current.scrollLeft && x + half <= current.scrollLeft + current.clientWidth)) return;
    current.scrollLeft = x - current.clientWidth / 2;
  }, [plan, step]);
  const part = words.length < steps ? ` Steps ${first} to ${first + words.length - 1} of ${steps} are drawn.` : "";
  return (
    <>
      <div
        {...{ ref: holder, class: "st-scroll", tabindex: 0, role: "region" }}
        aria-label="The network (scrolls sideways)"
      >
        <UnrolledPicture
          {...{ plan, step, track: view.track }}
          open={(at, track) => store.set({ page: "read", step: at, track, zoom: "layer" })}
        />
      </div>
      <p class="soft st-notes">{`${planTitle(sizes)}. ${outputText(sizes)}${part}`}</p>
    </>
  );
}

function shapeRows(model: Model, run: Run): string[][] {
  const rows = flows(modelSizes(model), { T: run.steps, N: 1, batchFirst: false });
  return [
    ["tensor", "axes", "shape", "meaning"],
    ...rows.map(({ name, letters, shape, meaning }) => [name, letters.join(", "), shape.join("×"), meaning]),
  ];
}
