// The structure page: the network unrolled over the words, the weights by gate, and a sandbox for sizes.

import { SandboxPanel } from "studio/panels/structure/sandbox.js";
import { UnrolledPanel } from "studio/panels/structure/unrolled.js";
import { WeightsPanel } from "studio/panels/structure/weights.js";

export function StructurePanel() {
  return (
    <div class="structure" id="structure">
      <UnrolledPanel />
      <WeightsPanel />
      <SandboxPanel />
    </div>
  );
}
