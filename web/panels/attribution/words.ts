// Explains the numbers, their sums, and what they do not prove.

import { LARGE, NOTHING, OPPOSED } from "studio/facts.js";
import type { Attribution } from "studio/panels/attribution/work.js";
import type { NamedPlayer } from "studio/state/explained.js";
import { shortToken } from "studio/state/tokens.js";
import { exactly, tick } from "studio/ui/draw.js";

/** The sums of the parts, with their residuals. */
export function sumSentence({ explained, occlusion, shapley, few, all }: Attribution): string {
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

export function meaningSentences({ explained, shapley, few, all, players }: Attribution): string[] {
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

/**
 * A player's Shapley value; 0 for a player after the target, which it can't affect.
 *
 * @returns undefined if it was not computed
 */
export function shapleyValue({ shapley, few, all }: Attribution, player: NamedPlayer): number | undefined {
  return shapley?.parts[few.indexOf(player)] ?? (shapley !== null && all ? 0 : undefined);
}

/** The players on which the two methods disagree. */
export function disagreementSentence(attribution: Attribution): string {
  const names = disagreements(attribution).map((p) => `\u201c${shortToken(attribution.few[p].name, 24)}\u201d`);
  if (attribution.shapley === null || names.length === 0) return "";
  return `Occlusion and Shapley values disagree about ${names.join(", ")}.`;
}

/** @returns players, by index among those few */
export function disagreements({ occlusion, shapley, few, players }: Attribution): number[] {
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

export function attributionRows(attribution: Attribution): string[][] {
  const { players, occlusion } = attribution;
  const top = ["start", "stop", "word", "occlusion", "shapley"];
  return [
    top,
    ...players.map((player, p) => {
      const part = shapleyValue(attribution, player);
      return [
        String(player.start),
        String(player.stop),
        player.name,
        String(occlusion.parts[p]),
        part === undefined ? "" : String(part),
      ];
    }),
  ];
}
