// The light or dark theme, as chosen by the user or set in the system.

import { signal } from "@preact/signals";
import type { View } from "studio/types.js";

const SYSTEM = window.matchMedia("(prefers-color-scheme: dark)");

const PROBE = document.createElement("i"); // an element used to compute colours
PROBE.hidden = true;

const dark = signal(darkNow());

/** Whether the theme is dark now. A component that reads it, or a colour below, is drawn again in another theme. */
export const isDark = (): boolean => dark.value;

function darkNow() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "dark" || (chosen !== "light" && SYSTEM.matches);
}

/** @returns whether the user prefers reduced motion */
export const isCalm = (): boolean => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export function applyTheme(theme: View["theme"]) {
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  tell();
}

/** The current value, light or dark, of a colour of the page's style, such as "--ink", for use on a canvas. */
export function resolved(variable: string): string {
  isDark();
  if (!PROBE.isConnected) document.body.append(PROBE);
  PROBE.style.color = `var(${variable})`;
  return getComputedStyle(PROBE).color;
}

/** A font family of the page's style, such as "--sans", for use on a canvas. */
export const fontFamily = (variable: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

const RULER = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;

/** The width of texts in a font, in pixels; `font`: as a canvas takes it: "16px serif". */
export function measure(font: string): (text: string) => number {
  return (text) => {
    RULER.font = font;
    return RULER.measureText(text).width;
  };
}

/** The width of a text on the page, for which the page need not be laid out. */
export function widthOf(text: Element): number {
  const { fontStyle, fontWeight, fontSize, fontFamily: family, letterSpacing } = getComputedStyle(text);
  const { textContent: content } = text;
  const width = measure(`${fontStyle} ${fontWeight} ${fontSize} ${family}`)(content);
  return width + content.length * (parseFloat(letterSpacing) || 0); // or "normal"
}

function tell() {
  dark.value = darkNow();
}

SYSTEM.addEventListener("change", tell);
