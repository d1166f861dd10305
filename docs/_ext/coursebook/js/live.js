// Live figures: loaded when they come into view, shut until their prediction is made, and put in a state by links.

/** "carry=on swap=2" as an object. */
course.stateOf = (text) =>
  Object.fromEntries((text ?? "").split(/\s+/).filter(Boolean).map((part) => part.split("=").map(decodeURIComponent)));

class Figure {
  constructor(box) {
    this.box = box;
    this.id = box.dataset.id;
    this.stage = box.querySelector(".course-stage");
    this.state = { ...course.stateOf(box.dataset.state), ...stateInAddress(this.id) };
    this.view = null;
    this.started = null;
  }

  get shut() {
    const { after } = this.box.dataset;
    return after !== undefined && !course.predicted(after);
  }

  /** Show the still drawing, or what to do first. */
  wait() {
    this.box.dataset.shut = String(this.shut);
    this.gate ??= course.make("p", { class: "course-gate", text: "Answer the question above first: the figure then shows the answer." });
    if (this.shut) this.stage.before(this.gate);
    else this.gate.remove();
    this.stage.hidden = this.shut;
  }

  /** Load and draw; once. */
  start() {
    if (this.shut) return Promise.resolve();
    this.started ??= this.make().catch((error) => {
      this.box.append(course.make("p", { class: "course-said", text: `The figure could not be drawn: ${error.message}` }));
    });
    return this.started;
  }

  async make() {
    const { model, view } = this.box.dataset;
    await course.load("runtime.js");
    const names = (model ?? "").split(" ").filter(Boolean);
    const loaded = await Promise.all(names.map((name) => course.model(name)));
    const root = course.make("div", { class: "course-view" });
    this.view = course.views[view]({
      ...{ root, id: this.id, state: this.state, model: loaded[0] ?? null, runtime: window.courseRuntime },
      models: Object.fromEntries(names.map((name, k) => [name, loaded[k]])),
      change: (more) => this.change(more),
    });
    this.view.draw(this.state);
    this.stage.replaceChildren(root);
    this.box.dataset.ready = "true";
  }

  /** Take a link's state; what was set at single steps ("f@3") goes, as the link does not speak of it. */
  put(given) {
    for (const key of Object.keys(this.state)) if (key.includes("@")) delete this.state[key];
    Object.assign(this.state, given);
  }

  change(more) {
    Object.assign(this.state, more);
    this.view?.draw(this.state);
  }
}

const stateInAddress = (id) => {
  const query = new URLSearchParams(location.search);
  if (query.get("figure") !== id) return {};
  query.delete("figure");
  return Object.fromEntries(query);
};

course.setUpLive = (box) => {
  const figure = new Figure(box);
  course.figures[figure.id] = figure;
  figure.wait();
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) figure.start();
  });
  seen.observe(box);
  document.addEventListener("course-answered", () => {
    const was = figure.stage.hidden;
    figure.wait();
    if (was && !figure.shut) figure.start();
  });
};

course.setUpShow = (link) => {
  const { figure: id, state } = link.dataset;
  if (id === undefined) return;
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const figure = course.figures[id];
    figure.put(course.stateOf(state));
    figure.box.scrollIntoView({ block: "nearest" });
    await figure.start();
    figure.change({});
  });
};
