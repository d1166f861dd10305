// The boxes of the circuit: gates, and the incoming and outgoing states.

import type { Scene } from "studio/panels/microscope/types.js";
import { type Moment, memoryBefore, squashName } from "studio/state/moment.js";
import { format } from "studio/ui/draw.js";
import { changeText, gateEffect } from "studio/ui/moment-words.js";
import { Press, Text, type Box } from "studio/ui/stage.js";

type Placed = { moment: Moment; box: Box };
type GateProps = Placed & { scene: Scene; gate: string; open: () => void };

/** A gate: its value, how far it is open, what that means, and its pre-activation. */
export function GateBox({ scene, moment, gate, box, open }: GateProps) {
  const { cell, meanings } = scene.model;
  const { values, sums, computed } = moment;
  const { x, y, width } = box;
  const room = width - 20;
  const isEdited = gate in computed;
  const said = isEdited ? "edited" : gateEffect(gate, values[gate]);
  const meter = { x: x + 10, y: y + 32, width: width - 20, height: 6 };
  return (
    <g class={`hs-gate hs-gate-${gate}`}>
      <Press label={`${meanings[gate]}: see how it is computed`} press={open}>
        <rect {...box} rx={8} class="hs-gate-back" stroke={`var(--q-${gate})`} />
        <Text x={x + 10} y={y + 22} kind="hs-letter" text={gate} />
        <Text x={x + 10} y={y + 52} kind="hs-meaning" room={room} text={meanings[gate]} />
        <Meter {...{ gate, value: values[gate], box: meter, isSigned: cell.activations[gate] !== "sigmoid" }} />
        <Text x={x + 10} y={y + 65} kind="hs-soft" room={room} text={said} />
        <Text x={x + 10} y={y + 78} kind="hs-soft hs-mono" room={room}>
          {sums[gate] && `${squashName(cell, gate)}(${format(sums[gate].sum)})`}
        </Text>
      </Press>
      <Value
        {...{ value: values[gate], quantity: gate, anchor: "end", isEdited, edit: scene.edit }}
        box={{ x: x + width - 76, y: y + 4, width: 70, height: 23 }}
        label={`${meanings[gate]} ${format(values[gate])}`}
      />
    </g>
  );
}

/** A bar for how far a gate is open, or how far the candidate is from zero. */
function Meter({ gate, value, box, isSigned }: { gate: string; value: number; box: Box; isSigned: boolean }) {
  const zero = isSigned ? box.x + box.width / 2 : box.x;
  const scale = isSigned ? box.width / 2 : box.width;
  const length = Math.max(-1, Math.min(1, value || 0)) * scale;
  return (
    <>
      <rect {...box} rx={3} class="hs-meter" />
      <rect
        {...{ x: Math.min(zero, zero + length), y: box.y, width: Math.abs(length), height: box.height, rx: 3 }}
        class="hs-moves"
        fill={`var(--q-${gate})`}
      />
      {isSigned && <line x1={zero} x2={zero} y1={box.y - 2} y2={box.y + box.height + 2} class="hs-axis" />}
    </>
  );
}

/** A number in a box, which is a button if the number can be edited. */
function Value(props: {
  value: number;
  quantity: string;
  box: Box;
  anchor: "middle" | "end";
  label: string;
  isEdited: boolean;
  edit: Scene["edit"];
}) {
  const { box, anchor, label, isEdited, edit, quantity } = props;
  const x = anchor === "end" ? box.x + box.width - 6 : box.x + box.width / 2;
  const kind = isEdited ? "hs-value is-edited" : "hs-value";
  const parts = (
    <>
      <rect {...box} rx={5} class="hs-value-back" />
      <rect x={box.x} y={box.y} width={4} height={box.height} rx={2} class="hs-value-mark" />
      <Text
        {...{ x, y: box.y + box.height / 2 + 5, anchor, room: box.width - 12 }}
        kind="hs-number"
        text={format(props.value)}
      />
    </>
  );
  if (edit === null) return <g class={kind}>{parts}</g>;
  return (
    <Press
      kind={kind}
      label={`${label}${isEdited ? ", edited" : ""}. Press to edit`}
      press={(element) => edit(quantity, element)}
    >
      {parts}
    </Press>
  );
}

type StateProps = Placed & { name: string; words: string; edit: Scene["edit"]; isChange?: boolean };

/** A state ("c", "c_prev", "h"): its name, its value, its source or destination, and the change of the memory. */
export function StateBox({ name, moment, box, words, edit, isChange = false }: StateProps) {
  const { x, y, width } = box;
  const { cell, values, computed, shown } = moment;
  const key = name === "h" ? shown : name;
  const half = (width - 20) / 2; // beside the name; states that show a change have short names
  const by = values[key] - values[memoryBefore(cell)];
  const number = format(values[key]);
  const said = key in computed ? "edited" : words;
  return (
    <g class={`hs-state hs-state-${name}`}>
      <rect {...box} rx={8} class="hs-state-back" stroke={`var(--q-${name[0]})`} />
      <Text x={x + 8} y={y + 16} kind="hs-letter hs-small" room={isChange ? half - 20 : width - 16} text={key} />
      <Text x={x + width - 8} y={y + 15} kind="hs-soft hs-mono hs-change" anchor="end" room={half + 20}>
        {isChange && `${by < 0 ? "↓" : "↑"}${format(Math.abs(by))}`}
      </Text>
      <Value
        {...{ value: values[key], quantity: name, anchor: "middle", isEdited: key in computed, edit }}
        box={{ x: x + 3, y: y + 18, width: width - 6, height: 21 }}
        label={`${key} ${number}${isChange ? `, ${changeText(moment)}` : ""}`}
      />
      <Text x={x + width / 2} y={y + 50} kind="hs-soft" anchor="middle" room={width - 6} text={said} />
    </g>
  );
}

type PartProps = Placed & { name: string; gate: string; about: string; open: () => void };

/** A part of a gate's sum ("n_h", "from_x"): its name, its value and its equation; `open`: shows the whole sum. */
export function PartBox({ name, gate, about, moment, box, open }: PartProps) {
  const { x, y, width, height } = box;
  const spoken = name.replace("_", " ");
  const value = format(moment.values[name]);
  return (
    <Press kind="hs-part-of-sum" label={`${spoken} ${value}: see how it is computed`} press={open}>
      <rect {...box} rx={8} class="hs-state-back" stroke={`var(--q-${gate})`} stroke-dasharray="4 3" />
      <Text x={x + 10} y={y + 20} kind="hs-letter hs-small" room={width / 2 - 14}>
        {name.startsWith("from") ? spoken : name}
      </Text>
      <Text x={x + width - 12} y={y + 21} kind="hs-number" anchor="end" room={width / 2 - 6} text={value} />
      <Text x={x + 10} y={y + height - 12} kind="hs-soft hs-mono" room={width - 20} text={about} />
    </Press>
  );
}
