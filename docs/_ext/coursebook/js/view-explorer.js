// One unit over a text, and what it costs to hold it at its mean, beside units that move about as much.

course.view("explorer", ({ root, model, change }) => {
  const { make, controls } = course;
  const OTHERS = 8;
  const input = make("input", { type: "text", size: 40, "aria-label": "A text; / ends a line" });
  input.addEventListener("change", () => change({ text: input.value, hold: "no" }));
  const unitOf = make("input", { type: "number", min: 0, max: model.tracks[0].units - 1, "aria-label": "Unit" });
  unitOf.addEventListener("change", () => change({ unit: unitOf.value }));
  const hold = controls.toggle("hold it at its mean", false, (on) => change({ hold: on ? "yes" : "no" }));
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "The unit over the text" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  const label = (text, control) => make("label", { class: "course-control" }, [`${text} `, control]);
  root.append(make("div", { class: "course-controls" }, [label("text", input), label("unit", unitOf), hold]), place, said);
  let shown = [];
  let plain = { text: null };

  /** The run without an edit, with the mean and the spread of every unit; once for a text. */
  const read = (text) => {
    if (plain.text === text) return plain;
    const tokens = model.tokenise(text.replaceAll("/", "\n"));
    const run = model.run(tokens);
    const { h } = run.tracks[0].values;
    const [T, H] = [run.steps, h.length / run.steps];
    const means = new Float64Array(H);
    const spreads = new Float64Array(H);
    for (let u = 0; u < H; u += 1) {
      for (let t = 0; t < T; t += 1) means[u] += h[t * H + u] / T;
      for (let t = 0; t < T; t += 1) spreads[u] += (h[t * H + u] - means[u]) ** 2 / T;
      spreads[u] = Math.sqrt(spreads[u]);
    }
    plain = { text, tokens, run, T, H, means, spreads, bits: bitsOf(run) };
    return plain;
  };
  const bitsOf = (run) => run.surprise.reduce((a, b) => a + b, 0) / run.steps / Math.LN2;
  const cost = ({ tokens, means, bits }, unit) =>
    bitsOf(model.run(tokens, [{ place: "l0.h", kind: "set", value: means[unit], unit: [unit], t: null, scope: "write" }])) - bits;
  const alike = ({ spreads }, unit) =>
    [...spreads.keys()].filter((k) => k !== unit).sort((a, b) => Math.abs(spreads[a] - spreads[unit]) - Math.abs(spreads[b] - spreads[unit])).slice(0, OTHERS);

  return {
    draw(now) {
      const text = now.text ?? "To be, or not to be: that is the question:/Whether 'tis nobler in the mind to suffer/The slings and arrows of outrageous fortune,/";
      if (text === "") return;
      const made = read(text);
      const unit = Math.max(0, Math.min(made.H - 1, Math.round(Number(now.unit)) || 0));
      const held = now.hold === "yes";
      [input.value, unitOf.value] = [text, unit];
      hold.show(held);
      const values = Array.from({ length: made.T }, (_, t) => made.run.tracks[0].values.h[t * made.H + unit]);
      const units = held ? [unit, ...alike(made, unit)] : [];
      const costs = units.map((each) => cost(made, each));
      shown = [...values, ...costs];
      const step = Math.max(14, 640 / made.T);
      const inside = values.flatMap((value, t) => [
        make("rect", { x: 4 + step * t, y: value > 0 ? 60 - 50 * value : 60, width: step - 2, height: Math.max(0.5, 50 * Math.abs(value)), class: "course-bar-h" }),
        make("text", { x: 4 + step * t + step / 4, y: 128, text: { "\n": "⏎", " ": "␣" }[made.tokens[t]] ?? made.tokens[t] }),
      ]);
      place.replaceChildren(make("svg", { viewBox: `0 0 ${Math.max(660, 8 + step * made.T)} 136`, style: `min-width: ${Math.round(step * made.T)}px`, role: "img", "aria-label": `Hidden state of unit ${unit}, from -1 to 1` }, inside));
      const [own, ...rest] = costs;
      if (!held) said.textContent = `Unit ${unit}: mean ${course.written(made.means[unit], 2)}, spread ${course.written(made.spreads[unit], 2)}.`;
      else said.textContent = `Held at its mean, unit ${unit} costs ${course.written(own)} bits per character: rank ${rest.filter((each) => each > own).length + 1} of ${costs.length}. Units ${units.slice(1).join(" ")}: ${rest.map((each) => course.written(each)).join(" ")}.`;
    },
    numbers: () => shown,
  };
});
