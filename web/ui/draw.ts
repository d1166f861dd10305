// Creates elements, SVG and canvases in one line each. Text is inserted as text, never as HTML.

const MOST_PIXELS = 16000; // largest canvas side; browsers draw nothing on larger canvases
const SVG = "http://www.w3.org/2000/svg";

type Attribute = string | number | boolean | null | undefined;
type Child = Node | string | null | undefined;

/** `class`, `text`, `style` (an object), `on` (event listeners) and any attribute; null and false omit it. */
interface Special {
  class?: string;
  text?: string | number;
  style?: Record<string, string | number>;
  on?: Record<string, (event: any) => void>;
}

type Attributes = Special & Record<string, any>;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  children: Child[] = [],
): HTMLElementTagNameMap[K] {
  return finish(document.createElement(tag), attributes, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  children: Child[] = [],
): SVGElementTagNameMap[K] {
  return finish(document.createElementNS(SVG, tag), attributes, children);
}

function finish<E extends HTMLElement | SVGElement>(
  made: E,
  { text, style, on, ...attributes }: Attributes,
  children: Child[],
): E {
  for (const [name, value] of Object.entries(attributes)) set(made, name, value);
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, String(value));
  for (const [name, listener] of Object.entries(on ?? {})) made.addEventListener(name, listener);
  if (text !== undefined) made.textContent = String(text);
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
  return made;
}

/** Sets an attribute; true sets it empty; null, undefined and false remove it. */
export function set(node: Element, name: string, value: Attribute) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
}

/** A canvas of this size at screen resolution, with a context in CSS pixels. */
export function canvas(
  width: number,
  height: number,
  attributes: Attributes = {},
): { canvas: HTMLCanvasElement; context: CanvasRenderingContext2D } {
  const made = element("canvas", attributes);
  return { canvas: made, context: resize(made, width, height) };
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
export function format(number: number): string {
  return number.toFixed(4);
}

/** Formats a number on a scale, with a minus sign as wide as a plus sign. */
export function tick(value: number | string): string {
  return String(value).replace("-", "\u2212");
}

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
