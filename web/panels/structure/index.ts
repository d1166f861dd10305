// The structure page: the weights by gate, the network unrolled over the words, and a sandbox for sizes.

import { sandboxPanel } from "studio/panels/structure/sandbox.js";
import { unrolledPanel } from "studio/panels/structure/unrolled.js";
import { weightsPanel } from "studio/panels/structure/weights.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";

export function mountStructure(app: App): HTMLElement {
  return element("div", { class: "structure", id: "structure" }, [
    unrolledPanel(app),
    weightsPanel(app),
    sandboxPanel(app),
  ]);
}
