// The guided tour: ten steps on the real page, each with something to do. It can be left and resumed at any time.

import { useLayoutEffect, useMemo } from "preact/hooks";
import { TourCard } from "studio/panels/tour/card.js";
import { Guide } from "studio/panels/tour/guide.js";
import { Spotlight } from "studio/panels/tour/spotlight.js";
import { useApp } from "studio/ui/app.js";

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
