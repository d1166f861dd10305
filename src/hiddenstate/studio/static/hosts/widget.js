// The page in a notebook: in a frame of its own, apart from the notebook's own page. Speaks with Python through the
// widget, and with the frame by messages.

/**
 * What anywidget gives: the widget's model, of which this is used.
 * @typedef {object} WidgetModel
 * @property {(name: string) => any} get
 * @property {(content: object) => void} send
 * @property {(event: string, fn: (content: any, buffers: DataView[]) => void) => void} on
 * @property {(event: string, fn: (content: any, buffers: DataView[]) => void) => void} off
 */

/**
 * @param {{model: WidgetModel, el: HTMLElement}} given
 * @returns {() => void} takes the page away
 */
function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = "hiddenstate studio";
  // Scripts, but not this page's origin: what runs in the frame can't reach the notebook.
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  Object.assign(frame.style, { width: "100%", height: `${model.get("height")}px`, border: "0" });

  /** @type {(content: any, buffers: DataView[]) => void} */
  const fromPython = (content, buffers) => {
    const numbers = (buffers ?? []).map(bytesOf);
    if (content.type === "page") frame.srcdoc ||= new TextDecoder().decode(numbers[0]);
    else frame.contentWindow?.postMessage({ header: content, numbers: numbers[0] ?? new ArrayBuffer(0) }, "*");
  };
  /** @param {MessageEvent} event */
  const fromFrame = (event) => {
    if (event.source === frame.contentWindow) model.send(event.data);
  };

  model.on("msg:custom", fromPython);
  window.addEventListener("message", fromFrame);
  el.append(frame);
  model.send({ type: "page" });
  return () => {
    model.off("msg:custom", fromPython);
    window.removeEventListener("message", fromFrame);
    frame.remove();
  };
}

/**
 * @param {DataView} view
 * @returns {ArrayBuffer} a copy, which alone holds these bytes
 */
function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice().buffer;
}

export default { render };
