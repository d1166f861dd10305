// Tokens for display: invisible characters are made visible, and long tokens are cut.

const SIGNS = new Map([
  [" ", "\u2423"],
  ["\n", "\u23ce"],
  ["\t", "\u21e5"],
  ["\r", "\u240d"],
]);
// White space, control characters, and invisible characters such as joiners, variation selectors and direction marks.
const FORMLESS = /^[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]+$/u;

export const isFormless = (token: string) => FORMLESS.test(token);

/** @returns with symbols or code points, "U+FE0F", in place of invisible characters */
export function shownToken(token: string): string {
  if (token === "") return "\u2205";
  if (!isFormless(token)) return token.replaceAll("\n", "\u23ce");
  return Array.from(token, (character) => SIGNS.get(character) ?? codePoint(character)).join("");
}

const codePoint = (character: string) =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

export function shortToken(token: string, most: number): string {
  const shown = [...shownToken(token)];
  return shown.length > most ? `${shown.slice(0, most - 1).join("")}\u2026` : shown.join("");
}

/** Whether the steps have words, which they lack if the model reads numbers. */
export const hasWords = ({ tokens }: { tokens: string[] }) => !tokens.every(isNumber);

const isNumber = (token: string, t: number) => token === String(t);

/** The word of a step; "" if the run reads numbers; `most`: characters. */
export const wordAt = ({ tokens }: { tokens: string[] }, t: number, most: number): string =>
  isNumber(tokens[t], t) ? "" : shortToken(tokens[t] ?? "", most);

/** A step's number, and its word if it has one; returns "step 3 \u201cfield\u201d". */
export function stepName(run: { tokens: string[] }, t: number): string {
  const word = wordAt(run, t, 24);
  return word === "" ? `step ${t}` : `step ${t} \u201c${word}\u201d`;
}
