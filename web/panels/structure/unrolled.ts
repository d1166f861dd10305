// The network unrolled over the words of the sentence, with the page's cursor in it.

import { unrolledPicture } from "studio/panels/structure/picture.js";
import { type Plan, aboutOut, planOf, titleOf } from "studio/panels/structure/plan.js";
import { flowsOf, sizesOf } from "studio/panels/structure/sizes.js";
import { shortToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { panel, unread } from "studio/ui/panel.js";
import { whenSeen } from "studio/ui/visibility.js";

const MOST = 48; // steps drawn at a time

const HELP =
  "The same layers, drawn once for each step: the boxes of a row share their weights. Orange is c, the " +
  "long-term memory of an LSTM; blue is h, which also goes up to the next layer and, from the " +
  "last one, out. Every line is labelled with the shape it carries. Click a box to look inside at that step.";

export function unrolledPanel({ store, session }: App): HTMLElement {
  const holder = element("div", {
    class: "st-scroll",
    tabindex: 0,
    role: "region",
    "aria-label": "The network (scrolls sideways)",
  });
  const notes = element("p", { class: "soft st-notes" });
  let drawn: { picture: ReturnType<typeof unrolledPicture>; plan: Plan } | null = null;
  const picture = () => drawn?.picture.root ?? null;
  const { root, body } = panel({
    id: "unrolled",
    title: "The network unrolled",
    help: HELP,
    exports: {
      svg: picture,
      png: picture,
      csv: () => shapesTable(session),
    },
  });
  const draw = () => {
    const { model, run } = session;
    if (!model || !run) {
      drawn = null;
      notes.textContent = "";
      return holder.replaceChildren();
    }
    const sizes = sizesOf(model),
      first = firstShown(store.get().step, run.steps);
    const words = run.tokens.slice(first, first + MOST).map((word) => shortToken(word, 14));
    const plan = planOf(sizes, words, { first, steps: run.steps });
    drawn = {
      plan,
      picture: unrolledPicture(plan, (step, track) =>
        store.set({ page: "read", step, track: track.name, zoom: "layer" }),
      ),
    };
    holder.replaceChildren(drawn.picture.root);
    const part =
      words.length < run.steps ? ` Steps ${first} to ${first + words.length - 1} of ${run.steps} are drawn.` : "";
    notes.textContent = `${titleOf(sizes)}. ${aboutOut(sizes)}${part}`;
    point();
  };
  const point = () => {
    if (!drawn || !session.run || root.clientWidth === 0) return;
    const { track, step: wanted } = store.get(),
      step = Math.min(wanted, session.run.steps - 1);
    const { first, words } = drawn.plan;
    if (step < first || step >= first + words.length) return draw();
    drawn.picture.point(step, track);
    show(holder, drawn.plan.stepX(step - first), drawn.plan.column);
  };
  body.append(unread(session), holder, notes);
  const refresh = whenSeen(root, draw);
  session.on("run", refresh);
  store.subscribe(["step", "track"], point);
  new ResizeObserver(point).observe(holder);
  refresh();
  return root;
}

/** The first step to draw: a sentence is drawn whole, a long text in parts. */
function firstShown(step: number, steps: number) {
  return steps <= MOST ? 0 : Math.min(Math.floor(step / MOST) * MOST, steps - 1);
}

/** Scrolls a column into view. */
function show(holder: HTMLElement, x: number, column: number) {
  const { scrollLeft, clientWidth } = holder;
  if (x - column / 2 < scrollLeft || x + column / 2 > scrollLeft + clientWidth) holder.scrollLeft = x - clientWidth / 2;
}

function shapesTable({ model, run }: App["session"]): string[][] {
  if (!model || !run) return [];
  const flows = flowsOf(sizesOf(model), { T: run.steps, N: 1, batchFirst: false });
  return [
    ["tensor", "axes", "shape", "meaning"],
    ...flows.map(({ name, letters, shape, meaning }) => [name, letters.join(", "), shape.join("×"), meaning]),
  ];
}
