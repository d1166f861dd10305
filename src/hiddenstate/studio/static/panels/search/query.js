// Makes a query from some steps of a sentence: it finds where the unit is as high, or as low, for as long.

/**
 * @param {string} address of the unit
 * @param {number[]} values its values at the steps
 * @param {number} median its median over the corpus
 * @param {number[]} stored the thresholds whose bits are stored, which are searched at once
 * @returns {string}
 */
export function queryOf(address, values, median, stored) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const long = values.length > 1 ? ` for ${values.length}..` : "";
  if (mean >= median) {
    const low = Math.min(...values);
    const kept = stored.filter((threshold) => threshold < low && threshold >= median).at(-1);
    return `${address} > ${kept ?? hundredths(low, Math.floor)}${long}`;
  }
  const high = Math.max(...values);
  const kept = stored.find((threshold) => threshold > high && threshold <= median);
  return `${address} < ${kept ?? hundredths(high, Math.ceil)}${long}`;
}

/**
 * Rounds a value to the next hundredth beyond it, so that the value itself satisfies the comparison.
 * @param {number} value
 * @param {(value: number) => number} round
 */
function hundredths(value, round) {
  const beyond = round === Math.floor ? -1e-6 : 1e-6;
  return Number((round((value + beyond) * 100) / 100).toFixed(2));
}
