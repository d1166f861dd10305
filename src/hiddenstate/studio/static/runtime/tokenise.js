// Splits text into words and sentences, as Python's hiddenstate.text.tokenise does, with the same patterns.

import { damaged } from "studio/runtime/errors.js";

/**
 * The content of hiddenstate/text/tokenise.json.
 * @typedef {object} Pattern
 * @property {{javascript: Record<string, string>}} classes
 * @property {Record<string, string>} lists
 * @property {Record<string, string>} piece
 * @property {Record<string, string>} two_words
 * @property {string} sentence_end
 * @property {string} abbreviated
 * @property {number} longest_abbreviation
 * @property {string} line_end
 */

/**
 * @typedef {object} Tokeniser
 * @property {(text: string) => string[]} tokenise words in order; only white space is dropped
 * @property {(text: string) => string[]} sentences one per line, or a single line split after its sentence marks
 * @property {(text: string) => string[]} split words between white space
 */

/**
 * @param {Pattern} pattern
 * @returns {Tokeniser}
 */
export function tokeniser(pattern) {
  try {
    return made(pattern);
  } catch (error) {
    throw damaged(`the tokeniser's pattern can't be used (${error})`, "the data of hiddenstate.text.tokenise");
  }
}

/**
 * @param {Pattern} pattern
 * @returns {Tokeniser}
 */
function made(pattern) {
  const names = { ...pattern.classes.javascript, ...pattern.lists };
  const compiled = (/** @type {string} */ source, /** @type {string} */ flags) =>
    new RegExp(expanded(source, names), flags);
  const piece = compiled(joined(pattern.piece), "gu");
  const twoWords = compiled(`^(?:${joined(pattern.two_words)})$`, "u");
  const sentenceEnd = compiled(pattern.sentence_end, "gu");
  const abbreviated = compiled(pattern.abbreviated, "gu");
  const blank = compiled("[{space}]+", "gu");
  const edges = compiled("^[{space}]+|[{space}]+$", "gu");
  const lineEnd = compiled(pattern.line_end, "gu");
  const longest = 2 * pattern.longest_abbreviation; // a character has at most two UTF-16 units

  /** @type {(word: string) => string[]} */
  const words = (word) => {
    const match = twoWords.exec(word);
    if (match === null) return [word];
    const [first, second] = match.slice(1).filter((part) => part !== undefined);
    return [...words(first), second];
  };

  /** @type {(line: string, end: number) => boolean} */
  const endsSentence = (line, end) => {
    abbreviated.lastIndex = Math.max(0, end - longest);
    return abbreviated.exec(line.slice(0, end)) === null;
  };

  /** @type {(line: string) => string[]} */
  const splitLine = (line) => {
    const ends = Array.from(line.matchAll(sentenceEnd), (match) => match.index + match[0].length);
    const starts = [0, ...ends.filter((end) => endsSentence(line, end))];
    return starts.map((start, k) => line.slice(start, starts[k + 1]).replace(edges, ""));
  };

  return {
    tokenise: (text) => (text.match(piece) ?? []).flatMap(words),
    sentences: (text) => {
      const lines = text.split(lineEnd).map((line) => line.replace(edges, "")).filter((line) => line !== "");
      return lines.length > 1 ? lines : lines.flatMap(splitLine);
    },
    split: (text) => text.split(blank).filter((word) => word !== ""),
  };
}

/**
 * @param {Record<string, string>} alternatives
 * @returns {string}
 */
function joined(alternatives) {
  return Object.values(alternatives).join("|");
}

/**
 * Fills in the names in a pattern, and lets letters of either case match where the pattern allows it.
 * @param {string} source
 * @param {Record<string, string>} names
 * @returns {string}
 */
function expanded(source, names) {
  const named = source.replace(/\{([a-z_]+)\}/g, (_, name) => {
    if (!Object.hasOwn(names, name)) throw new Error(`it has no {${name}}`);
    return names[name];
  });
  return named.replace(/\(\?i:((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)/g, (_, body) => `(?:${eitherCase(body)})`);
}

/**
 * @param {string} body letters, marks, groups, and classes (which are left unchanged)
 * @returns {string}
 */
function eitherCase(body) {
  return body.replace(/\[[^\]]*\]|[a-z]/gi, (part) =>
    part.length > 1 ? part : `[${part.toUpperCase()}${part.toLowerCase()}]`,
  );
}
