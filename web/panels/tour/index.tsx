// The guided tour: ten steps on the real page, each with something to do. It can be left and resumed at any time.

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Guide, STEPS } from "studio/panels/tour/guide.js";
import { Spotlight } from "studio/panels/tour/spotlight.js";
import { rich } from "studio/panels/tour/exercises.js";
import type { Scene } from "studio/panels/tour/types.js";
import { useApp } from "studio/ui/app.js";
import { Button } from "studio/ui/form.js";

const WATCHED = ["step", "unit", "track", "quantity", "edits", "page", "text", "head", "gate", "zoom"] as const;

export function Tour() {
  const app = useApp();
  const guide = useMemo(() => new Guide(app), []);
  useLayoutEffect(() => {
    const { store, session } = app;
    store.subscribe(["tour"], () => guide.sync());
    store.subscribe([...WATCHED], () => guide.update());
    session.on("model", () => (guide.visit = null));
    session.on("run", () => (guide.visit ? guide.update() : guide.sync()));
    for (const event of ["scroll", "resize"])
      window.addEventListener(event, () => guide.follow(), { passive: true, capture: true });
    new ResizeObserver(() => guide.follow(true)).observe(document.body);
    document.addEventListener("keydown", (event) => {
      if (!guide.visit) return;
      const inCard = guide.card.current?.contains(event.target as Node);
      if (event.altKey && event.code === "KeyT") guide.toggleFocus();
      else if (event.key === "Escape" && inCard) guide.close();
      else return;
      event.preventDefault();
    });
    guide.sync();
  }, []);
  const { value: scene } = guide.scene;
  if (!scene) return null;
  return (
    <div id="tour" class="tour">
      <Spotlight light={guide.light} />
      <TourCard {...{ guide, scene }} />
    </div>
  );
}

function TourCard({ guide, scene }: { guide: Guide; scene: Scene }) {
  const { entered, index, isRefused, count, title, work, hasPanel, texts } = scene;
  const { task, status, learnt } = texts;
  const [heading, scroll] = [useRef<HTMLHeadingElement>(null), useRef<HTMLDivElement>(null)];
  useLayoutEffect(() => {
    heading.current?.focus({ preventScroll: true });
    scroll.current?.scrollTo(0, 0);
  }, [entered]);
  return (
    <aside ref={guide.card} class={hasPanel ? "tour-card" : "tour-card whole"} aria-labelledby="tour-title">
      <header>
        <p class="tour-count">{count}</p>
        <ol class="tour-pips">
          {!isRefused && STEPS.map(({ title: name }, k) => <Pip {...{ guide, name, k, index }} />)}
        </ol>
        <Button
          text="×"
          kind="quiet round tour-close"
          aria-label="Leave the tour. You can resume it later."
          title="Leave the tour"
          press={() => guide.close()}
        />
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
        <Button text="Back" disabled={index === 0 || isRefused} press={() => guide.go(index - 1)} />
        <Button text="Show me where" kind="quiet" hidden={!hasPanel} press={() => guide.showPanel()} />
        <Button
          text={index >= STEPS.length ? "Close" : !learnt ? "Skip" : index === STEPS.length - 1 ? "Finish" : "Next"}
          kind={learnt && "primary"}
          press={() => guide.go(index + 1)}
        />
      </footer>
    </aside>
  );
}

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

const Tick = ({ done }: { done: boolean }) => (
  <svg class="tick" viewBox="0 0 20 20" width={20} height={20} aria-hidden="true">
    <circle cx={10} cy={10} r={8.5} />
    {done && <path d="M6 10.5l2.8 2.8L14.2 7.5" />}
  </svg>
);
