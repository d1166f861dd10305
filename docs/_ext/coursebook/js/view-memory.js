// A plain RNN reads a sentence in which one word matters: what is left of it at the end, and of its gradient.

course.view("memory", ({ root, id, change }) => {
  const { make, controls } = course;
  const [WORDS, KEYS] = [12, 1];
  const two = (v) => v.toFixed(1);
  const weight = controls.slider("w", { min: 0.3, max: 2, step: 0.1, value: 0.9, written: two }, (w) => change({ w }));
  const input = controls.slider("input at keys", { min: 0.1, max: 3, step: 0.1, value: 1, written: two }, (x) => change({ x }));
  root.append(make("div", { class: "course-controls" }, [weight, input]));
  const write = course.drawing(id, root);
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(said);
  let shown = { hidden: [], shares: [] };

  const run = (w, x) => {
    let h = 0;
    const hidden = Array.from({ length: WORDS }, (_, k) => (h = Math.tanh(w * h + (k === KEYS ? x : 0))));
    const shares = Array(WORDS).fill(1);
    for (let k = WORDS - 1; k > 0; k--) shares[k - 1] = shares[k] * w * (1 - hidden[k] ** 2);
    return { hidden, shares };
  };
  return {
    draw(state) {
      const [w, x] = [Number(state.w), Number(state.x)];
      weight.show(w);
      input.show(x);
      shown = run(w, x);
      const { hidden, shares } = shown;
      const values = Object.fromEntries([...hidden.map((h, k) => [`h${k}`, h]), ...shares.map((share, k) => [`s${k}`, share])]);
      write(values, (key) => (key.startsWith("s") ? 3 : 2));
      said.textContent = `h: ${hidden[KEYS].toFixed(2)} after keys, ${hidden[WORDS - 1].toFixed(2)} after cabinet. Gradient from cabinet back to keys: ${shares[KEYS].toFixed(3)}.`;
    },
    numbers: () => [...shown.hidden, ...shown.shares],
  };
});
