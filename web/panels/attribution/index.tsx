// Attribution: occlusion of every word, and exact Shapley values of the words nearest to the target.

import { useComputed } from "@preact/signals";
import { type Attribution, occlusionWork, setupFor, shapleyWork } from "studio/panels/attribution/work.js";
import {
  attributionRows,
  disagreementSentence,
  disagreements,
  meaningSentences,
  shapleyValue,
  sumSentence,
} from "studio/panels/attribution/words.js";
import { MOST_PLAYERS } from "studio/runtime/explain/shapley.js";
import { shortToken } from "studio/state/tokens.js";
import { useApp, useJob } from "studio/ui/app.js";
import { Progress, Segments } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";
import { WordChart, signed } from "studio/ui/word-chart.js";

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
            <Segments
              {...{ label: "Replace", options: PLAYERS, value: view.players }}
              choose={(players) => store.set({ players })}
            />
          )}
          {!isBusy && !(wanted && attribution?.shapley) && (
            <button type="button" onClick={wanted ? again : () => store.set({ method: "shapley" })}>
              {wanted ? "Compute again" : "Compute exact Shapley values"}
            </button>
          )}
          {!isBusy && wanted && (
            <button type="button" onClick={() => store.set({ method: "occlusion" })}>
              Only occlusion
            </button>
          )}
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
        {attribution && meaningSentences(attribution).map((sentence) => <p>{sentence}</p>)}
      </div>
    </Panel>
  );
}

/** How much each player contributes, by both methods. */
function ShareChart({
  attribution,
  ...rest
}: {
  attribution: Attribution;
  width: number;
  press?: (k: number) => void;
}) {
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
  return <WordChart {...{ columns, rows, label: "Which words decided the result", chosen: -1, asked, ...rest }} />;
}
