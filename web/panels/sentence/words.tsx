// The tokens, each a button, with the model's predictions. Moving the cursor updates only two of them.

import { useSignalEffect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { findHead, isFormless, predictionAt, shortToken, shownToken } from "studio/state/run.js";
import type { Head, Run } from "studio/types.js";
import { useApp, useDerived } from "studio/ui/app.js";
import { percent } from "studio/ui/draw.js";
import { useBox } from "studio/ui/stage.js";

const LONGEST = 32; // maximum number of characters in a token
export const MOST_NATS = 8; // surprise, in nats, from which a token has the darkest shade

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
