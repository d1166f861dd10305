// Lines to be put in order, by buttons.

const codeOf = (item) => item.querySelector("code").textContent;
const namesIn = (text) => text.match(/[A-Za-z_]\w*/g) ?? [];
const sidesOf = (line) => [line.slice(0, line.indexOf(" = ")), line.slice(line.indexOf(" = ")).split("  # ")[0]];

/** Say which line first reads a name that no line above it sets; nothing if there is none. */
const firstUnset = (lines, all) => {
  const settable = new Set(all.flatMap((line) => namesIn(sidesOf(line)[0])));
  const set = new Set();
  for (const line of lines) {
    const [left, right] = sidesOf(line);
    const missing = namesIn(right).find((name) => settable.has(name) && !set.has(name));
    if (missing) return [course.make("code", { text: line }), " reads ", course.make("code", { text: missing }), ", which no line above it sets; "];
    namesIn(left).forEach((name) => set.add(name));
  }
  return [];
};

course.setUpParsons = (box) => {
  const list = box.querySelector(".course-lines");
  const solution = box.querySelector(".course-solution");
  const said = course.make("div", { class: "course-said", "aria-live": "polite" });
  const used = () => [...list.children].filter((item) => item.dataset.out !== "true");
  const { id } = box.dataset;
  const items = [...list.children];
  let checked = false;
  const keep = () => {
    const order = [...list.children].map((item) => [items.indexOf(item), item.dataset.out === "true"]);
    course.keep(`order.${id}`, { order, checked });
  };
  const wanted = [...list.children].filter((item) => item.dataset.line).length;
  const move = (item, by, button) => {
    const other = by < 0 ? item.previousElementSibling : item.nextElementSibling;
    if (other === null) return;
    if (by < 0) other.before(item);
    else other.after(item);
    keep();
    button.focus();
    said.textContent = `Now line ${[...list.children].indexOf(item) + 1} of ${list.children.length}.`;
  };
  for (const item of [...list.children]) {
    const code = item.querySelector("code").textContent;
    const button = (label, text, act) => {
      const made = course.make("button", { type: "button", text, "aria-label": `${label}: ${code}` });
      made.addEventListener("click", () => act(made));
      return made;
    };
    const out = button("leave out", "✕", (made) => {
      item.dataset.out = String(item.dataset.out !== "true");
      made.setAttribute("aria-pressed", item.dataset.out);
      keep();
    });
    out.setAttribute("aria-pressed", "false");
    const buttons = [button("up", "↑", (made) => move(item, -1, made)), button("down", "↓", (made) => move(item, 1, made)), out];
    item.prepend(course.make("span", { class: "course-moves" }, buttons));
    item.querySelector(".course-why").hidden = true;
  }
  const check = () => {
    const extra = used().find((item) => item.dataset.about !== undefined);
    const first = used().findIndex((item, k) => Number(item.dataset.line) !== k + 1);
    if (extra) said.replaceChildren("Incorrect. ", course.make("code", { text: extra.querySelector("code").textContent }), " ", ...[...extra.querySelector(".course-why").cloneNode(true).childNodes]);
    else if (first >= 0) said.replaceChildren("Not yet: ", ...firstUnset(used().map(codeOf), items.map(codeOf)), `the first line that is out of place is line ${first + 1} of those you use.`);
    else if (used().length < wanted) said.textContent = `Not yet: ${wanted} lines are needed, and you use ${used().length}.`;
    else said.textContent = "Right.";
    box.dataset.answered = String(said.textContent === "Right.");
    solution.hidden = false;
    checked = true;
    keep();
  };
  const restore = ({ order, checked: before }) => {
    for (const [k, out] of order) {
      list.append(items[k]);
      if (out) items[k].querySelector("[aria-pressed]").click();
    }
    if (before) check();
  };
  solution.hidden = true;
  list.after(course.controls.button("Check", check), said);
  const before = course.kept(`order.${id}`);
  if (before?.order?.length === items.length && before.order.every(([k]) => items[k])) restore(before);
};
