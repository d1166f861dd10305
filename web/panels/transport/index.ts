// The controls for moving through the sentence (play, step, scrub), and for choosing the layer and direction of all
// panels.

import { PACES } from "studio/state/player.js";
import { wordAt } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { trackTitle } from "studio/state/units.js";
import { nothingToPlay, tellStep } from "studio/panels/transport/words.js";
import type { Model } from "studio/types.js";
import { chooser, iconButton, segments } from "studio/ui/controls.js";
import { element, set } from "studio/ui/draw.js";
import { icon } from "studio/ui/icons.js";

export function mountTransport(app: App): HTMLElement {
  const { root: paces, fill } = chooser("Pace", (pace) => {
    app.player.pace = PACES[pace as keyof typeof PACES];
  });
  paces.classList.add("nameless");
  fill([{ label: "", options: Object.keys(PACES).map((name) => ({ value: name, text: name })) }], "steady");
  return element("section", { id: "transport", class: "transport", "aria-label": "Step through the run" }, [
    buttons(app),
    scrubber(app),
    paces,
    tracks(app),
    telling(app),
  ]);
}

function buttons({ player, session }: App) {
  const play = iconButton("play", "Play", () => player.toggle(), "play");
  const back = iconButton("previous", "One step back", () => player.move(-1));
  const on = iconButton("next", "One step forward", () => player.move(1));
  const made = [back, play, on];
  const show = () => {
    const name = player.playing ? "Pause" : "Play";
    const why = nothingToPlay(session); // "" if playing is possible
    const titles = ["One step back (\u2190)", `${name} (space)`, "One step forward (\u2192)"];
    play.replaceChildren(icon(player.playing ? "pause" : "play"));
    set(play, "aria-label", name);
    made.forEach((button, k) => {
      button.disabled = why !== "";
      button.title = why || titles[k];
    });
  };
  player.on(show);
  session.on("run", show);
  show();
  return element("div", { class: "transport-buttons" }, made);
}

/** The description of the step at the cursor. */
function telling({ store, session, player }: App) {
  const line = element("p", { class: "transport-tells" });
  const show = () => {
    const { run } = session;
    const view = store.get();
    const fresh = view.step === 0 && !player.playing && !session.live;
    const first = nothingToPlay(session) || (fresh ? "Press Play to watch the model continue reading." : "");
    line.textContent = [run && tellStep(run, view), first].filter(Boolean).join(" ");
  };
  player.on(show);
  session.on("run", show);
  store.subscribe(["step", "track"], show);
  show();
  return line;
}

function scrubber({ store, session, player }: App) {
  const slider = element("input", {
    type: "range",
    id: "scrub",
    min: 0,
    max: 0,
    step: 1,
    value: 0,
    "aria-label": "Step",
  });
  const says = element("output", { class: "transport-says number", for: "scrub", "aria-live": "off" });
  slider.addEventListener("input", () => {
    player.pause();
    store.set({ step: Number(slider.value) });
  });
  const show = () => {
    const { run } = session;
    const { step } = store.get();
    slider.value = String(step);
    says.textContent = run ? `${step} / ${run.steps - 1}` : "";
    set(
      slider,
      "aria-valuetext",
      run
        ? [`Step ${step} of ${run.steps - 1}`, wordAt(run, step, 14)].filter(Boolean).join(": ")
        : "nothing is read yet",
    );
  };
  session.on("run", () => {
    slider.max = String(Math.max(0, player.last));
    slider.disabled = player.last < 1;
    show();
  });
  store.subscribe(["step"], show);
  return element("div", { class: "transport-scrub" }, [slider, says]);
}

function tracks({ store, session }: App) {
  const holder = element("div", { class: "transport-tracks" });
  let show: ((track: string) => void) | null = null;
  session.on("model", () => {
    const { model } = session;
    if (model === null) return;
    const { root, show: shown } = trackChoice(model, (track) => store.set({ track }));
    show = shown;
    holder.replaceChildren(root);
    holder.hidden = model.tracks.length < 2;
    show(store.get().track);
  });
  store.subscribe(["track"], ({ track }) => show?.(track));
  return holder;
}

const MOST_BUTTONS = 6;

function trackChoice(
  model: Model,
  choose: (track: string) => void,
): { root: HTMLElement; show: (track: string) => void } {
  const twoWays = model.tracks.some(({ reverse }) => reverse);
  const choices = model.tracks.map((info) => ({
    value: info.name,
    text: `l${info.layer}${twoWays ? (info.reverse ? " \u2190" : " \u2192") : ""}`,
    title: `${trackTitle(info, twoWays)} (${info.name}), ${info.units} units`,
  }));
  if (choices.length <= MOST_BUTTONS) return segments("Layer and direction", choices, choose);
  const { select, fill } = chooser("Layer and direction", choose);
  select.setAttribute("aria-label", "Layer and direction");
  fill([{ label: "", options: choices.map(({ value, title }) => ({ value, text: title })) }], choices[0].value);
  return { root: select, show: (track) => (select.value = track) };
}
