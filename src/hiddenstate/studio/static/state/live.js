// Messages from Python while the page is open: a stream's steps, and changes of the view.

/** @typedef {import("studio/types.js").Boot} Boot */
/** @typedef {import("studio/types.js").LiveMessage} LiveMessage */
/** @typedef {import("studio/types.js").Stream} Stream */
/** @typedef {import("studio/state/types.js").App} App */

const KEEP = 240; // steps to show; earlier ones are dropped
const PAUSE = 80; // milliseconds between redraws, however fast the stream is

/**
 * Subscribes the session to Python's messages, once the model is loaded.
 * @param {App} app
 * @param {Boot["live"]} live
 * @param {(text: string) => void} say
 */
export function subscribeLive({ store, session, host }, live, say) {
  /** @type {Stream | null} */
  let stream = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let soon;
  const draw = () => {
    soon = undefined;
    if (stream === null) return;
    const { step } = store.get();
    const follows = session.run === null || !session.live || step >= session.run.steps - 1;
    session.show(stream.run(), follows);
  };
  host.watch(live, (message) => {
    if (message.type === "view") session.look(message.view);
    if (message.type === "end") say("Python has stopped the studio. This page still works.");
    if (message.type === "begin") stream = begun(session, message);
    if (message.type === "step" && stream !== null) {
      stream.step(message.x, message.token ?? String(message.t));
      soon ??= setTimeout(draw, PAUSE);
    }
  });
}

/**
 * @param {App["session"]} session
 * @param {import("studio/types.js").LiveBegin} state
 * @returns {Stream | null}
 */
function begun({ model }, state) {
  if (model === null) return null;
  const stream = model.stream();
  stream.keep = KEEP;
  stream.reset(state);
  return stream;
}
