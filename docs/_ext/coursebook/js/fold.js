// What answers a question is folded until the question is answered; whoever opens it before may.

course.setUpFold = (fold) => {
  const summary = fold.querySelector("summary");
  let shown = false;
  const look = () => {
    if (shown || !course.predicted(fold.dataset.after)) return;
    shown = true; // once: from then on the reader opens and shuts it
    fold.open = true;
    summary.textContent = "The cell that shows it";
  };
  document.addEventListener("course-answered", look);
  look();
};

/** Open what a link into the page leads to. */
course.openTarget = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  let fold = target?.closest("details");
  if (!fold) return;
  for (; fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
};
