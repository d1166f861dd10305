// The tagger's most probable tags for each word; the words behind the curtain are not read.

course.view("tags", ({ root, model, change }) => {
  const { make, controls } = course;
  const [WIDTH, SHOWN] = [126, 3];
  const input = make("input", { type: "text", size: 40, "aria-label": "A sentence" });
  input.addEventListener("change", () => change({ text: input.value, upto: 99 }));
  const curtain = controls.slider("words that are read", { min: 1, max: 12, value: 1 }, (value) => change({ upto: value }));
  const place = make("div", { class: "course-scroll", tabindex: 0, role: "group", "aria-label": "Tags of each word" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(make("div", { class: "course-controls" }, [make("label", { class: "course-control" }, ["sentence ", input]), curtain]), place, said);
  let shown = [];

  const column = (word, tags, k) => {
    const left = 4 + WIDTH * k;
    const parts = [make("text", { x: left, y: 20, class: tags === null ? "course-faint" : "", text: tags === null ? "▒▒▒▒" : word })];
    (tags ?? []).forEach(([tag, p], row) => {
      const y = 34 + 22 * row;
      parts.push(make("rect", { x: left, y, width: Math.max(1, p * (WIDTH - 12)), height: 18, class: "course-bar" }));
      parts.push(make("text", { x: left + 4, y: y + 13, class: "course-small", text: `${tag} ${course.written(p, 2)}` }));
    });
    return parts;
  };

  return {
    draw(now) {
      const text = now.text ?? "The ship sails fell .";
      const words = model.tokenise(text);
      if (words.length === 0) return;
      const read = Math.max(1, Math.min(Number(now.upto), words.length));
      input.value = text;
      curtain.querySelector("input").max = words.length;
      curtain.show(read);
      const [{ labels, probabilities }] = model.run(words.slice(0, read)).heads;
      shown = [...probabilities];
      const best = words.map((_, t) =>
        t >= read ? null : labels.map((tag, k) => [tag, probabilities[t * labels.length + k]]).sort((a, b) => b[1] - a[1]).slice(0, SHOWN),
      );
      const inside = words.flatMap((word, k) => column(word, best[k], k));
      place.replaceChildren(make("svg", { viewBox: `0 0 ${Math.max(640, WIDTH * words.length + 8)} 108`, role: "img", "aria-label": "Words with their most probable tags" }, inside));
      said.textContent = `Read: ${words.slice(0, read).map((word, t) => `${word} ${best[t][0][0]}`).join(", ")}.`;
    },
    numbers: () => shown,
  };
});
