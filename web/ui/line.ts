// Lines over many steps.

export type Ends = [number, number];
type At = (t: number) => number; // a number at each step; NaN where there is none

/** The lowest and the highest number of some lines; the lowest is above the highest if there is none. */
export function extent(lines: readonly At[], T: number, from: number = 0): Ends {
  let [low, high] = [Infinity, -Infinity];
  for (const at of lines) {
    for (let t = from; t < from + T; t++) {
      const value = at(t);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

/** A line as a path: of many steps in one pixel, the lowest and the highest. */
export function linePath(at: At, T: number, x: (t: number) => number, y: (value: number) => number): string {
  const together = Math.max(1, Math.floor(1 / (x(1) - x(0))));
  let [path, pen] = ["", "M"];
  for (let t = 0; t < T; t += together) {
    const [low, high] = extent([at], Math.min(together, T - t), t);
    if (low <= high) path += `${pen}${x(t).toFixed(1)} ${y(low).toFixed(1)}V${y(high).toFixed(1)}`;
    pen = low <= high ? "L" : "M";
  }
  return path;
}
