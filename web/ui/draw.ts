// Canvases, attributes, and numbers as text.

export const MOST_PIXELS = 16000; // largest canvas side; browsers draw nothing on larger canvases

/** Sets an attribute; true sets it empty; null, undefined and false remove it. */
export function set(node: Element, name: string, value: string | number | boolean | null | undefined) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
}

/** Resizes a canvas, which clears it. */
export function resize(made: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const fine = Math.min(window.devicePixelRatio || 1, MOST_PIXELS / Math.max(width, height, 1));
  made.width = Math.max(1, Math.round(width * fine));
  made.height = Math.max(1, Math.round(height * fine));
  made.style.width = `${width}px`;
  made.style.height = `${height}px`;
  const context = made.getContext("2d") as CanvasRenderingContext2D;
  context.setTransform(fine, 0, 0, fine, 0, 0);
  return context;
}

/** Formats a number with four digits, as in Python's tables. */
export const format = (number: number): string => number.toFixed(4);

/** Formats a number on a scale, with a minus sign as wide as a plus sign. */
export const tick = (value: number | string): string => String(value).replace("-", "\u2212");

/** Formats a signed number with three decimals; very small numbers keep significant digits. */
export function exactly(value: number): string {
  const size = Math.abs(value);
  const written = size === 0 || size >= 0.0005 ? value.toFixed(3) : value.toExponential(0);
  return tick(value > 0 ? `+${written}` : written);
}

/** Formats a share as a percentage: "92 %", "<1 %". */
export function percent(share: number): string {
  if (share > 0 && share < 0.01) return "<1 %";
  if (share < 1 && share >= 0.995) return ">99 %";
  return `${Math.round(share * 100)} %`;
}
