// Four rows over 24 steps, read in chunks: the state carried or not, and one row reset.

course.view("rows", ({ root, model, change }) => {
  const { make, controls } = course;
  const [ROWS, STEPS, RESET] = [4, 24, 12];
  const chunk = controls.slider("steps in a chunk", { min: 1, max: STEPS, value: STEPS }, (value) => change({ chunk: value }));
  const carry = controls.toggle("carry the state", true, (on) => change({ carry: on ? "on" : "off" }));
  const reset = controls.toggle(`reset row 1 at step ${RESET}`, false, (on) => change({ reset: on ? "on" : "off" }));
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Four rows" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(make("div", { class: "course-controls" }, [chunk, carry, reset]), place, said);
  let shown = [];

  const input = (t, n) => Float32Array.from({ length: 4 }, (_, k) => Math.sin(1.7 * t + 2.3 * n + 0.9 * k + 0.37 * t * n));
  const zeros = { h: new Float32Array(3), c: new Float32Array(3) };
  const run = (begins) =>
    Array.from({ length: ROWS }, (_, n) => {
      const stream = model.stream();
      return Array.from({ length: STEPS }, (__, t) => {
        if (t === 0 || begins(t, n)) stream.reset(zeros);
        stream.step(input(t, n));
        const { h } = stream.run().tracks[0].values;
        return h[h.length - 3];
      });
    });

  return {
    draw(now) {
      const size = Number(now.chunk);
      const [carried, cut] = [now.carry === "on", now.reset === "on"];
      chunk.show(size);
      carry.show(carried);
      reset.show(cut);
      const whole = run(() => false);
      shown = run((t, n) => (!carried && t % size === 0) || (cut && n === 1 && t === RESET));
      const moved = (n, t) => Math.abs(shown[n][t] - whole[n][t]) > 1e-6;
      const inside = shown.flatMap((values, n) => [
        make("text", { x: 4, y: 24 + 34 * n, text: `row ${n}` }),
        ...values.map((value, t) =>
          make("rect", { x: 60 + 25 * t, y: 8 + 34 * n, width: 23, height: 24, class: moved(n, t) ? "course-strip course-moved" : "course-strip", "fill-opacity": Math.min(1, Math.abs(value) * 1.6).toFixed(3), "data-sign": value < 0 ? "-" : "+" }),
        ),
      ]);
      place.replaceChildren(make("svg", { viewBox: "0 0 668 146", role: "img", "aria-label": "Hidden state of unit 0 of each row, step by step" }, inside));
      const changed = shown.map((values, n) => values.filter((_, t) => moved(n, t)).length);
      said.textContent = changed.some(Boolean) ? `Changed against the whole: ${changed.flatMap((count, n) => (count ? [`row ${n} at ${count} steps`] : [])).join(", ")}.` : "Every value is that of the whole.";
    },
    numbers: () => shown.flat(),
  };
});
