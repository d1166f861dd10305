// The divergence ribbons of all layers and directions, stacked: two strands, one for each run, as far apart as their
// states are.

import { GUTTER, type Layout, RIBBON, RIBBON_HEAD, type Scene, type Strip } from "studio/panels/compare/scene.js";
import { nextRound } from "studio/state/ranges.js";
import { Text } from "studio/ui/stage.js";

const TOGETHER = 1.25; // half the gap between equal strands, so that both are visible

export const RowLabel = ({ words, y, kind = "" }: { words: string; y: number; kind?: string }) => (
  <text class={`row-label ${kind}`} x={GUTTER - 10} y={y} text-anchor="end">
    {words.length > 8 ? `${words.slice(0, 7)}…` : words}
    <title>{words}</title>
  </text>
);

export const RibbonTitle = ({ scene: { strips, state }, layout }: { scene: Scene; layout: Layout }) => (
  <Text x={layout.left} y={layout.ribbons + 13} kind="ribbon-title" room={layout.total - layout.left}>
    {`distance in ${state}, ‖Δ${state}‖: a gap of full height is ${fullGap(strips)}`}
  </Text>
);

export function Ribbons({ scene: { strips, a }, layout }: { scene: Scene; layout: Layout }) {
  const scale = (RIBBON - 10) / fullGap(strips); // pixels for a distance of 1
  const height = RIBBON - 6;
  return (
    <>
      {strips.map((strip, k) => {
        const y = layout.ribbons + RIBBON_HEAD + k * RIBBON;
        const chosen = strip.name === a?.info.name ? " chosen" : "";
        return (
          <g class={`ribbon${chosen}`} data-track={strip.name}>
            <rect class="band" x={layout.left} y={y} width={layout.total - layout.left} height={height} rx={3} />
            <Strands {...{ strip, layout, scale, middle: y + height / 2 }} />
            <Marks {...{ strip, layout, scale, y, height }} />
            <RowLabel words={`${strip.name} ${strip.reverse ? "◂" : "▸"}`} y={y + RIBBON / 2} kind={chosen.trim()} />
          </g>
        );
      })}
    </>
  );
}

type Point = { x: number; gap: number };

function Strands({ strip, layout, scale, middle }: { strip: Strip; layout: Layout; scale: number; middle: number }) {
  const up = ({ gap }: Point) => middle - gap;
  const down = ({ gap }: Point) => middle + gap;
  const all = pieces(strip, layout, scale);
  const bridges = all.slice(1).map((piece, k) => [all[k][all[k].length - 1], piece[0]]);
  return (
    <>
      {all.map((piece) => (
        <path class="between" d={`M${curve(piece, up)} L${curve([...piece].reverse(), down)} Z`} />
      ))}
      {bridges.map((bridge) => (
        <path class="bridge" d={`M${curve(bridge, up)} M${curve(bridge, down)}`} />
      ))}
      {all.map((piece) => (
        <path class="strand a" d={`M${curve(piece, up)}`} />
      ))}
      {all.map((piece) => (
        <path class="strand b" d={`M${curve(piece, down)}`} />
      ))}
    </>
  );
}

/**
 * The paths of the strands, interrupted at columns that are not in both runs. Both strands start at one edge, from the
 * same state, and end at the other edge with the state after their last step.
 */
function pieces({ distance, reverse }: Strip, { centre, column }: Layout, scale: number): Point[][] {
  const all: Point[][] = [[]];
  distance.forEach((size, k) => {
    if (Number.isNaN(size)) all.push([]);
    else all[all.length - 1].push({ x: centre(k), gap: TOGETHER + (size * scale) / 2 });
  });
  const [first, last] = [all[0], all[all.length - 1]];
  const left = { x: centre(0) - column / 2, gap: reverse ? first[0]?.gap : TOGETHER };
  const right = { x: centre(distance.length - 1) + column / 2, gap: reverse ? TOGETHER : last[last.length - 1]?.gap };
  if (first.length) first.unshift(left);
  if (last.length) last.push(right);
  return all.filter((piece) => piece.length);
}

/** A smooth line through points, horizontal at each, so that it does not overshoot. */
function curve(points: Point[], y: (point: Point) => number): string {
  const rest = points.slice(1).map((to, k) => {
    const from = points[k];
    const middle = (from.x + to.x) / 2;
    return `C${middle} ${y(from)} ${middle} ${y(to)} ${to.x} ${y(to)}`;
  });
  return `${points[0].x} ${y(points[0])} ${rest.join(" ")}`;
}

/**
 * Where the runs diverge, are furthest apart and converge. The greatest distance is labelled between the strands if
 * there is room; other labels are at the column's edge.
 */
function Marks(props: { strip: Strip; layout: Layout; scale: number; y: number; height: number }) {
  const { strip, layout, scale, y, height } = props;
  const { distance, reverse, parting } = strip;
  const { first, widest, meets } = parting;
  if (first < 0) return null;
  const isRoomy = distance[widest] * scale > 18;
  const edge = (k: number, kind: string, words: string) => (
    <text
      {...{ class: `ribbon-mark ${kind}`, y: y + height - 4, "text-anchor": reverse ? "end" : "start" }}
      x={layout.centre(k) + (reverse ? 1 : -1) * (layout.column / 2 - 5)}
    >
      {words}
    </text>
  );
  return (
    <>
      <text class="ribbon-mark" x={layout.centre(widest)} y={isRoomy ? y + height / 2 + 4 : y + 11}>
        {distance[widest].toFixed(2)}
      </text>
      {edge(first, "first", reverse ? "part ◂" : "▸ part")}
      {meets >= 0 && meets !== widest && edge(meets, "meets", "meet")}
    </>
  );
}

/** The greatest distance, rounded up. */
function fullGap(strips: Strip[]): number {
  const sizes = strips.flatMap(({ distance }) => Array.from(distance).filter((size) => !Number.isNaN(size)));
  return nextRound(0.999 * Math.max(0.1, ...sizes));
}
