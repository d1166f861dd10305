// The controls for moving through the sentence (play, step, scrub), and for choosing the layer and direction of all
// panels.

import { neighbours } from "studio/state/moment.js";
import { PACES } from "studio/state/player.js";
import { memoryState, trackOf, trackTitle, wordAt } from "studio/state/run.js";
import type { App } from "studio/state/types.js";
import type { Run, Track, View } from "studio/types.js";
import { choice, useApp } from "studio/ui/app.js";
import { percent } from "studio/ui/draw.js";
import { IconButton, Select, TrackChoice } from "studio/ui/form.js";

export function TransportPanel() {
  const { player } = useApp();
  return (
    <section id="transport" class="transport" aria-label="Step through the run">
      <Buttons />
      <Scrubber />
      <Select
        {...{ label: "Pace", kind: "nameless", value: player.pace }}
        options={Object.keys(PACES).map((name) => ({ value: name, text: name }))}
        choose={(name) => (player.pace = name as keyof typeof PACES)}
      />
      <Tracks />
      <Telling />
    </section>
  );
}

function Buttons() {
  const { player, session } = useApp();
  const name = player.playing ? "Pause" : "Play";
  const why = nothingToPlay(session); // "" if playing is possible
  const about = (label: string, key: string) => ({ label, title: why || `${label} (${key})`, disabled: why !== "" });
  return (
    <div class="transport-buttons">
      <IconButton icon="previous" {...about("One step back", "\u2190")} onClick={() => player.move(-1)} />
      <IconButton
        {...{ icon: player.playing ? "pause" : "play", kind: "play", ...about(name, "space") }}
        onClick={() => player.toggle()}
      />
      <IconButton icon="next" {...about("One step forward", "\u2192")} onClick={() => player.move(1)} />
    </div>
  );
}

function Scrubber() {
  const { store, session, player, view } = useApp();
  const { run } = session;
  const { step } = view;
  const spoken = run && [`Step ${step} of ${run.steps - 1}`, wordAt(run, step, 14)].filter(Boolean).join(": ");
  return (
    <div class="transport-scrub">
      <input
        {...{ type: "range", id: "scrub", min: 0, max: Math.max(0, player.last), step: 1, value: step }}
        {...{ disabled: player.last < 1, "aria-label": "Step", "aria-valuetext": spoken ?? "nothing is read yet" }}
        onInput={({ currentTarget }) => {
          player.pause();
          store.set({ step: Number(currentTarget.value) });
        }}
      />
      <output class="transport-says number" for="scrub" aria-live="off">
        {run && `${step} / ${run.steps - 1}`}
      </output>
    </div>
  );
}

function Tracks() {
  const { store, session } = useApp();
  const { model } = session;
  if (model === null || model.tracks.length < 2) return null;
  const twoWays = model.tracks.some(({ reverse }) => reverse);
  const options = model.tracks.map((info) => ({
    value: info.name,
    text: `l${info.layer}${twoWays ? (info.reverse ? " \u2190" : " \u2192") : ""}`,
    title: `${trackTitle(info, twoWays)} (${info.name}), ${info.units} units`,
  }));
  return (
    <div class="transport-tracks">
      <TrackChoice {...{ options, ...choice(store, "track") }} />
    </div>
  );
}

function Telling() {
  const { session, player, view } = useApp();
  const isNew = view.step === 0 && !player.playing && !session.live;
  const first = nothingToPlay(session) || (isNew ? "Press Play to watch the model continue reading." : "");
  return <p class="transport-tells">{[session.run && tellStep(session.run, view), first].filter(Boolean).join(" ")}</p>;
}

const LONGEST = 18; // maximum number of characters in a word

/** Returns why there is nothing to play; "" if there is. */
function nothingToPlay({ run, model }: Pick<App["session"], "run" | "model">): string {
  if (run === null || model === null) return "Nothing has been read yet.";
  return run.steps > 1 ? "" : `There is only one ${model.unit}, so there is nothing to play.`;
}

function tellStep(run: Run, { step, track: name }: Pick<View, "step" | "track">): string {
  const track = trackOf(run, name);
  if (step >= run.steps) return "";
  const word = wordAt(run, step, LONGEST);
  const reads = `${track.info.name} reads ${word === "" ? `step ${step}` : `\u201c${word}\u201d`}`;
  const isFirst = neighbours(track, step, run.steps).before === null;
  const does = gatesSay(track, step, isFirst && track.initial[memoryState(track)].every((value) => value === 0));
  return does === "" ? `${reads}.` : `${reads}: ${does}.`;
}

/** `empty`: whether there is no memory yet; returns "" if a gate was not recorded */
function gatesSay({ values, info }: Track, t: number, empty: boolean): string {
  const [f, i, o, r, z] = ["f", "i", "o", "r", "z"].map((gate) => mean(values[gate], t, info.units));
  const means = `(mean of ${info.units} units)`;
  const nothing = "there is no memory to keep yet";
  if ([r, z].every(Number.isFinite)) {
    const keeps = empty ? nothing : `the update gate keeps ${percent(z)} of the memory`;
    return `${keeps}; the reset gate lets the candidate read ${percent(r)} of it ${means}`;
  }
  if (![f, i, o].every(Number.isFinite)) return "";
  const keeps = empty ? nothing : `the forget gate keeps ${percent(f)} of the memory`;
  const others = `the input gate lets in ${percent(i)} of the candidate, the output gate outputs ${percent(o)}`;
  return `${keeps}; ${others} ${means}`;
}

function mean(values: Float32Array | undefined, t: number, units: number) {
  if (values === undefined) return NaN;
  return values.subarray(t * units, (t + 1) * units).reduce((sum, value) => sum + value, 0) / units;
}
