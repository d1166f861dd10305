// The controls that choose the memory: the most telling one, or a layer, direction and unit.

import type { Scene } from "studio/panels/ledger/memory.js";
import { trackTitle } from "studio/state/units.js";
import { useApp, useDraft } from "studio/ui/app.js";
import { Select } from "studio/ui/form.js";

const TELLING =
  "The unit of the last layer whose memory of other steps adds most to the target or subtracts most from it: " +
  "the largest |effect \u00b7 what is kept|. If no other step is in memory, the largest |effect \u00b7 memory|";

export function MemoryControls({ scene }: { scene: Scene }) {
  const { store } = useApp();
  const typing = useDraft(scene.unit); // pointing at words draws this again
  const { tracks, cell } = scene.explained.subject;
  const infos = tracks.map(({ info }) => info);
  const twoWays = infos.some(({ reverse }) => reverse);
  const choose = (track: string, unit: number) => store.set({ memory: `${track}.${cell.memory}[${unit}]` });
  const take = (unit: number) => {
    if (Number.isInteger(unit) && unit >= 0 && unit < infos[0].units) choose(scene.track, unit);
  };
  return (
    <>
      <Select
        label="Memory of"
        options={infos.map((info) => ({ value: info.name, text: `${info.name}: ${trackTitle(info, twoWays)}` }))}
        value={scene.track}
        choose={(track) => choose(track, scene.unit)}
      />
      <label class="field">
        <span>unit</span>
        <input
          {...{ type: "number", class: "ledger-unit", min: 0, max: infos[0].units - 1, step: 1 }}
          {...{ "aria-label": "Unit of the memory", ...typing }}
          onChange={({ currentTarget }) => take(currentTarget.valueAsNumber)}
        />
      </label>
      {scene.whole !== null && (
        <button type="button" title={TELLING} aria-pressed={scene.own} onClick={() => store.set({ memory: "" })}>
          Most telling
        </button>
      )}
    </>
  );
}
