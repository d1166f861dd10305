// What the model predicts: the tokens, each a button, with the labels, and the whole distribution at the cursor.

import { useSignalEffect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import {
  findHead,
  isFormless,
  likeliest,
  predictionAt,
  quantityWidth,
  shortToken,
  shownToken,
  trackOf,
} from "studio/state/run.js";
import type { Head, Run, Track } from "studio/types.js";
import { useApp, useDerived } from "studio/ui/app.js";
import { percent } from "studio/ui/draw.js";
import { colour } from "studio/ui/scales.js";
import { Text, useBox } from "studio/ui/stage.js";

const LONGEST = 32; // maximum number of characters in a token
const MOST_NATS = 8; // surprise, in nats, from which a token has the darkest shade

export function Words() {
  const { session, view } = useApp();
  const { run, plain, model } = session;
  const list = useRef<HTMLOListElement>(null);
  const box = useBox(list);
  const places = useRef<{ top: number; bottom: number }[]>([]);
  const seen = useRef({ top: 0, height: 0 });
  const buttons = () => [...(list.current?.querySelectorAll("button") ?? [])];
  // Positions are measured once per run, because measuring at each step would force a page layout.
  useLayoutEffect(() => {
    const { scrollHeight, clientHeight } = list.current as HTMLOListElement;
    seen.current = { top: list.current?.scrollTop ?? 0, height: clientHeight };
    const measure = ({ offsetTop: top, offsetHeight }: HTMLElement) => ({ top, bottom: top + offsetHeight });
    places.current = scrollHeight <= clientHeight ? [] : buttons().map(measure);
  }, [run, view.head, box.value]);
  useSignalEffect(() => {
    const [{ step }, { current }] = [view, list];
    if (current?.contains(document.activeElement)) buttons()[step]?.focus({ preventScroll: true });
    const place = places.current[step];
    if (!current || !place) return;
    const { top, height } = seen.current;
    const wanted = place.top < top ? place.top - 4 : Math.max(top, place.bottom - height + 4);
    if (wanted !== top) current.scrollTop = seen.current.top = wanted; // scrolls the list, never the page
  });
  const isDense = (run?.steps ?? 0) > 60 || model?.unit === "character";
  return (
    <ol
      ref={list}
      class={isDense ? "words dense" : "words"}
      aria-label="The input, step by step"
      onScroll={({ currentTarget }) => (seen.current.top = currentTarget.scrollTop)}
    >
      {run?.tokens.map((_, t) => (
        <li>
          <Word {...{ run, plain, head: view.head, t }} />
        </li>
      ))}
    </ol>
  );
}

/** @param props.plain the run without edits */
function Word({ run, plain, head, t }: { run: Run; plain: Run | null; head: string; t: number }) {
  const { store, player, view } = useApp();
  const isCurrent = useDerived(() => view.step === t, [t]).value;
  const token = run.tokens[t];
  const known = run.known[t] ?? true;
  const prediction = run.surprise ? surprised(run.surprise[t]) : run.heads.length > 0 && tagged(run, plain, head, t);
  const about = [
    isFormless(token) ? `${shownToken(token)}, which is invisible` : shownToken(token),
    known ? "" : "not in the vocabulary",
    prediction ? prediction.about : "",
  ];
  return (
    <button
      type="button"
      class={`word${known ? "" : " unknown"}${prediction ? prediction.kind : ""}`}
      style={prediction ? prediction.style : undefined}
      title={about.filter((line) => line !== "").join(": ")}
      tabindex={isCurrent ? 0 : -1}
      aria-current={isCurrent ? "step" : undefined}
      onClick={() => {
        player.pause();
        store.set({ step: t });
      }}
    >
      <span class="word-token">{shortToken(token, LONGEST)}</span>
      {prediction && prediction.below}
    </button>
  );
}

function surprised(nats: number) {
  const isKnown = Number.isFinite(nats);
  return {
    kind: " surprising",
    style: { "--surprise": String(Math.min(1, nats / MOST_NATS)) },
    about: isKnown ? `${nats.toFixed(2)} nats of surprise` : "nothing comes before it",
    below: <span class="word-tag number">{isKnown ? nats.toFixed(1) : "\u2013"}</span>,
  };
}

function tagged(run: Run, plain: Run | null, head: string, t: number) {
  const { label, probability } = predictionAt(findHead(run, head) as Head, t);
  const before = plain && plain !== run ? predictionAt(findHead(plain, head) as Head, t).label : label;
  return {
    kind: `${probability < 0.6 ? " doubtful" : ""}${before === label ? "" : " changed"}`,
    style: { "--share": String(probability) },
    about: `${label} ${percent(probability)}${before === label ? "" : `, without edits ${before}`}`,
    below: (
      <>
        <span class="word-tag">{label}</span>
        <span class="word-bar" />
      </>
    ),
  };
}

const MOST_COLUMNS = 24;
const MOST_ROWS = 6;
const COLUMNS = { width: 330, height: 50, top: 12, names: 34 }; // top: room for the numbers above the columns
const ROWS = { width: 340, pitch: 16, names: 108, numbers: 54 };

type Bar = { label: string; value: number; click?: () => void };

export function Distribution() {
  const { store, session, view } = useApp();
  const { run } = session;
  if (run === null) return <div class="distribution" hidden />;
  const head = findHead(run, view.head);
  const step = Math.min(view.step, run.steps - 1);
  const inColumns = head && run.surprise === null && head.labels.length <= MOST_COLUMNS;
  const units = () =>
    strongest(trackOf(run, view.track), step).map(({ unit, value }) => {
      return { label: `unit ${unit}`, value, click: () => store.set({ unit }) };
    });
  return (
    <div class="distribution">
      <p class="says" aria-live="polite">
        {head ? <Sentence run={run} head={head} step={step} /> : `Hidden state h of ${view.track} at step ${step}`}
      </p>
      {head && inColumns ? (
        <Columns bars={labelBars(head, step)} chosen={head.chosen[step]} />
      ) : (
        <Rows bars={head ? likeliestBars(head, step) : units()} isState={head === null} />
      )}
    </div>
  );
}

function Sentence({ run, head, step }: { run: Run; head: Head; step: number }) {
  const { label, probability } = predictionAt(head, step);
  const token = <b class="says-token">{shortToken(run.tokens[step], 20)}</b>;
  return (
    <>
      {run.surprise ? <>After {token} it expects </> : <>{token} is </>}
      <b>{shownToken(label)}</b> <span class="number">{probability.toFixed(4)}</span>
    </>
  );
}

const labelBars = ({ labels, probabilities }: Head, step: number): Bar[] =>
  labels.map((label, k) => ({ label, value: probabilities[step * labels.length + k] }));

function likeliestBars(head: Head, step: number): Bar[] {
  const K = head.labels.length;
  const best = likeliest(head, step, Math.min(K, MOST_ROWS - 1));
  const rest = 1 - best.reduce((sum, { probability }) => sum + probability, 0);
  const bars = best.map(({ label, probability }) => ({ label: shortToken(label, 16), value: probability }));
  return K > best.length ? [...bars, { label: `${K - best.length} others`, value: Math.max(0, rest) }] : bars;
}

function strongest(track: Track, t: number): { unit: number; value: number }[] {
  const width = quantityWidth(track.info, "h");
  const row = track.values.h.subarray(t * width, (t + 1) * width);
  const units = Array.from(row, (value, unit) => ({ unit, value }));
  return units.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, MOST_ROWS);
}

function spoken(bars: Bar[], isState: boolean): string {
  const best = isState ? bars : [...bars].sort((a, b) => b.value - a.value).slice(0, 5);
  const said = best.filter(({ value }) => isState || value >= 0.005);
  return `${isState ? "Strongest" : "Likeliest"}: ${said.map(({ label, value }) => `${label} ${value.toFixed(2)}`).join(", ")}`;
}

/** One column per label, always in the same order. */
function Columns({ bars, chosen }: { bars: Bar[]; chosen: number }) {
  const { width, height: full, top, names } = COLUMNS;
  const pitch = width / bars.length;
  const [base, height] = [top + full, top + full + names];
  return (
    <svg
      {...{ class: "chart", width, height, viewBox: `-14 0 ${width + 18} ${height}`, role: "img" }}
      aria-label={spoken(bars, false)}
    >
      <line x1={0} x2={width} y1={top + 0.5} y2={top + 0.5} class="axis faint" />
      <line x1={0} x2={width} y1={base + 0.5} y2={base + 0.5} class="axis" />
      {bars.map(({ label, value }, k) => {
        const tall = Math.max(0, value) * full;
        const [x, mark] = [(k + 0.5) * pitch, k === chosen ? " chosen" : ""];
        return (
          <>
            <rect
              {...{ x: x - pitch * 0.36, y: base - tall, width: pitch * 0.72, height: tall, rx: 1 }}
              class={`column${mark}`}
            />
            <text x={x} y={base - tall - 3} class="column-number" text-anchor="middle">
              {value >= 0.05 && value.toFixed(2)}
            </text>
            <text
              {...{ x: x + 3, y: base + 8, class: `column-name${mark}`, "text-anchor": "end" }}
              transform={`rotate(-52 ${x + 3} ${base + 8})`}
            >
              {label}
            </text>
          </>
        );
      })}
    </svg>
  );
}

/** One label or unit per row, strongest first. Values of a state are in -1..1, probabilities in 0..1. */
function Rows({ bars, isState }: { bars: Bar[]; isState: boolean }) {
  const { width, pitch, names, numbers } = ROWS;
  const height = MOST_ROWS * pitch;
  const space = width - names - numbers;
  const [zero, scale] = isState ? [names + space / 2, space / 2] : [names, space];
  return (
    <svg
      {...{ class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }}
      aria-label={spoken(bars, isState)}
    >
      <line x1={zero} x2={zero} y1={0} y2={height} class="axis" />
      {bars.map(({ label, value, click }, k) => {
        const long = Math.min(1, Math.abs(value || 0)) * scale; // values that a trace did not record are NaN
        const kind = `${k === 0 && !isState ? "chosen" : ""} ${click ? "clickable" : ""}`.trim();
        return (
          <g class={kind} onClick={click}>
            <Text x={names - 8} y={k * pitch + 12} kind="row-name" anchor="end" text={shownToken(label)} />
            <rect
              {...{ x: value < 0 ? zero - long : zero, y: k * pitch + 3, width: long, height: pitch - 6, rx: 1 }}
              class="row-bar"
              style={{ fill: isState ? colour("h", value) : "" }}
            />
            <text x={width} y={k * pitch + 12} class="row-number" text-anchor="end">
              {Number.isNaN(value) ? "\u2013" : value.toFixed(4)}
            </text>
          </g>
        );
      })}
    </svg>
  );
}
