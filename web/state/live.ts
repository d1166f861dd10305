// Messages from Python while the page is open: a stream's steps, and changes of the view.

import type { App } from "studio/state/types.js";
import type { Boot, BeginMessage, Stream } from "studio/types.js";

const KEEP = 240; // steps to show; earlier ones are dropped
const PAUSE = 80; // milliseconds between redraws, however fast the stream is

/** Subscribes the session to Python's messages, once the model is loaded. */
export function subscribeLive({ store, session, host }: App, live: Boot["live"], say: (text: string) => void) {
  let stream: Stream | null = null;
  let soon: ReturnType<typeof setTimeout> | undefined;
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

function begun({ model }: App["session"], state: BeginMessage): Stream | null {
  if (model === null) return null;
  const stream = model.stream();
  stream.keep = KEEP;
  stream.reset(state);
  return stream;
}
