// The sandbox: the user changes the sizes of a layer, and all shapes follow.

import { fields } from "studio/panels/structure/fields.js";
import { unrolledPicture } from "studio/panels/structure/picture.js";
import { planOf } from "studio/panels/structure/plan.js";
import { claims, codeLines, parameterRows, results, shapeRows } from "studio/panels/structure/results.js";
import { type Setup, LESSON, readSetup, writeSetup } from "studio/panels/structure/setup.js";
import { refusal, sizesOf } from "studio/panels/structure/sizes.js";
import { type CellKind, KINDS } from "studio/runtime/kinds.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";

const HELP =
  "A hypothetical layer with the cell of this model: choose its sizes, and see what goes in, what comes out, which parameters it " +
  "has and what its equations multiply. The letters are used throughout the page: T time steps, N rows of " +
  "the batch, C input features, H hidden units, P projected units, L layers, D directions.";
/** the cell until a model is loaded */
const NONE: CellKind = { ...KINDS.LSTM, gates: [], states: [] };
const DRAWN_STEPS = 4;
const DRAWN_LAYERS = 4;

export function sandboxPanel({ store, session }: App): HTMLElement {
  const code = element("pre", { class: "st-code number" });
  const refused = element("p", { class: "st-refused", role: "alert" });
  const out = element("div", { class: "st-results" });
  const claimed = element("div", { class: "st-claims" });
  const drawing = element("div", {
    class: "st-scroll st-drawing",
    tabindex: 0,
    role: "region",
    "aria-label": "The layer unrolled",
  });
  const drawn = element("p", { class: "soft st-notes" });
  const setup: () => Setup = () => ({ ...readSetup(store.get().sandbox), cell: session.model?.cell ?? NONE });
  const change = (patch: Partial<Setup>) => store.set({ sandbox: writeSetup({ ...setup(), ...patch }) });
  const controls = fields(change);
  const picture = () => drawing.firstElementChild as SVGSVGElement;
  const { root, body } = panel({
    id: "sandbox",
    title: "Sandbox: sizes and shapes",
    help: HELP,
    exports: {
      svg: picture,
      png: picture,
      csv: () => [...shapeRows(setup()), [], ...parameterRows(setup())],
    },
  });
  const show = () => {
    const now = setup(),
      why = refusal(now);
    controls.show(now);
    refused.textContent = why;
    root.classList.toggle("is-refused", why !== "");
    if (why) return;
    code.textContent = codeLines(now);
    claimed.replaceChildren(claims(now));
    out.replaceChildren(...results(now, session.model?.gates ?? []));
    drawing.replaceChildren(pictureOf(now));
    drawn.textContent = drawnOf(now);
  };
  const ours = element("button", {
    type: "button",
    text: "the sizes of this model",
    on: {
      click: () => session.model && change(sizesOf(session.model)),
    },
  });
  const lesson = element("button", {
    type: "button",
    text: "the lesson's (4, 3)",
    on: { click: () => change(LESSON) },
  });
  const left = [element("div", { class: "st-presets" }, [lesson, ours]), controls.root, refused, copied(code), claimed];
  body.append(
    element("div", { class: "st-sandbox" }, [element("div", { class: "st-left" }, left), out]),
    drawing,
    drawn,
  );
  session.on("model", show);
  store.subscribe(["sandbox"], show);
  show();
  return root;
}

/** Lines of code with a copy button. */
function copied(code: HTMLElement): HTMLElement {
  const said = element("span", { class: "soft", role: "status" });
  const copy = async () => {
    const done = await navigator.clipboard.writeText(code.textContent ?? "").then(
      () => true,
      () => false,
    );
    if (!done) getSelection()?.selectAllChildren(code);
    said.textContent = done ? "copied" : "selected: copy it with Ctrl+C";
  };
  const button = element("button", { type: "button", text: "Copy", on: { click: copy } });
  return element("div", { class: "st-copied" }, [code, element("div", {}, [button, said])]);
}

/** The drawing, with a few steps and layers. */
function pictureOf(setup: Setup): SVGSVGElement {
  const words = Array.from({ length: Math.min(setup.T, DRAWN_STEPS) }, (_, t) => `step ${t}`);
  const sizes = { ...setup, numLayers: Math.min(setup.numLayers, DRAWN_LAYERS) };
  return unrolledPicture(planOf(sizes, words, { rows: setup.N, steps: setup.T, layers: setup.numLayers }), null).root;
}

function drawnOf({ T, numLayers }: Setup): string {
  const left = [
    T > DRAWN_STEPS && `${DRAWN_STEPS} of ${T} steps`,
    numLayers > DRAWN_LAYERS && `${DRAWN_LAYERS} of ${numLayers} layers`,
  ];
  const said = left.filter(Boolean).join(" and ");
  return said && `${said} are drawn.`;
}
