// The tour's card: a step's text and task, the progress, and a button to continue once the step is done.

import { useLayoutEffect, useRef } from "preact/hooks";
import { type Guide, STEPS } from "studio/panels/tour/guide.js";
import { rich } from "studio/panels/tour/text.js";
import type { Scene } from "studio/panels/tour/types.js";

export function TourCard({ guide, scene }: { guide: Guide; scene: Scene }) {
  const { entered, index, isRefused, count, title, work, hasPanel, texts } = scene;
  const { task, status, learnt } = texts;
  const [heading, scroll] = [useRef<HTMLHeadingElement>(null), useRef<HTMLDivElement>(null)];
  useLayoutEffect(() => {
    heading.current?.focus({ preventScroll: true });
    scroll.current?.scrollTo(0, 0);
  }, [entered]);
  return (
    <aside ref={guide.card} class="tour-card" aria-labelledby="tour-title">
      <header>
        <p class="tour-count">{count}</p>
        <ol class="tour-pips">
          {!isRefused && STEPS.map(({ title: name }, k) => <Pip {...{ guide, name, k, index }} />)}
        </ol>
        <button
          type="button"
          class="quiet round tour-close"
          aria-label="Leave the tour. You can resume it later."
          title="Leave the tour"
          onClick={() => guide.close()}
        >
          ×
        </button>
      </header>
      <div ref={scroll} class="tour-scroll">
        <h2 {...{ ref: heading, class: "tour-title", tabindex: -1, id: "tour-title" }}>{title}</h2>
        <div class="tour-says">{texts.says.map((text) => (typeof text === "string" ? <p>{rich(text)}</p> : text))}</div>
        <div class={learnt ? "tour-task done" : "tour-task"}>
          {task && (
            <>
              <Tick done={learnt !== ""} />
              <div>
                <p>{rich(task)}</p>
                <p class="tour-status">{status}</p>
              </div>
            </>
          )}
        </div>
        <div class="tour-work" key={entered}>
          {work}
        </div>
        <div class="tour-learnt" role="status">
          {learnt && <p>{rich(`Done. ${learnt}`)}</p>}
        </div>
      </div>
      <footer>
        <button type="button" disabled={index === 0 || isRefused} onClick={() => guide.go(index - 1)}>
          Back
        </button>
        <button type="button" class="quiet" hidden={!hasPanel} onClick={() => guide.showPanel()}>
          Show me where
        </button>
        <button type="button" class={learnt && "primary"} onClick={() => guide.go(index + 1)}>
          {index >= STEPS.length ? "Close" : !learnt ? "Skip" : index === STEPS.length - 1 ? "Finish" : "Next"}
        </button>
      </footer>
    </aside>
  );
}

/** A point for a step, which leads to it. */
function Pip({ guide, name, k, index }: { guide: Guide; name: string; k: number; index: number }) {
  const isFinished = guide.finished.has(k) || index === STEPS.length;
  const label = `Step ${k + 1}: ${name}${isFinished ? ", done" : ""}`;
  return (
    <li>
      <button
        {...{ type: "button", class: isFinished ? "pip finished" : "pip", title: label, "aria-label": label }}
        aria-current={k === index ? "step" : undefined}
        onClick={() => guide.go(k)}
      />
    </li>
  );
}

function Tick({ done }: { done: boolean }) {
  return (
    <svg class="tick" viewBox="0 0 20 20" width={20} height={20} aria-hidden="true">
      <circle cx={10} cy={10} r={8.5} />
      {done && <path d="M6 10.5l2.8 2.8L14.2 7.5" />}
    </svg>
  );
}
