// All that is on the page, set up once it is there.

const start = () => {
  const each = (selector, setUp) => document.querySelectorAll(selector).forEach(setUp);
  document.documentElement.dataset.course = "live";
  course.keep("probe", 1);
  each(".course-predict", course.setUpPredict);
  each(".course-ask", course.setUpAsk);
  each(".course-parsons", course.setUpParsons);
  each(".course-live", course.setUpLive);
  each(".course-show", course.setUpShow);
  each(".course-after", course.setUpFold);
  each(".course-review", course.setUpReview);
  window.addEventListener("hashchange", course.openTarget);
  course.openTarget();
};
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
