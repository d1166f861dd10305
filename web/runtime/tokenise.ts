// Splits text into words, as Python's hiddenstate.text.tokenise does, with the same patterns.

import { damaged } from "studio/runtime/errors.js";

/** The content of hiddenstate/text/tokenise.json. */
interface Pattern {
  classes: { javascript: Record<string, string> };
  lists: Record<string, string>;
  piece: Record<string, string>;
  two_words: Record<string, string>;
}

interface Tokeniser {
  tokenise: (text: string) => string[]; // words in order; only white space is dropped
  split: (text: string) => string[]; // words between white space
}

export function tokeniser(pattern: Pattern): Tokeniser {
  try {
    return made(pattern);
  } catch (error) {
    throw damaged(`the tokeniser's pattern can't be used (${error})`, "the data of hiddenstate.text.tokenise");
  }
}

function made(pattern: Pattern): Tokeniser {
  const names = { ...pattern.classes.javascript, ...pattern.lists };
  const compiled = (source: string, flags: string) => new RegExp(expanded(source, names), flags);
  const piece = compiled(joined(pattern.piece), "gu");
  const twoWords = compiled(`^(?:${joined(pattern.two_words)})$`, "u");
  const blank = compiled("[{space}]+", "gu");

  const words: (word: string) => string[] = (word) => {
    const match = twoWords.exec(word);
    if (match === null) return [word];
    const [first, second] = match.slice(1).filter((part) => part !== undefined);
    return [...words(first), second];
  };

  return {
    tokenise: (text) => (text.match(piece) ?? []).flatMap(words),
    split: (text) => text.split(blank).filter((word) => word !== ""),
  };
}

const joined = (alternatives: Record<string, string>): string => Object.values(alternatives).join("|");

/** Fills in the names in a pattern, and lets letters of either case match where the pattern allows it. */
function expanded(source: string, names: Record<string, string>): string {
  const named = source.replace(/\{([a-z_]+)\}/g, (_, name) => {
    if (!Object.hasOwn(names, name)) throw new Error(`it has no {${name}}`);
    return names[name];
  });
  return named.replace(/\(\?i:((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)/g, (_, body) => `(?:${eitherCase(body)})`);
}

/** @param body letters, marks, groups, and classes (which are left unchanged) */
const eitherCase = (body: string): string =>
  body.replace(/\[[^\]]*\]|[a-z]/gi, (part) =>
    part.length > 1 ? part : `[${part.toUpperCase()}${part.toLowerCase()}]`,
  );
