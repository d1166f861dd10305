// A cell at one step, as a circuit: sliders set what goes in, and wires are as wide as what they carry.

/** A copy of a figure's still drawing, and what writes numbers, bars and wires into it. */
course.drawing = (id, root) => {
  const drawn = document.querySelector(`#live-${id} .course-stage svg`).cloneNode(true);
  const place = course.make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": drawn.getAttribute("aria-label") }, [drawn]);
  root.append(place);
  return (values, digits = () => 2) => {
    for (const each of drawn.querySelectorAll("[data-number]")) {
      const key = each.dataset.number;
      each.textContent = course.written(values[key], digits(key));
    }
    for (const each of drawn.querySelectorAll("[data-bar]")) {
      const height = 60 * Math.min(1, Math.abs(values[each.dataset.bar]));
      each.setAttribute("height", height.toFixed(2));
      each.setAttribute("y", (Number(each.dataset.foot) - height).toFixed(2));
    }
    for (const each of drawn.querySelectorAll("[data-wire]")) {
      const value = values[each.dataset.wire];
      each.setAttribute("stroke-width", (1 + 8 * Math.min(1, Math.abs(value))).toFixed(2));
      each.dataset.sign = value < 0 ? "-" : "+";
    }
  };
};

course.view("cell", ({ root, id, change }) => {
  const { make, controls } = course;
  const RANGES = { c_prev: ["old c", -2], f: ["f", 0], i: ["i", 0], g: ["g", -1], o: ["o", 0] };
  const sliders = Object.entries(RANGES).map(([key, [label, min]]) => {
    const range = { min, max: key === "c_prev" ? 2 : 1, step: 0.05, value: 0, written: (v) => v.toFixed(2) };
    return [key, controls.slider(label, range, (value) => change({ [key]: value }))];
  });
  root.append(make("div", { class: "course-controls" }, sliders.map(([, slider]) => slider)));
  const write = course.drawing(id, root);
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(said);
  let shown = {};
  return {
    draw(state) {
      const [c_prev, f, i, g, o] = sliders.map(([key]) => Number(state[key]));
      sliders.forEach(([key, slider]) => slider.show(Number(state[key])));
      const [kept, wrote] = [f * c_prev, i * g];
      const c = kept + wrote;
      shown = { ...{ c_prev, f, i, g, o, kept, wrote, c }, tanh: Math.tanh(c), h: o * Math.tanh(c) };
      write(shown);
      const n = (value) => course.written(value, 2);
      said.textContent = `c = ${n(f)}·(${n(c_prev)}) + ${n(i)}·(${n(g)}) = ${n(c)};  h = ${n(o)}·tanh(${n(c)}) = ${n(shown.h)}`;
    },
    numbers: () => [shown.kept, shown.wrote, shown.c, shown.tanh, shown.h],
  };
});
