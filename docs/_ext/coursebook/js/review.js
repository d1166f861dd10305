// Questions that come back: two days after an answer, then seven days after that one. Kept in this browser alone.

const DAY = 24 * 60 * 60 * 1000;
course.PAUSES = [2, 7];
course.now = () => Date.now();

/** When a question is due again, null when never. */
course.due = ({ answers = 0, last = 0 } = {}) => (answers >= 1 && answers <= course.PAUSES.length ? last + course.PAUSES[answers - 1] * DAY : null);

course.answered = (box) => {
  if (!("review" in box.dataset)) return;
  const name = `review.${box.dataset.id}`;
  const before = course.kept(name) ?? { answers: 0, last: 0 };
  const due = course.due(before);
  // An answer counts once a day is over in which it was due; changing one's mind meanwhile does not.
  if (before.answers === 0 || (due !== null && course.now() >= due)) {
    course.keep(name, { answers: before.answers + 1, last: course.now() });
  }
  course.showReview?.();
};

course.setUpReview = (place) => {
  const boxes = [...document.querySelectorAll(".course-predict[data-review]")];
  const due = () =>
    boxes.filter((box) => {
      const when = course.due(course.kept(`review.${box.dataset.id}`) ?? {});
      return when !== null && when <= course.now();
    });
  course.showReview = () => {
    const done = boxes.filter((box) => course.kept(`review.${box.dataset.id}`));
    const right = boxes.filter((box) => box.dataset.answered === "true");
    const again = due();
    const words = [`${done.length} of ${boxes.length} questions answered, ${right.length} of them correctly just now.`];
    words.push(again.length ? ` ${again.length} are due again today.` : " None is due today.");
    const begin = course.controls.button("Ask me what is due", () => {
      again.forEach((box) => box.forget());
      again[0].scrollIntoView({ block: "center" });
    });
    place.replaceChildren(course.make("p", { text: words.join("") }), ...(again.length ? [begin] : []));
  };
  course.showReview();
};
