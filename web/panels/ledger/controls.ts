// The controls that choose the memory: the most telling one, or a layer, direction and unit.

import type { Scene } from "studio/panels/ledger/memory.js";
import type { App } from "studio/state/types.js";
import { trackTitle } from "studio/state/units.js";
import { chooser } from "studio/ui/controls.js";
import { element, set } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";

export function memoryControls({ store }: App): { root: HTMLElement; show: (scene: Scene) => void } {
  let [track, units, memory] = ["", 1, "c"];
  const look = (name: string, unit: number) => {
    store.set({ memory: `${name}.${memory}[${unit}]` });
  };
  const layer = chooser("Memory of", (name) => look(name, Number(number.value)));
  const number = element("input", {
    ...{ type: "number", class: "ledger-unit", min: 0, step: 1, "aria-label": "Unit of the memory" },
    on: {
      change: () => {
        const unit = number.valueAsNumber;
        if (Number.isInteger(unit) && unit >= 0 && unit < units) look(track, unit);
      },
    },
  });
  const telling = button("Most telling", () => store.set({ memory: "" }), {
    title:
      "The unit of the last layer whose memory of other steps adds most to the target or subtracts most from it: " +
      "the largest |effect \u00b7 what is kept|. If no other step is in memory, the largest |effect \u00b7 memory|",
  });
  const root = element("div", { class: "panel-tools" }, [
    layer.root,
    element("label", { class: "field" }, [element("span", { text: "unit" }), number]),
    telling,
  ]);
  const show = (scene: Scene) => {
    const infos = scene.explained.subject.tracks.map(({ info }) => info);
    const twoWays = infos.some(({ reverse }) => reverse);
    const options = infos.map((info) => ({ value: info.name, text: `${info.name}: ${trackTitle(info, twoWays)}` }));
    layer.fill([{ label: "", options }], scene.track);
    [track, units, memory] = [scene.track, infos[0].units, scene.explained.subject.cell.memory];
    number.max = String(units - 1);
    if (document.activeElement !== number) number.value = String(scene.unit);
    telling.hidden = scene.whole === null;
    set(telling, "aria-pressed", String(scene.own));
  };
  return { root, show };
}
