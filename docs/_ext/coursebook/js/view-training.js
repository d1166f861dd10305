// A recorded training run: the drawing holds every moment, and the slider or the button shows one after the other.

course.view("training", ({ root, id, change }) => {
  const { make, controls } = course;
  const frames = () => [...root.querySelectorAll("[data-frame]")];
  let clock = null;
  let shown = [];
  const stop = () => {
    clearInterval(clock);
    clock = null;
  };
  const go = (frame) => change({ frame: String(frame) });
  const slider = controls.slider("moment", { min: 0, max: 20, value: 0 }, (frame) => {
    stop();
    go(frame);
  });
  const play = controls.button("Train", () => {
    if (clock !== null) return stop();
    let frame = 0;
    go(frame);
    clock = setInterval(() => (frame + 1 < frames().length && root.isConnected ? go((frame += 1)) : stop()), 600);
  });
  root.append(make("div", { class: "course-controls" }, [play, slider]));
  course.drawing(id, root);
  slider.querySelector("input").max = frames().length - 1;
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(said);
  return {
    draw(state) {
      const frame = Number(state.frame);
      slider.show(frame);
      frames().forEach((each, k) => each.setAttribute("visibility", k === frame ? "visible" : "hidden"));
      const { values, updates } = frames()[frame].dataset;
      shown = values.split(" ").map(Number);
      said.textContent = `After ${updates} updates: loss ${course.written(shown[0], 2)}.`;
    },
    numbers: () => shown,
  };
});
