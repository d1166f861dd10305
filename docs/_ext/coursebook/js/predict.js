// Questions: an answer first, then why; the answer stays on the page.

const reasonOf = (item) => item.querySelector(".course-because");

course.setUpPredict = (box) => {
  const { id } = box.dataset;
  const unmarked = "unmarked" in box.dataset;
  const reveal = box.querySelector(".course-reveal");
  const items = [...box.querySelectorAll(".course-choices > li")];
  const said = course.make("p", { class: "course-said", "aria-live": "polite" });
  box.querySelector(".course-choices").after(said);
  const buttons = items.map((item) => {
    const place = item.querySelector(".course-choice");
    const button = course.make("button", { type: "button", class: "course-pick", "aria-pressed": "false" });
    for (const child of [...place.childNodes]) button.append(...(child.nodeName === "P" ? child.childNodes : [child]));
    place.replaceChildren(button);
    return button;
  });
  const show = (chosen) => {
    const item = chosen === null ? null : items[chosen];
    items.forEach((each, k) => {
      buttons[k].setAttribute("aria-pressed", String(k === chosen));
      each.dataset.state = item === null ? "" : k === chosen ? "chosen" : "";
      if (item !== null && !unmarked && "right" in each.dataset) each.dataset.state += " right";
      const reason = reasonOf(each);
      if (reason === null) return;
      reason.hidden = item === null;
      reason.open = k === chosen && !("right" in each.dataset); // the answer below says why it is right
    });
    box.dataset.answered = item === null ? "" : unmarked ? "noted" : String("right" in item.dataset);
    said.textContent = item === null ? "" : unmarked ? "Noted. You will meet this question again." : "right" in item.dataset ? "Right." : "Incorrect. Your answer stays marked; read why, then what follows.";
    if (reveal !== null) {
      reveal.hidden = item === null;
      reveal.open = item !== null;
    }
    document.dispatchEvent(new CustomEvent("course-answered", { detail: { id, answered: item !== null } }));
  };
  buttons.forEach((button, k) =>
    button.addEventListener("click", () => {
      course.keep(`answer.${id}`, k);
      show(k);
      course.answered?.(box, "right" in items[k].dataset);
    }),
  );
  box.forget = () => {
    course.keep(`answer.${id}`, null);
    show(null);
  };
  const before = course.kept(`answer.${id}`);
  show(Number.isInteger(before) && before < items.length ? before : null);
};

/** Whether a prediction was made. */
course.predicted = (id) => {
  const box = document.getElementById(`predict-${id}`);
  return box === null || Boolean(box.dataset.answered);
};
