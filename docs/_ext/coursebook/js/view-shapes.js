// Sizes by sliders, and the shape of every tensor: all computed by the runtime's own sizes.

course.view("shapes", ({ root, change }) => {
  const names = { T: "time steps T", N: "rows N", C: "features C", H: "units H", L: "layers L", directions: "directions D" };
  const most = { T: 12, N: 8, C: 12, H: 12, L: 3, directions: 2 };
  const sliders = Object.entries(names).map(([name, label]) => [
    name,
    course.controls.slider(label, { min: 1, max: most[name], value: 1 }, (value) => change({ [name]: value })),
  ]);
  const first = course.controls.toggle("batch_first", false, (on) => change({ batch_first: on ? "on" : "off" }));
  const table = course.make("table", { class: "course-numbers", "aria-live": "polite" });
  root.append(course.make("div", { class: "course-controls" }, [...sliders.map(([, slider]) => slider), first]), table);
  let shown = [];

  return {
    draw(now) {
      sliders.forEach(([name, slider]) => slider.show(Number(now[name])));
      first.show(now.batch_first === "on");
      const [T, N, C, H, L, D] = ["T", "N", "C", "H", "L", "directions"].map((name) => Number(now[name]));
      const given = { input: C, hidden: H, num_layers: L, bidirectional: D === 2, batch_first: now.batch_first === "on", N, T };
      const shape = (of) => course.answers.shape({ of, ...given });
      const x = given.batch_first ? [N, T, C] : [T, N, C];
      const axes = given.batch_first ? "N, T" : "T, N";
      const rows = [
        ["x", x, `${axes}, C`],
        ["out", shape("out"), `${axes}, D·H`],
        ["h_n", shape("h_n"), "L·D, N, H"],
        ["c_n", shape("c_n"), "L·D, N, H"],
      ];
      const count = course.answers.parameters(given);
      shown = [...rows.flatMap(([, sizes]) => sizes), count];
      const line = (cells, tag = "td") => course.make("tr", {}, cells.map((text) => course.make(tag, { text })));
      table.replaceChildren(
        line(["tensor", "shape", "axes"], "th"),
        ...rows.map(([name, sizes, said]) => line([name, `[${sizes.join(", ")}]`, said])),
        line(["parameters", String(count), "for any T and N"]),
      );
    },
    numbers: () => shown,
  };
});
