// How much of a gradient is left after k steps: of an LSTM's c, and of a plain RNN.

course.view("share", ({ root, change }) => {
  const { make, controls } = course;
  const STEPS = 100;
  const LOWEST = 16; // powers of ten that are drawn
  const bias = controls.slider("forget bias", { min: -1, max: 7, step: 0.25, value: 1, written: (v) => v.toFixed(2) }, (v) => change({ bias: v }));
  const weight = controls.slider("w of the RNN", { min: 0.5, max: 1.5, step: 0.05, value: 0.9, written: (v) => v.toFixed(2) }, (v) => change({ w: v }));
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Two curves" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(make("div", { class: "course-controls" }, [bias, weight]), place, said);
  let shown = { lstm: [], rnn: [] };

  const shares = (b, w) => {
    const f = 1 / (1 + Math.exp(-b));
    let [h, product] = [0.5, 1];
    const rnn = Array.from({ length: STEPS }, () => {
      h = Math.tanh(w * h);
      return (product *= w * (1 - h * h));
    });
    return { lstm: Array.from({ length: STEPS }, (_, k) => f ** (k + 1)), rnn };
  };
  return {
    draw(now) {
      const [b, w] = [Number(now.bias), Number(now.w)];
      bias.show(b);
      weight.show(w);
      shown = shares(b, w);
      const box = { left: 90, top: 20, width: 560, height: 200, low: -LOWEST, high: 0 };
      const line = (values, kind) => make("polyline", { points: course.points(values.map(Math.log10), box), class: `course-line course-line-${kind}` });
      const marks = [0, -4, -8, -12, -16].flatMap((power) => {
        const y = 20 + (200 * -power) / LOWEST;
        return [make("line", { x1: 90, x2: 650, y1: y, y2: y, class: "course-axis" }), make("text", { x: 10, y: y + 4, text: power === 0 ? "1" : `1e${power}` })];
      });
      const words = [make("text", { x: 90, y: 240, text: "1 step" }), make("text", { x: 590, y: 240, text: "100 steps" })];
      place.replaceChildren(
        make("svg", { viewBox: "0 0 660 250", role: "img", "aria-label": "Share of the gradient that is left, by steps" }, [...marks, ...words, line(shown.lstm, "c"), line(shown.rnn, "g")]),
      );
      const at = (values) => values[STEPS - 1].toExponential(1);
      said.replaceChildren(
        "Left after 100 steps: ",
        make("span", { class: "course-c", text: `LSTM ${at(shown.lstm)}` }),
        `, f = ${(1 / (1 + Math.exp(-b))).toFixed(3)}; `,
        make("span", { class: "course-g", text: `plain RNN ${at(shown.rnn)}` }),
        ".",
      );
    },
    numbers: () => [...shown.lstm, ...shown.rnn],
  };
});
