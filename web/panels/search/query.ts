// Makes a query from some steps of a sentence: it finds where the unit is as high, or as low, for as long.

/**
 * @param address of the unit
 * @param values its values at the steps
 * @param median its median over the corpus
 * @param stored the thresholds whose bits are stored, which are searched at once
 */
export function spanQuery(address: string, values: number[], median: number, stored: number[]): string {
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

/** Rounds a value to the next hundredth beyond it, so that the value itself satisfies the comparison. */
function hundredths(value: number, round: (value: number) => number) {
  const beyond = round === Math.floor ? -1e-6 : 1e-6;
  return Number((round((value + beyond) * 100) / 100).toFixed(2));
}
