// The whole model at one step, from its input at the bottom to its prediction at the top. Each layer can be opened.

import { type Stacked, stackedBoxes } from "studio/panels/microscope/stack.js";
import type { Scene } from "studio/panels/microscope/types.js";
import { findHead, likeliest } from "studio/state/predictions.js";
import { shortToken, stepName } from "studio/state/tokens.js";
import { trackOf } from "studio/state/units.js";
import type { Head, TrackInfo } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { percent } from "studio/ui/draw.js";
import { Press, Text, useFit } from "studio/ui/stage.js";

const CHOICES = 3;

export function ModelLevel({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { model, run, width } = scene;
  const root = useFit<SVGSVGElement>();
  const { boxes, links, height } = stackedBoxes(model, run, width);
  const step = Math.min(view.step, run.steps - 1);
  const head = findHead(run, view.head);
  return (
    <svg {...{ ref: root, class: "hs-model", width, height, role: "group" }} aria-label={`The parts of ${model.name}`}>
      {links.map(({ path, label, x, y }) => (
        <>
          <path class="hs-link" d={path} />
          <text x={x} y={y} class="hs-soft hs-mono">
            {label}
          </text>
        </>
      ))}
      {boxes.map((box) => {
        if (box.kind === "track")
          return <TrackBox {...{ box, scene, step, isChosen: box.track?.name === view.track }} />;
        if (box.kind === "head") return head && <HeadBox {...{ box, head, step }} />;
        if (box.kind === "part") return <Frame box={box} />;
        return (
          <Text
            {...{ x: box.x + box.width / 2, y: box.y + 18, anchor: "middle", room: box.width - 8 }}
            kind="hs-token-word"
          >
            {stepName(run, step)}
          </Text>
        );
      })}
    </svg>
  );
}

function Frame({ box: { kind, x, y, width, height, label, shape } }: { box: Stacked }) {
  const isNarrow = kind === "part"; // too narrow for a name and a shape side by side
  const room = width - 20;
  const size = isNarrow
    ? ({ x: x + 10, y: y + 32, anchor: "start", room } as const)
    : ({ x: x + width - 10, y: y + 17, anchor: "end", room: 0.45 * room } as const);
  return (
    <>
      <rect {...{ x, y, width, height, rx: 8 }} class={`hs-box hs-box-${kind}`} />
      <Text x={x + 10} y={y + 17} kind="hs-box-name" room={isNarrow ? room : 0.5 * room}>
        {label}
      </Text>
      <Text {...size} kind="hs-soft hs-mono">
        {shape}
      </Text>
    </>
  );
}

/** A layer and direction: all units of h at this step, as small bars above and below zero. */
function TrackBox({ box, scene, step, isChosen }: { box: Stacked; scene: Scene; step: number; isChosen: boolean }) {
  const { name, units, outputs } = box.track as TrackInfo;
  const [x, width] = [box.x + 10, box.width - 20];
  const [zero, reach] = [box.y + (box.height + 22) / 2, (box.height - 30) / 2];
  const values = trackOf(scene.run, name).values.h.subarray(step * outputs, (step + 1) * outputs);
  const wide = width / outputs,
    bar = Math.max(0.5, Math.min(wide * 0.8, 12)).toFixed(2);
  const bars = (sign: number) =>
    Array.from(values, (value, k) =>
      value * sign > 0 ? `M${(x + k * wide).toFixed(2)} ${zero}h${bar}v${(-value * reach).toFixed(2)}h-${bar}z` : "",
    ).join("");
  return (
    <Press
      kind={isChosen ? "is-chosen" : ""}
      label={`${name}, ${units} units: open`}
      press={() => scene.go({ zoom: "layer", track: name })}
    >
      <Frame box={box} />
      <line x1={x} x2={x + width} y1={zero} y2={zero} class="hs-axis" />
      <path fill="var(--plus)" d={bars(1)} />
      <path fill="var(--minus)" d={bars(-1)} />
    </Press>
  );
}

/** The model's prediction at this step: its likeliest labels. */
function HeadBox({ box, head, step }: { box: Stacked; head: Head; step: number }) {
  const label = box.label.startsWith(head.name) ? box.label : `${box.label}: ${head.name}`;
  const [from, room] = [box.x + 96, box.width - 96 - 62];
  return (
    <>
      <Frame box={{ ...box, label }} />
      {likeliest(head, step, CHOICES).map(({ label: name, probability }, k) => {
        const y = box.y + 25 + k * 19;
        return (
          <>
            <rect
              {...{ x: from, y: y + 2, width: Math.max(1, probability * room), height: 11, rx: 2 }}
              fill="var(--accent)"
            />
            <Text x={box.x + 10} y={y + 12} kind="hs-choice" room={82}>
              {shortToken(name, 11)}
            </Text>
            <Text x={box.x + box.width - 10} y={y + 12} kind="hs-soft hs-mono" anchor="end" room={48}>
              {percent(probability)}
            </Text>
          </>
        );
      })}
    </>
  );
}

export function modelRows({ model }: Scene): string[][] {
  return [["part", "shape"], ...model.parts.map(({ label, shape }) => [label, shape.join("×")])];
}
