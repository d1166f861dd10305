// The tour's card: a step's text and task, the progress, and a button to continue once the step is done.

import { paragraph, rich } from "studio/panels/tour/text.js";
import { element, set, svg } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";

/** The actions of the buttons. */
interface Ways {
  go: (index: number) => void;
  leave: () => void;
  showPanel: () => void;
}

/** The texts of the card; only texts that changed are rewritten. */
export interface Texts {
  says: string[];
  task: string;
  status: string;
  learnt: string; // "" until the step is done
}

/** @param titles of all steps */
export function createCard(titles: readonly string[], ways: Ways) {
  const parts = {
    count: element("p", { class: "tour-count" }),
    pips: element("ol", { class: "tour-pips" }),
    title: element("h2", { class: "tour-title", tabindex: "-1", id: "tour-title" }),
    says: element("div", { class: "tour-says" }),
    task: element("div", { class: "tour-task" }),
    work: element("div", { class: "tour-work" }),
    status: element("p", { class: "tour-status" }), // shown as part of the task
    learnt: element("div", { class: "tour-learnt", role: "status" }),
  };
  const back = button("Back", () => ways.go(shown.index - 1));
  const on = button("Skip", () => ways.go(shown.index + 1));
  const panel = button("Show me where", ways.showPanel, { class: "quiet" });
  const close = button("×", ways.leave, {
    class: "quiet round tour-close",
    "aria-label": "Leave the tour. You can resume it later.",
    title: "Leave the tour",
  });
  const root = element("aside", { class: "tour-card", "aria-labelledby": "tour-title" }, [
    element("header", {}, [parts.count, parts.pips, close]),
    element("div", { class: "tour-scroll" }, [parts.title, parts.says, parts.task, parts.work, parts.learnt]),
    element("footer", {}, [back, panel, on]),
  ]);
  const shown = { index: 0, written: "" };
  /** A card without a task. */
  const last = (count: string, title: string, says: HTMLElement[]) => {
    Object.assign(shown, { index: titles.length, written: "" });
    parts.count.textContent = count;
    parts.title.textContent = title;
    parts.says.replaceChildren(...says);
    for (const part of [parts.task, parts.learnt]) part.replaceChildren();
    root.classList.remove("done");
    panel.hidden = true;
    back.disabled = false;
    on.textContent = "Close";
    set(on, "class", "");
    parts.title.focus({ preventScroll: true });
  };

  return {
    root,
    show(index: number, finished: Set<number>, work: HTMLElement | null, hasPanel: boolean) {
      Object.assign(shown, { index, written: "" });
      parts.count.textContent = `Tour, step ${index + 1} of ${titles.length}`;
      parts.title.textContent = titles[index];
      parts.pips.replaceChildren(...pips(titles, index, finished, ways));
      parts.work.replaceChildren(...(work ? [work] : []));
      panel.hidden = !hasPanel;
      back.disabled = index === 0;
      parts.title.focus({ preventScroll: true });
      root.querySelector(".tour-scroll")?.scrollTo(0, 0);
    },
    /** @returns whether anything was written */
    write(texts: Texts): boolean {
      const written = JSON.stringify(texts);
      if (written === shown.written) return false;
      const before = shown.written ? (JSON.parse(shown.written) as Texts) : null;
      shown.written = written;
      if (String(before?.says) !== String(texts.says))
        parts.says.replaceChildren(...texts.says.filter(Boolean).map(paragraph));
      if (before?.task !== texts.task || Boolean(before?.learnt) !== Boolean(texts.learnt)) {
        parts.task.replaceChildren(
          tick(texts.learnt !== ""),
          element("div", {}, [element("p", {}, rich(texts.task)), parts.status]),
        );
      }
      parts.status.textContent = texts.status;
      if (before?.learnt !== texts.learnt)
        parts.learnt.replaceChildren(...(texts.learnt ? [paragraph(`Done. ${texts.learnt}`)] : []));
      const done = texts.learnt !== "";
      root.classList.toggle("done", done);
      on.textContent = !done ? "Skip" : shown.index === titles.length - 1 ? "Finish" : "Next";
      set(on, "class", done ? "primary" : "");
      return true;
    },
    finish({ go, equations }: { go: (page: "read" | "compare" | "structure") => void; equations: string[] }) {
      parts.pips.replaceChildren(...pips(titles, titles.length, new Set(titles.keys()), ways));
      last("The tour is done", "That is all there is to an LSTM", [
        paragraph(
          `${equations.length === 6 ? "Six" : "Seven"} equations, the same at every step; each layer and direction has ` +
            "its own weights, and a network without biases leaves out the b. You have seen what each one does, " +
            "in real numbers:",
        ),
        element("pre", { class: "tour-equations" }, [element("code", { text: equations.join("\n") })]),
        paragraph("What next? Type your own sentences, change whatever you like, and compare two runs side by side."),
      ]);
      parts.work.replaceChildren(
        element("div", { class: "tour-ends" }, [
          button("Keep exploring", () => go("read"), { class: "primary" }),
          button("Compare two runs", () => go("compare")),
          button("Look at the weights", () => go("structure")),
        ]),
      );
    },
    /** @param why there is no tour */
    refuse({ title, says }: { title: string; says: string }) {
      parts.pips.replaceChildren();
      last("Tour", title, [paragraph(says)]);
      parts.work.replaceChildren();
      back.disabled = true;
    },
  };
}

function pips(titles: readonly string[], index: number, finished: Set<number>, ways: Ways) {
  return titles.map((title, k) => {
    const said = `Step ${k + 1}: ${title}${finished.has(k) ? ", done" : ""}`;
    const pip = button("", () => ways.go(k), {
      title: said,
      "aria-label": said,
      class: finished.has(k) ? "pip finished" : "pip",
    });
    if (k === index) pip.setAttribute("aria-current", "step");
    return element("li", {}, [pip]);
  });
}

function tick(done: boolean) {
  return svg("svg", { class: "tick", viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" }, [
    svg("circle", { cx: 10, cy: 10, r: 8.5 }),
    ...(done ? [svg("path", { d: "M6 10.5l2.8 2.8L14.2 7.5" })] : []),
  ]);
}
