// The first lesson's LSTM over its five inputs: the states after each step, with the state carried or not.

course.view("unroll", ({ root, model, change }) => {
  const { input } = model.given.tracks[0];
  const rows = Array.from({ length: model.given.steps }, (_, t) => input.slice(4 * t, 4 * t + 4));
  const carry = course.controls.toggle("carry the state", false, (on) => change({ carry: on ? "on" : "off" }));
  const swap = course.controls.toggle("swap inputs 1 and 3", false, (on) => change({ swap: on ? "on" : "off" }));
  const place = course.make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Five steps" });
  const said = course.make("p", { class: "course-said", "aria-live": "polite" });
  root.append(course.make("div", { class: "course-controls" }, [carry, swap]), place, said);
  let shown = [];

  const run = (carried, order) => {
    const read = order.map((k) => rows[k]);
    const all = carried ? [model.runNumbers(read)] : read.map((row) => model.runNumbers([row]));
    const values = (name) => all.flatMap((each) => [...each.tracks[0].values[name]]);
    const [h, c] = [values("h"), values("c")];
    return order.map((k, t) => ({ input: k, x: rows[k], h: h.slice(3 * t, 3 * t + 3), c: c.slice(3 * t, 3 * t + 3) }));
  };
  const differ = (a, b) => a.h.some((value, u) => Math.abs(value - b.h[u]) > 1e-6);

  return {
    draw(now) {
      const [carried, swapped] = [now.carry === "on", now.swap === "on"];
      carry.show(carried);
      swap.show(swapped);
      const before = run(carried, [0, 1, 2, 3, 4]);
      shown = swapped ? run(carried, [0, 3, 2, 1, 4]) : before;
      const moved = shown.flatMap((step, t) => (differ(step, before[t]) ? [t] : []));
      place.replaceChildren(course.unrolled(shown, carried, moved, before));
      if (!swapped) said.textContent = "Inputs in their own order.";
      else if (carried) said.textContent = `The swap changed the outputs of steps ${moved.join(", ")}.`;
      else said.textContent = `The swap changed the outputs of steps ${moved.join(" and ")}: they changed places.`;
    },
    numbers: () => shown.flatMap(({ h, c }) => [...h, ...c]),
  };
});

/** The drawing: a box a step, and what leads from one to the next. coursebook/stills.py draws the same. */
course.unrolled = (steps, carried, moved, before) => {
  const { make } = course;
  const two = (values) => [...values].map((value) => course.written(value, 2)).join(" ");
  const inside = steps.flatMap(({ input, x, h, c }, t) => {
    const left = 4 + 184 * t;
    const row = (y, name, values, kind) => make("text", { x: left + 8, y, class: kind, text: `${name} ${two(values)}` });
    const parts = [
      make("rect", { x: left, y: 34, width: 164, height: 104, rx: 6, class: moved.includes(t) ? "course-cell course-moved" : "course-cell" }),
      make("text", { x: left + 8, y: 54, text: `step ${t} reads input ${input}` }),
      make("text", { x: left + 8, y: 76, class: "course-small", text: `x ${two(x)}` }),
      row(100, "c", c, "course-c"),
      row(124, "h", h, "course-h"),
      make("text", { x: left + 8, y: 22, class: "course-faint", text: t === 0 || !carried ? "begins at (h0, c0)" : "goes on" }),
    ];
    if (moved.includes(t)) parts.push(make("text", { x: left + 8, y: 156, class: "course-faint", text: `before: h ${two(before[t].h)}` }));
    if (carried && t + 1 < steps.length) parts.push(make("path", { d: `M${left + 164} 108h19m-6 -5l6 5l-6 5`, class: "course-arrow" }));
    return parts;
  });
  return make("svg", { viewBox: "0 0 910 164", role: "img", "aria-label": "Five steps of the LSTM with x, c and h" }, inside);
};
