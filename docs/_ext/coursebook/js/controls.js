// Controls of the live figures: buttons, switches, sliders. Each is a form control, so the keyboard works them.

course.controls = {
  /** A switch; `change(on)`. */
  toggle(label, on, change) {
    const box = course.make("input", { type: "checkbox" });
    box.checked = on;
    box.addEventListener("change", () => change(box.checked));
    const made = course.make("label", { class: "course-control" }, [box, ` ${label}`]);
    made.show = (value) => (box.checked = value);
    return made;
  },
  /** A slider with its value beside it; `change(value)`. */
  slider(label, { min, max, step = 1, value, written = String }, change) {
    const range = course.make("input", { type: "range", min, max, step, value, "aria-label": label });
    const shown = course.make("output", { text: written(value) });
    range.addEventListener("input", () => {
      shown.textContent = written(Number(range.value));
      change(Number(range.value));
    });
    const made = course.make("label", { class: "course-control" }, [`${label} `, range, " ", shown]);
    made.show = (given) => {
      range.value = given;
      shown.textContent = written(given);
    };
    return made;
  },
  /** A button; `act()`. */
  button(label, act) {
    return course.make("button", { type: "button", text: label, on: { click: act } });
  },
};

/** A line through points of [0, 1] × [low, high], as the `points` of a polyline in a box. */
course.points = (values, { left, top, width, height, low, high }) =>
  values
    .map((value, k) => {
      const x = left + (values.length === 1 ? 0 : (k / (values.length - 1)) * width);
      const y = top + height * (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low));
      return `${x.toFixed(2)},${y.toFixed(2)}`;
    })
    .join(" ");

/** The same, drawn as steps: each value holds for its own step, so n values fill n strips of the box. */
course.stairs = (values, box) => {
  const step = box.width / values.length;
  return values
    .map((value, k) => {
      const y = course.points([value], box).split(",")[1];
      return `${(box.left + k * step).toFixed(2)},${y} ${(box.left + (k + 1) * step).toFixed(2)},${y}`;
    })
    .join(" ");
};

/** A number as the pages write it. */
course.written = (value, digits = 4) => (Object.is(value, -0) ? 0 : value).toFixed(digits);
