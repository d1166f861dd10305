// How unexpected each character of a text is, and what comes next at a temperature.

course.view("surprise", ({ root, model, change }) => {
  const { make, controls } = course;
  const NEXT = 8;
  const input = make("input", { type: "text", size: 40, "aria-label": "A text" });
  input.addEventListener("change", () => change({ text: input.value, reset: 0 }));
  const reset = controls.slider("forget everything before character", { min: 0, max: 60, value: 0, written: (k) => (k === 0 ? "–" : String(k)) }, (value) => change({ reset: value }));
  const warmth = controls.slider("temperature", { min: 0.1, max: 2, step: 0.1, value: 1, written: (v) => v.toFixed(1) }, (value) => change({ temperature: value }));
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Surprise of each character" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(make("div", { class: "course-controls" }, [make("label", { class: "course-control" }, ["text ", input]), reset, warmth]), place, said);
  let shown = [];
  const visible = (sign) => ({ " ": "␣", "\n": "⏎" })[sign] ?? sign;

  const next = (run, temperature) => {
    const [{ labels, logits }] = run.heads;
    const last = [...logits.slice((run.steps - 1) * labels.length)].map((score) => score / temperature);
    const most = Math.max(...last);
    const weights = last.map((score) => Math.exp(score - most));
    const sum = weights.reduce((a, b) => a + b, 0);
    return labels.map((sign, k) => [sign, weights[k] / sum]).sort((a, b) => b[1] - a[1]).slice(0, NEXT);
  };

  return {
    draw(now) {
      const text = now.text ?? "To be, or not to be";
      const tokens = model.tokenise(text);
      if (tokens.length < 2) return;
      const from = Math.max(0, Math.min(Number(now.reset), tokens.length - 1));
      const temperature = Number(now.temperature);
      input.value = text;
      reset.querySelector("input").max = tokens.length - 1;
      reset.show(from);
      warmth.show(temperature);
      const runs = (from === 0 ? [tokens] : [tokens.slice(0, from), tokens.slice(from)]).map((piece) => model.run(piece));
      const bits = runs.flatMap((run) => [...run.surprise].map((nats) => nats / Math.LN2));
      const after = next(runs[runs.length - 1], temperature);
      shown = [...bits, ...after.map(([, p]) => p)];
      const step = Math.max(14, Math.min(30, 640 / tokens.length));
      const bars = tokens.flatMap((sign, k) => {
        const height = Math.min(100, 10 * bits[k]);
        return [
          make("rect", { x: 4 + step * k, y: 112 - height, width: step - 3, height, class: k === from && from > 0 ? "course-bar course-moved" : "course-bar" }),
          ...(step > 24 ? [make("text", { x: 4 + step * k, y: 108 - height, class: "course-small", text: course.written(bits[k], 1) })] : []),
          make("text", { x: 4 + step * k + step / 3, y: 128, text: visible(sign) }),
        ];
      });
      place.replaceChildren(make("svg", { viewBox: `0 0 ${Math.max(660, 8 + step * tokens.length)} 136`, style: `min-width: ${Math.round(step * tokens.length)}px`, role: "img", "aria-label": "A bar above each character: its surprise, 10 bits at most" }, bars));
      const mean = bits.reduce((a, b) => a + b, 0) / bits.length;
      said.textContent = `${course.written(mean, 2)} bits per character. Next, at temperature ${temperature.toFixed(1)}: ${after.map(([sign, p]) => `${visible(sign)} ${course.written(p, 2)}`).join("  ")}`;
    },
    numbers: () => shown,
  };
});
