// One unit from step 0 to step 40: its gates are drawn by hand, and the runtime computes c and h.

const UNIT_STEPS = 41; // from step 0 to step 40
const HOLD_FROM = 3;
const UNIT_RANGE = { i: [0, 1], f: [0, 1], g: [-1, 1], o: [0, 1], h: [-1, 1], "Πf": [0, 1] };

course.view("unit", ({ root, model, change }) => {
  const { make, controls } = course;
  let picked = { gate: "f", step: "all" };
  let now = {};
  let shown = { c: [], h: [], gates: {}, product: [] };

  const gateOf = make("select", { "aria-label": "which gate" });
  for (const gate of "ifgo") gateOf.append(make("option", { value: gate, text: gate }));
  const stepOf = make("select", { "aria-label": "which step" });
  for (const step of ["all", ...Array.from({ length: UNIT_STEPS }, (_, k) => k)]) {
    stepOf.append(make("option", { value: step, text: step === "all" ? "all steps" : `step ${step}` }));
  }
  const key = () => (picked.step === "all" ? picked.gate : `${picked.gate}@${picked.step}`);
  const value = controls.slider("value", { min: -1, max: 1, step: 0.05, value: 0, written: (v) => v.toFixed(2) }, (v) => set(picked.gate, picked.step, v));
  gateOf.addEventListener("change", () => pick({ gate: gateOf.value }));
  stepOf.addEventListener("change", () => pick({ step: stepOf.value }));
  const pick = (more) => {
    picked = { ...picked, ...more };
    gateOf.value = picked.gate;
    stepOf.value = picked.step;
    value.querySelector("input").min = picked.gate === "g" ? -1 : 0;
    value.show(Number(now[key()] ?? now[picked.gate] ?? 0));
  };
  const set = (gate, step, v) => {
    const low = gate === "g" ? -1 : 0;
    const held = Math.round(Math.min(1, Math.max(low, v)) * 100) / 100;
    const name = step === "all" ? gate : `${gate}@${step}`;
    if (step === "all") for (const each of Object.keys(now)) if (each.startsWith(`${gate}@`)) delete now[each];
    change({ [name]: held });
  };
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Curves of the unit" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  const labels = [make("label", { class: "course-control" }, ["gate ", gateOf]), make("label", { class: "course-control" }, ["at ", stepOf]), value];
  root.append(make("div", { class: "course-controls" }, labels), place, said);

  const valuesOf = (gate) => Array.from({ length: UNIT_STEPS }, (_, k) => Number(now[`${gate}@${k}`] ?? now[gate] ?? 0));
  const run = () => {
    const gates = Object.fromEntries([..."ifgo"].map((gate) => [gate, valuesOf(gate)]));
    const edits = Object.entries(gates).flatMap(([gate, values]) =>
      values.map((v, t) => ({ place: `l0.${gate}`, kind: "set", value: v, unit: null, t: [t], scope: "write" })),
    );
    const rows = Array.from({ length: UNIT_STEPS }, () => new Float32Array(1));
    const { c, h } = model.runNumbers(rows, edits).tracks[0].values;
    let share = 1;
    const product = gates.f.map((f, t) => (t <= HOLD_FROM ? 1 : (share *= f))); // of what step 3 left
    return { gates, c: [...c], h: [...h], product };
  };
  const judged = ({ c, h }) => {
    const [last, seen] = [h[UNIT_STEPS - 1], Math.max(...h.slice(HOLD_FROM + 1, UNIT_STEPS - 1).map(Math.abs))];
    const numbers = `c at step ${HOLD_FROM}: ${course.written(c[HOLD_FROM], 2)}, at step ${UNIT_STEPS - 1}: ${course.written(c[UNIT_STEPS - 1], 2)}; h at step ${UNIT_STEPS - 1}: ${course.written(last, 2)}.`;
    if (last < 0.7) return `${numbers} Not held, or not shown: h should be above 0.7 at the end.`;
    if (seen > 0.05) return `${numbers} Held, and shown too early: h should be near 0 before.`;
    return `${numbers} Held, and shown only at the end.`;
  };
  const draw = () => {
    const strips = [..."ifgo"].map((gate) => [gate, shown.gates[gate]]).concat([["c", shown.c], ["h", shown.h], ["Πf", shown.product]]);
    const most = Math.max(1, ...shown.c.map(Math.abs));
    const inside = strips.flatMap(([name, values], k) => {
      const top = 10 + 60 * k;
      const [low, high] = name === "c" ? [-most, most] : UNIT_RANGE[name];
      const box = { left: 90, top, width: 560, height: 50, low, high };
      const zero = top + (50 * high) / (high - low);
      const back = make("rect", { x: 90, y: top, width: 560, height: 50, class: "course-cell" });
      if ("ifgo".includes(name)) drawable(back, name);
      return [
        back,
        make("line", { x1: 90, x2: 650, y1: zero, y2: zero, class: "course-axis" }),
        make("text", { x: 10, y: top + 30, class: `course-${name === "Πf" ? "f" : name}`, text: `${name} ${course.written(values[UNIT_STEPS - 1], 2)}` }),
        make("polyline", { points: course.stairs(values, box), class: `course-line course-line-${name === "Πf" ? "f" : name}` }),
      ];
    });
    place.replaceChildren(make("svg", { viewBox: "0 0 660 450", role: "img", "aria-label": "i, f, g, o, c, h and the running product of f, of one unit from step 0 to step 40" }, [...inside, ...[0, 10, 20, 30, 40].map((t) => make("text", { x: 90 + (560 / UNIT_STEPS) * t, y: 444, text: t === 0 ? "step 0" : String(t) }))]));
  };
  let pen = null; // the gate that is being drawn by hand
  const drawable = (back, gate) => {
    back.classList.add("course-drawable");
    back.addEventListener("pointerdown", (event) => {
      pen = gate;
      event.preventDefault();
      mark(event);
    });
  };
  const mark = (event) => {
    const drawing = place.querySelector("svg");
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
    const step = Math.floor(((point.x - 90) / 560) * UNIT_STEPS);
    const top = 10 + 60 * "ifgo".indexOf(pen);
    const [low, high] = UNIT_RANGE[pen];
    if (step >= 0 && step < UNIT_STEPS) set(pen, step, high - ((high - low) * (point.y - top)) / 50);
  };
  place.addEventListener("pointermove", (event) => pen && mark(event));
  window.addEventListener("pointerup", () => (pen = null));

  return {
    draw(state) {
      now = state;
      shown = run();
      pick({});
      draw();
      said.textContent = judged(shown);
    },
    numbers: () => [...shown.c, ...shown.h],
  };
});
