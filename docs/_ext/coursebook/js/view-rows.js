// Four rows over 24 steps, read in chunks: the state carried or not, one row reset, one that ends early.

course.view("rows", ({ root, model, change }) => {
  const { make, controls } = course;
  const [ROWS, STEPS, RESET, END] = [4, 24, 12, 10];
  const chunk = controls.slider("steps in a chunk", { min: 1, max: STEPS, value: STEPS }, (value) => change({ chunk: value }));
  const carry = controls.toggle("carry the state", true, (on) => change({ carry: on ? "on" : "off" }));
  const reset = controls.toggle(`reset row 1 at step ${RESET}`, false, (on) => change({ reset: on ? "on" : "off" }));
  const ends = controls.toggle(`row 3 ends at step ${END}`, false, (on) => change({ ends: on ? "on" : "off" }));
  const lengths = controls.toggle("give lengths", false, (on) => change({ lengths: on ? "on" : "off" }));
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Four rows" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(make("div", { class: "course-controls" }, [chunk, carry, reset, ends, lengths]), place, said);
  let shown = [];

  const input = (t, n) => Float32Array.from({ length: 4 }, (_, k) => Math.sin(1.7 * t + 2.3 * n + 0.9 * k + 0.37 * t * n));
  const zeros = { h: new Float32Array(3), c: new Float32Array(3) };
  const nothing = new Float32Array(4);
  const run = (begins, padded, cut) =>
    Array.from({ length: ROWS }, (_, n) => {
      const stream = model.stream();
      return Array.from({ length: STEPS }, (__, t) => {
        if (t === 0 || begins(t, n)) stream.reset(zeros);
        const over = padded && n === 3 && t >= END;
        if (over && cut) return 0;
        stream.step(over ? nothing : input(t, n));
        const { h } = stream.run().tracks[0].values;
        return h[h.length - 3];
      });
    });

  return {
    draw(now) {
      const size = Number(now.chunk);
      const [carried, cut] = [now.carry === "on", now.reset === "on"];
      const [padded, told] = [now.ends === "on", now.lengths === "on"];
      chunk.show(size);
      carry.show(carried);
      reset.show(cut);
      ends.show(padded);
      lengths.show(told);
      const whole = run(() => false, padded, false);
      shown = run((t, n) => (!carried && t % size === 0) || (cut && n === 1 && t === RESET), padded, told);
      const moved = (n, t) => Math.abs(shown[n][t] - whole[n][t]) > 1e-6;
      const inside = shown.flatMap((values, n) => [
        make("text", { x: 4, y: 24 + 34 * n, text: `row ${n}` }),
        ...values.map((value, t) =>
          make("rect", { x: 60 + 25 * t, y: 8 + 34 * n, width: 23, height: 24, class: moved(n, t) ? "course-strip course-moved" : "course-strip", "fill-opacity": Math.min(1, Math.abs(value) * 1.6).toFixed(3), "data-sign": value < 0 ? "-" : "+" }),
        ),
      ]);
      place.replaceChildren(make("svg", { viewBox: "0 0 668 146", role: "img", "aria-label": "Hidden state of unit 0 of each row, step by step" }, inside));
      const changed = shown.map((values, n) => values.filter((_, t) => moved(n, t)).length);
      const padding = padded && !told ? ` Row 3 goes on through the padding: after step ${END} it has ${course.written(shown[3][END - 1])}, at the end ${course.written(shown[3][STEPS - 1])}.` : "";
      said.textContent = changed.some(Boolean) ? `Different from the whole: ${changed.flatMap((count, n) => (count ? [`row ${n} at ${count} steps`] : [])).join(", ")}.` : "Every value equals that of the whole.";
      said.textContent += padding;
    },
    numbers: () => shown.flat(),
  };
});
