// Splits text into words and sentences, as Python's hiddenstate.text.tokenise does, with the same patterns.

import { damaged } from "studio/runtime/errors.js";

/** The content of hiddenstate/text/tokenise.json. */
interface Pattern {
  classes: { javascript: Record<string, string> };
  lists: Record<string, string>;
  piece: Record<string, string>;
  two_words: Record<string, string>;
  sentence_end: string;
  abbreviated: string;
  longest_abbreviation: number;
  line_end: string;
}

interface Tokeniser {
  tokenise: (text: string) => string[]; // words in order; only white space is dropped
  sentences: (text: string) => string[]; // one per line, or a single line split after its sentence marks
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
  const sentenceEnd = compiled(pattern.sentence_end, "gu");
  const abbreviated = compiled(pattern.abbreviated, "gu");
  const blank = compiled("[{space}]+", "gu");
  const edges = compiled("^[{space}]+|[{space}]+$", "gu");
  const lineEnd = compiled(pattern.line_end, "gu");
  const longest = 2 * pattern.longest_abbreviation; // a character has at most two UTF-16 units

  const words: (word: string) => string[] = (word) => {
    const match = twoWords.exec(word);
    if (match === null) return [word];
    const [first, second] = match.slice(1).filter((part) => part !== undefined);
    return [...words(first), second];
  };

  const endsSentence: (line: string, end: number) => boolean = (line, end) => {
    abbreviated.lastIndex = Math.max(0, end - longest);
    return abbreviated.exec(line.slice(0, end)) === null;
  };

  const splitLine: (line: string) => string[] = (line) => {
    const ends = Array.from(line.matchAll(sentenceEnd), (match) => match.index + match[0].length);
    const starts = [0, ...ends.filter((end) => endsSentence(line, end))];
    return starts.map((start, k) => line.slice(start, starts[k + 1]).replace(edges, ""));
  };

  return {
    tokenise: (text) => (text.match(piece) ?? []).flatMap(words),
    sentences: (text) => {
      const lines = text
        .split(lineEnd)
        .map((line) => line.replace(edges, ""))
        .filter((line) => line !== "");
      return lines.length > 1 ? lines : lines.flatMap(splitLine);
    },
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
