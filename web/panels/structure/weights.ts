// The panel of weights: torch's stacked matrices of one layer and direction, and a table of all weights by name.

import { colourBar } from "studio/panels/structure/bar.js";
import { matrixFigure } from "studio/panels/structure/figure.js";
import type { Figure, Matrix } from "studio/panels/structure/layout.js";
import { trackPicker } from "studio/panels/structure/picker.js";
import type { Scale } from "studio/panels/structure/scale.js";
import { weightsRows, weightsTable } from "studio/panels/structure/table.js";
import type { App } from "studio/state/types.js";
import type { Model, TrackInfo } from "studio/types.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";
import { onTheme } from "studio/ui/theme.js";

const HELP =
  "Every weight of one layer and direction, stacked as in torch: the gates on top of one another, a row " +
  "for each unit. W_i weighs the layer's input x, W_h the previous hidden state; W_hr, if there " +
  "is a projection, has a row for each element of h. Point at a " +
  "weight to read it by name; click to see what it adds at the current step.";

export function weightsPanel({ store, session }: App): HTMLElement {
  const trackOf = ({ tracks }: Model) => tracks.find(({ name }) => name === store.get().track) ?? tracks[0];
  const figure = matrixFigure((gate, unit) => store.set({ page: "read", unit, gate, zoom: "gate" }));
  const picture = () => (session.model?.hasWeights ? figure.picture() : null);
  const { root, body, tools } = panel({
    id: "weights",
    title: "Weights by gate",
    help: HELP,
    exports: {
      svg: picture,
      png: picture,
      csv: () => (session.model ? weightsRows(session.model, trackOf(session.model)) : []),
    },
  });
  const none = element("p", {
    class: "hs-why",
    text: "A recorded run has no weights. Open the model itself to see them.",
  });
  const caption = element("p", { class: "soft st-notes" });
  const table = element("details", { class: "st-table" });
  const bar = colourBar();
  const picker = trackPicker((track) => store.set({ track }));
  tools.append(picker.root, bar.root);
  body.append(none, figure.root, caption, table);

  let built = "";
  let shown: Model | null = null;
  const draw = (again = false) => {
    const { model } = session;
    if (!model || body.clientWidth === 0) return;
    const track = trackOf(model),
      key = [track.name, body.clientWidth].join();
    picker.show(model.tracks, track.name);
    if (key === built && shown === model && !again) return;
    [built, shown] = [key, model];
    none.hidden = model.hasWeights;
    for (const part of [figure.root, caption, table, bar.root]) part.toggleAttribute("hidden", !model.hasWeights);
    if (!model.hasWeights) return;
    const { figure: drawn, scale } = figure.show(model, track, (matrix) => belowOf(model, track, matrix));
    bar.draw(scale.limit);
    caption.textContent = captionOf(drawn, scale);
    table.replaceChildren(
      element("summary", { text: `All weights of ${track.name} by name` }),
      weightsTable(model, track),
    );
  };
  session.on("run", () => draw());
  store.subscribe(["track", "page"], () => draw());
  onTheme(() => draw(true));
  new ResizeObserver(() => draw()).observe(body);
  draw();
  return root;
}

/** The meaning of a matrix's columns. */
function belowOf({ tracks }: Model, track: TrackInfo, { short }: Matrix): string {
  if (short === "W_h") return `h_prev: ${track.outputs}`;
  if (short === "W_hr") return `o·tanh(c): ${track.units}`;
  if (short !== "W_i") return "";
  const below = tracks
    .filter(({ layer }) => layer === track.layer - 1)
    .map(({ name, outputs }) => `${name}.h ${outputs}`);
  return `x: ${below.join(" | ") || track.inputSize}`;
}

/** Explains what a point of the picture stands for, and how many weights are outside the colour scale. */
function captionOf({ pixel, block }: Figure, { limit, beyond, count }: Scale): string {
  const size = pixel > 1 ? `A weight is ${pixel} × ${pixel} pixels.` : "A weight is one pixel.";
  const point = block > 1 ? `Each pixel covers ${block} × ${block} weights and shows the one farthest from 0.` : size;
  const left = beyond
    ? ` Colours reach ±${limit}; ${beyond.toLocaleString("en")} of ${count.toLocaleString("en")} weights are outside that range.`
    : "";
  return point + left;
}
