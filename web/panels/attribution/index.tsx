// Attribution: occlusion of every word, and exact Shapley values of the words nearest to the target.

import { useComputed } from "@preact/signals";
import { LARGE, NOTHING, OPPOSED } from "studio/facts.js";
import { type Occlusion, occlusion, occlusionCost } from "studio/runtime/explain/occlusion.js";
import { createPlayers } from "studio/runtime/explain/players.js";
import { MOST_PLAYERS, type Shapley, shapley, shapleyCost } from "studio/runtime/explain/shapley.js";
import { type NamedPlayer, type Explained, nearest, playersIn } from "studio/state/explained.js";
import type { Job, Work } from "studio/state/job.js";
import { shortToken } from "studio/state/run.js";
import type { View } from "studio/types.js";
import { choice, useApp, useJob, useNouns } from "studio/ui/app.js";
import { exactly, tick } from "studio/ui/draw.js";
import { Button, Progress, Segments } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";
import { type ChartProps, WordChart, signed } from "studio/ui/word-chart.js";

const HELP =
  "How much each word contributes to the target. Occlusion replaces one word at a time. Exact Shapley values replace " +
  `every subset of words, so their cost doubles with each word: they are limited to ${MOST_PLAYERS} words, the ` +
  "nearest to the word being explained. You can stop them at any time. Press a word to explain it.";

const PLAYERS = [
  { value: "words", text: "Words" },
  { value: "steps", text: "Characters" },
] as const;

const TRACE = "A recorded trace has no weights and can't be run again, so no word can be replaced in it.";

export function AttributionPanel() {
  const { store, view, question } = useApp();
  const setup = useComputed(() => {
    const { explained } = question.value;
    return explained && explained.subject.cells.length > 0 ? setupFor(explained, view) : null;
  });
  const occlusion = useJob("explain", () => setup.value, occlusionWork);
  const shapley = useJob("explain", () => (view.method === "shapley" ? occlusion.result : null), shapleyWork);
  const attribution = useComputed(() => {
    const [{ result }, { result: exact }] = [occlusion, shapley];
    if (result === null) return null;
    return { ...result.subject, occlusion: result.value, shapley: exact?.subject === result ? exact.value : null };
  }).value;
  const { explained } = question.value;
  const inNouns = useNouns();
  const isBusy = useComputed(() => occlusion.share < 1 || shapley.share < 1).value;
  const wanted = view.method === "shapley";
  const again = () => (occlusion.stopped ? occlusion.begin(setup.value) : shapley.begin(occlusion.result));

  const choose = (k: number) => {
    if (attribution === null) return;
    const { lead, steps } = attribution.explained.subject;
    store.set({ step: Math.max(0, Math.min(attribution.players[k].stop - 1 - lead, steps - lead - 1)) });
  };
  const sentences = attribution && [sumSentence(attribution), disagreementSentence(attribution)].filter(Boolean);
  return (
    <Panel
      {...{ id: "attribution", title: "Attribution: which words decided", help: HELP, hidden: explained === null }}
      picture={() => attribution && <ShareChart attribution={attribution} width={1000} />}
      exports={{ csv: () => (attribution ? attributionRows(attribution) : []) }}
      tools={
        <div class="attribution-work">
          {explained?.model.unit === "character" && (
            <Segments {...{ label: "Replace", options: PLAYERS, ...choice(store, "players") }} />
          )}
          {!isBusy && !(wanted && attribution?.shapley) && (
            <Button
              text={wanted ? "Compute again" : "Compute exact Shapley values"}
              press={wanted ? again : () => store.set({ method: "shapley" })}
            />
          )}
          {!isBusy && wanted && <Button text="Only occlusion" press={() => store.set({ method: "occlusion" })} />}
          <Progress of={occlusion} label="Progress" />
          <Progress of={shapley} label="Progress" />
        </div>
      }
    >
      <p class="attribution-says" role="status">
        {explained && setup.value === null ? TRACE : occlusion.problem || shapley.problem || sentences?.join(" ")}
      </p>
      <Stage class="scroll attribution-stage" reveal=".asked" when={attribution}>
        {(width) => attribution && <ShareChart {...{ attribution, width }} press={choose} />}
      </Stage>
      <div class="attribution-means">
        {attribution && meaningSentences(attribution).map((sentence) => <p>{inNouns(sentence)}</p>)}
      </div>
    </Panel>
  );
}

function ShareChart({ attribution, ...rest }: { attribution: Attribution } & Pick<ChartProps, "width" | "press">) {
  const { players, few, occlusion, shapley, explained } = attribution;
  const { t } = explained.target;
  const differ = disagreements(attribution).map((p) => few[p]);
  const shares = players.map((player) => shapleyValue(attribution, player) ?? NaN);
  const columns = players.map((player, p) => {
    const mark = differ.includes(player) ? " \u2260" : "";
    const value = Number.isNaN(shares[p]) ? "" : `, Shapley value ${signed(shares[p])}`;
    const label = `${player.name}: occlusion ${signed(occlusion.parts[p])}${value}`;
    return { word: shortToken(player.name, 16) + mark, label };
  });
  const rows = [
    { title: "Occlusion: loss without it", values: occlusion.parts, scale: "part" },
    ...(shapley === null ? [] : [{ title: "Shapley value", values: Float64Array.from(shares), scale: "part" }]),
  ];
  const asked = players.findIndex(({ start, stop }) => start <= t && t < stop);
  return <WordChart {...{ columns, rows, label: "Which words decided the result", asked, ...rest }} />;
}

function sumSentence({ explained, occlusion, shapley, few, all }: Attribution): string {
  const { whole, none, parts } = occlusion;
  const sum = parts.reduce((total, part) => total + part, 0);
  const said =
    `The ${explained.name} is ${exactly(whole)}, and ${exactly(none)} with everything replaced by ` +
    `${explained.subject.baselineName}: a difference of ${exactly(whole - none)}. Occlusion adds up to ${exactly(sum)}, ` +
    `leaving ${exactly(whole - none - sum)} unaccounted for.`;
  if (shapley === null) return said;
  const total = shapley.parts.reduce((before, part) => before + part, 0);
  const among = !all ? `, among the ${few.length} nearest, with ${exactly(shapley.none)} if these are replaced` : "";
  return `${said} Shapley values add up to ${exactly(total)}${among}; rounding leaves ${tick(shapley.residual.toExponential(0))}.`;
}

function meaningSentences({ explained, shapley, few, all, players }: Attribution): string[] {
  const what = explained.subject.baselineName;
  const one = players.some(({ start, stop }) => stop > start + 1) ? "word" : explained.model.unit;
  const said = [
    `Occlusion: how much the ${explained.name} falls when only that ${one} is replaced by ${what} and all others ` +
      `stay. It answers that question exactly. But if several ${one}s can substitute for one another, each may get little even ` +
      "if together they decide; and it says nothing about how the model does it.",
  ];
  if (shapley === null) return said;
  const rest = !all ? " The other words are never replaced." : "";
  said.push(
    `Shapley: the mean contribution of a ${one} over all orders in which the ${one}s can be added; all ${2 ** few.length} ways to ` +
      `replace ${one}s were run.${rest} So the parts add up. A large value does not prove that a ${one} matters by itself: what two do ` +
      "together is shared between them. Both methods depend on what the words are replaced by, and the model may never " +
      "have seen a text with such gaps. To see a cause inside the model, change a state below.",
  );
  return said;
}

/** A player's Shapley value: 0 after the target, which it can't affect; undefined if it was not computed. */
const shapleyValue = ({ shapley, few, all }: Attribution, player: NamedPlayer): number | undefined =>
  shapley?.parts[few.indexOf(player)] ?? (shapley !== null && all ? 0 : undefined);

function disagreementSentence(attribution: Attribution): string {
  const names = disagreements(attribution).map((p) => `\u201c${shortToken(attribution.few[p].name, 24)}\u201d`);
  if (attribution.shapley === null || names.length === 0) return "";
  return `Occlusion and Shapley values disagree about ${names.join(", ")}.`;
}

function disagreements({ occlusion, shapley, few, players }: Attribution): number[] {
  if (shapley === null) return [];
  const gone = few.map((one) => occlusion.parts[players.indexOf(one)]);
  const most = (all: ArrayLike<number>) => Array.from(all).reduce((a, b) => Math.max(a, Math.abs(b)), 1e-300);
  const [mostGone, mostPart] = [most(gone), most(shapley.parts)];
  return few.flatMap((_, p) => {
    const [a, b] = [gone[p] / mostGone, shapley.parts[p] / mostPart];
    const [small, large] = [Math.min(Math.abs(a), Math.abs(b)), Math.max(Math.abs(a), Math.abs(b))];
    const opposed = a * b < 0 && small > OPPOSED;
    return opposed || (large > LARGE && small < NOTHING) ? [p] : [];
  });
}

function attributionRows(attribution: Attribution): string[][] {
  const { players, occlusion } = attribution;
  const rows = players.map((player, p) => {
    const { start, stop, name } = player;
    return [start, stop, name, occlusion.parts[p], shapleyValue(attribution, player) ?? ""].map(String);
  });
  return [["start", "stop", "word", "occlusion", "shapley"], ...rows];
}

interface Setup {
  explained: Explained;
  players: NamedPlayer[];
  few: NamedPlayer[]; // the players that get Shapley values
  all: boolean; // whether these are all that can affect the target
}

interface Attribution extends Setup {
  occlusion: Occlusion;
  shapley: Shapley | null; // null unless computed
}

function setupFor(explained: Explained, view: View): Setup {
  const players = playersIn(explained, view.players);
  const few = nearest(players, explained, MOST_PLAYERS);
  return { explained, players, few, all: few.length === nearest(players, explained, players.length).length };
}

function occlusionWork({ explained: { subject, target }, players }: Setup): Work<Occlusion> {
  const all = createPlayers(subject, players);
  return { steps: occlusion(all, target), cost: occlusionCost(all, target) };
}

function shapleyWork({ subject: setup }: NonNullable<Job<Setup, Occlusion>["result"]>): Work<Shapley> {
  const { subject, target } = setup.explained;
  const few = createPlayers(subject, setup.few);
  return { steps: shapley(few, target), cost: shapleyCost(few, target) };
}
