// The course's pages: questions, exercises and live figures. A classic script, so that it runs from a disk too.

const course = { views: {}, answers: {}, figures: {} };
window.course = course;

const SVG = "http://www.w3.org/2000/svg";
const HERE = document.currentScript ? document.currentScript.src : "";
const KEY = "hiddenstate.course.";

/** Make an element: attributes, `text`, `on` (listeners), children. */
course.make = (tag, { text, on, ...attributes } = {}, children = []) => {
  const made = course.SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, listener] of Object.entries(on ?? {})) made.addEventListener(name, listener);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
};
course.SVG_TAGS = new Set(["svg", "g", "rect", "line", "path", "text", "circle", "polyline", "title"]);

/** What is stored in this browser, and nowhere else; null without. */
course.kept = (name) => {
  try {
    return JSON.parse(localStorage.getItem(KEY + name));
  } catch {
    return null;
  }
};
course.keep = (name, value) => {
  try {
    if (value === null) localStorage.removeItem(KEY + name);
    else localStorage.setItem(KEY + name, JSON.stringify(value));
  } catch {
    course.sayThatNothingIsStored(); // as in some private windows: the page works, and forgets
  }
};

/** Say once, above the first box that takes an answer, that answers are lost. */
course.sayThatNothingIsStored = () => {
  const first = document.querySelector(".course-predict, .course-exercise, .course-parsons");
  if (first === null || document.querySelector(".course-unstored") !== null) return;
  const text = "This browser stores nothing for this page, so your answers are lost when you leave it.";
  first.before(course.make("p", { class: "course-unstored", role: "status", text }));
};

const loading = new Map();

/** Load a classic script that lies beside this one, once. */
course.load = (name) => {
  if (!loading.has(name)) {
    loading.set(
      name,
      new Promise((resolve, reject) => {
        const script = course.make("script", { src: HERE.replace(/course\.js.*$/, name) });
        script.addEventListener("load", resolve);
        script.addEventListener("error", () => reject(new Error(`${name} could not be loaded`)));
        document.head.append(script);
      }),
    );
  }
  return loading.get(name);
};

const models = new Map();

/** Load a model: the runtime, its numbers, and from both what runs. */
course.model = (name) => {
  if (!models.has(name)) {
    models.set(
      name,
      Promise.all([course.load("runtime.js"), course.load(`model-${name}.js`)]).then(() => {
        const { head, weights } = window.courseModels[name];
        const bytes = Uint8Array.from(atob(weights), (sign) => sign.charCodeAt(0));
        return window.courseRuntime.loadModel(head, bytes.buffer);
      }),
    );
  }
  return models.get(name);
};

/** Register a view; tests/course/AUTHORING.md says what it gets and gives. */
course.view = (name, make) => {
  course.views[name] = make;
};

/** Register what a question of numbers asks for. */
course.answer = (name, compute) => {
  course.answers[name] = compute;
};
