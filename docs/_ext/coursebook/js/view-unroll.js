// The first lesson's LSTM over its five inputs: the states after each, with the state carried or not.

course.view("unroll", ({ root, model, state, change }) => {
  const { input } = model.given.tracks[0];
  const rows = Array.from({ length: model.given.steps }, (_, t) => input.slice(4 * t, 4 * t + 4));
  const carry = course.controls.toggle("carry the state", false, (on) => change({ carry: on ? "on" : "off" }));
  const swap = course.controls.toggle("exchange inputs 2 and 4", false, (on) => change({ swap: on ? "on" : "off" }));
  const table = course.make("table", { class: "course-numbers" });
  root.append(course.make("div", { class: "course-controls" }, [carry, swap]), table);
  let shown = [];

  const numbers = ({ carry: carried, swap: swapped }) => {
    const order = swapped === "on" ? [0, 3, 2, 1, 4] : [0, 1, 2, 3, 4];
    const read = order.map((k) => rows[k]);
    const all = carried === "on" ? [model.runNumbers(read)] : read.map((row) => model.runNumbers([row]));
    const values = (name) => all.flatMap((run) => [...run.tracks[0].values[name]]);
    const [h, c] = [values("h"), values("c")];
    return order.map((k, t) => ({ input: k + 1, h: h.slice(3 * t, 3 * t + 3), c: c.slice(3 * t, 3 * t + 3) }));
  };
  return {
    draw(now) {
      carry.show(now.carry === "on");
      swap.show(now.swap === "on");
      shown = numbers(now);
      const head = course.make("tr", {}, ["step", "input", "h", "c"].map((text) => course.make("th", { text })));
      const lines = shown.map(({ input: k, h, c }, t) =>
        course.make("tr", {}, [
          course.make("td", { text: t + 1 }),
          course.make("td", { text: k }),
          course.make("td", { class: "course-h", text: h.map((value) => course.written(value)).join("  ") }),
          course.make("td", { class: "course-c", text: c.map((value) => course.written(value)).join("  ") }),
        ]),
      );
      table.replaceChildren(head, ...lines);
    },
    numbers: () => shown.flatMap(({ h, c }) => [...h, ...c]),
  };
});
