// Numbers that a page asks for, computed by the runtime's own sizes. coursebook/answers.py has the same.

const sizesOf = ({ input, hidden, num_layers = 1, bidirectional = false, bias = true, proj_size = 0 }) => ({
  ...{ inputSize: input, hiddenSize: hidden, numLayers: num_layers, bidirectional, bias, projSize: proj_size },
});

course.answer("parameters", (given) =>
  window.courseRuntime.tracksOf(sizesOf(given)).reduce((sum, { units, outputs, inputSize }) => {
    const biases = given.bias === false ? 0 : 2;
    const projection = given.proj_size ? units * outputs : 0;
    return sum + 4 * units * (inputSize + outputs + biases) + projection;
  }, 0),
);

course.answer("shape", ({ of, N, T, batch_first = false, ...given }) => {
  const tracks = window.courseRuntime.tracksOf(sizesOf(given));
  const [{ units, outputs }] = tracks;
  const width = tracks.filter(({ layer }) => layer === 0).length * outputs;
  if (of === "out") return batch_first ? [N, T, width] : [T, N, width];
  return [tracks.length, N, of === "c_n" ? units : outputs];
});

/** A unit whose gates are set, run by the runtime; its c begins where it is told to. */
course.unit = (model, values, steps, before = 0) => {
  const edit = (place, value, t) => ({ place, kind: "set", value, unit: null, t, scope: "write" });
  const later = Array.from({ length: steps }, (_, t) => t + 1);
  const set = Object.entries(values).map(([gate, value]) => edit(`l0.${gate}`, value, later));
  const rows = Array.from({ length: steps + 1 }, () => new Float32Array(1));
  return model.runNumbers(rows, [edit("l0.c", before, [0]), ...set]).tracks[0].values;
};

course.answer("cell", async ({ of, c_prev: before, ...gates }) => course.unit(await course.model("unit"), gates, 1, before)[of][1]);

/** Numbers of a text, in order: "[4, 8, 20]" and "4 8 20" are the same answer; what precedes a "=" is not part of it. */
course.numbersIn = (text) => {
  const answer = text.replaceAll("−", "-").split("=").at(-1);
  return (answer.match(/-?(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?/gi) ?? []).map(Number);
};

/** The number that an answer to a question about one number means: "540,000", "-0,75" and "-3/4" are numbers too. */
course.numberIn = (text) => {
  const numbers = course.numbersIn(text.replace(/(?<=\b[1-9]\d{0,2}(?:,\d{3})*),(?=\d{3}(?:,|\b))/g, "").replace(",", "."));
  return numbers.length === 2 && /\d\s*\/\s*\d/.test(text) ? [numbers[0] / numbers[1]] : numbers;
};

// Three decimals are enough.
const near = (a, b, tolerance) => a.length === b.length && a.every((value, k) => Math.abs(value - b[k]) <= tolerance * Math.max(1, Math.abs(b[k])));
const same = (a, b) => near(a, b, 1e-3);
const roundedTooFar = (answer, right) => !right.every(Number.isInteger) && near(answer, right, 1e-2);

const placed = (answer, right) => {
  const count = answer.filter((value, k) => same([value], [right[k]])).length;
  return right.length === 1 ? "" : ` ${count} of your ${right.length} numbers ${count === 1 ? "is" : "are"} right.`;
};

course.setUpAsk = (box) => {
  const { id, kind, given } = box.dataset;
  const reveal = box.querySelector("details");
  const wrong = [...box.querySelectorAll(".course-wrong > li")];
  const said = course.make("div", { class: "course-said", "aria-live": "polite" });
  const rule = box.querySelector(".course-rule");
  const input = course.make("input", { type: "text", inputmode: "decimal", "aria-label": "Your answer", size: 16 });
  const check = async () => {
    await course.load("runtime.js");
    const right = [await course.answers[kind](JSON.parse(given))].flat();
    const answer = right.length === 1 ? course.numberIn(input.value) : course.numbersIn(input.value);
    if (answer.length === 0) {
      said.textContent = "Write numbers.";
      return;
    }
    const known = wrong.find((each) => same(course.numbersIn(each.dataset.value), answer));
    box.dataset.answered = String(same(answer, right));
    if (same(answer, right)) said.textContent = "Right.";
    else if (known) said.replaceChildren("Incorrect. ", ...[...known.cloneNode(true).childNodes]);
    else if (roundedTooFar(answer, right)) said.textContent = "Close, but the answer is compared to three decimals. Round it less.";
    else if (answer.length !== right.length) said.textContent = `Incorrect. ${right.length === 1 ? "One number is" : `${right.length} numbers are`} asked for.`;
    else said.replaceChildren("Incorrect. Work it out once more: ", ...rule.cloneNode(true).childNodes, placed(answer, right));
    reveal.hidden = false;
  };
  const form = course.make("form", { class: "course-form" }, [input, course.make("button", { text: "Check" })]);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    course.keep(`ask.${id}`, input.value);
    check();
  });
  reveal.hidden = true;
  reveal.before(form, said);
  const before = course.kept(`ask.${id}`);
  if (typeof before === "string") {
    input.value = before;
    check();
  }
};
