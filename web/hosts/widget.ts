// The page in a notebook, in a frame of its own. Communicates with Python through the widget, and with the frame
// through messages.

/** The part of anywidget's model that is used here. */
interface WidgetModel {
  get: (name: string) => any;
  send: (content: object) => void;
  on: (event: string, fn: (content: any, buffers: DataView[]) => void) => void;
  off: (event: string, fn: (content: any, buffers: DataView[]) => void) => void;
}

/** @returns removes the page */
function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const wait = document.createElement("p");
  wait.textContent = "The studio appears once Python is idle. If it does not, run this cell again.";
  const frame = document.createElement("iframe");
  frame.title = "hiddenstate studio";
  // Allows scripts, but without this page's origin, so that they can't reach the notebook.
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  Object.assign(frame.style, { width: "100%", height: `${model.get("height")}px`, border: "0" });

  const fromPython: (content: any, buffers: DataView[]) => void = (content, buffers) => {
    const numbers = (buffers ?? []).map(copiedBytes);
    if (content.type !== "page") {
      const header =
        content.view?.theme === "auto" ? { ...content, view: { ...content.view, theme: notebookTheme(el) } } : content;
      frame.contentWindow?.postMessage({ header, numbers: numbers[0] ?? new ArrayBuffer(0) }, "*");
    } else if (frame.srcdoc === "") {
      frame.srcdoc = new TextDecoder().decode(numbers[0]);
      wait.replaceWith(frame);
    }
  };
  const fromFrame = (event: MessageEvent) => {
    if (event.source === frame.contentWindow) model.send(event.data);
  };

  model.on("msg:custom", fromPython);
  window.addEventListener("message", fromFrame);
  el.append(wait);
  model.send({ type: "page" });
  return () => {
    model.off("msg:custom", fromPython);
    window.removeEventListener("message", fromFrame);
    wait.remove();
    frame.remove();
  };
}

/** @returns the notebook's theme, which may differ from the system's: dark if its text is light */
function notebookTheme(el: HTMLElement): "light" | "dark" {
  const [red = 0, green = 0, blue = 0] = (getComputedStyle(el).color.match(/[\d.]+/g) ?? []).map(Number);
  return red + green + blue > 3 * 128 ? "dark" : "light";
}

/** @returns a copy with exactly these bytes */
const copiedBytes = (view: DataView): ArrayBuffer =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice().buffer;

export default { render };
