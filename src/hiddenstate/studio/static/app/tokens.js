// Tokens as they are shown: white space is made visible, and what is long is cut.

const SIGNS = new Map([[" ", "\u2423"], ["\n", "\u23ce"], ["\t", "\u21e5"], ["\r", "\u240d"], ["", "\u2205"]]);

/**
 * @param {string} token
 * @returns {string}
 */
export function shownToken(token) {
  return SIGNS.get(token) ?? token.replaceAll("\n", "\u23ce");
}

/**
 * @param {string} token
 * @param {number} most characters
 * @returns {string}
 */
export function shortToken(token, most) {
  const shown = [...shownToken(token)];
  return shown.length > most ? `${shown.slice(0, most - 1).join("")}\u2026` : shown.join("");
}
