// Exports panels as files. Exports are self-contained: styles are resolved, and nothing refers to the page.

import { download } from "studio/state/host.js";
import { MOST_PIXELS } from "studio/ui/draw.js";
import { resolved } from "studio/ui/theme.js";

// Inherited CSS properties that affect SVG elements; the rest of a computed style has no effect on them.
const INHERITED = (
  "fill fill-opacity stroke stroke-width stroke-opacity stroke-dasharray stroke-linecap stroke-linejoin font-family " +
  "font-size font-weight font-style letter-spacing text-anchor dominant-baseline visibility image-rendering paint-order"
).split(" ");
const OWN = Object.entries({ opacity: "1", transform: "none" }); // with their default values
const SHARPNESS = 2;
const SVG = "http://www.w3.org/2000/svg";

export interface Exports {
  svg?: () => SVGSVGElement | null; // null if nothing is drawn
  png?: () => HTMLCanvasElement | SVGSVGElement | null;
  csv?: () => string[][];
}

/** `name`: of the file, without ending; returns whether there was anything to save */
export async function save(name: string, kind: keyof Exports, exports: Exports): Promise<boolean> {
  if (kind === "csv") {
    const rows = exports.csv?.() ?? [];
    if (rows.length > 0) download(`${name}.csv`, "text/csv", csv(rows));
    return rows.length > 0;
  }
  const [drawn, picture] = kind === "svg" ? [exports.svg?.(), null] : [null, exports.png?.()];
  if (drawn) download(`${name}.svg`, "image/svg+xml", svgText(drawn));
  if (picture) download(`${name}.png`, "image/png", await png(picture));
  return Boolean(drawn ?? picture);
}

/** Formats rows as CSV (RFC 4180). */
export function csv(rows: string[][]): string {
  const field = (value: string) => (/[",\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return rows.map((row) => row.map(field).join(",") + "\r\n").join("");
}

/** A picture as a self-contained file: its CSS styles are written into it; `picture`: on the page or not. */
export const svgText = (picture: SVGSVGElement): string => new XMLSerializer().serializeToString(standalone(picture));

const standalone = (picture: SVGSVGElement): SVGSVGElement =>
  onPage(picture, () => {
    const copy = picture.cloneNode(true) as SVGSVGElement;
    const { width, height } = pictureSize(picture);
    resolveStyles(picture, copy);
    for (const name of ["class", "style", "tabindex"]) copy.removeAttribute(name);
    for (const [name, value] of Object.entries({ xmlns: SVG, width, height })) copy.setAttribute(name, String(value));
    if (!copy.hasAttribute("viewBox")) copy.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [x, y, w, h] = (copy.getAttribute("viewBox") ?? "").split(/[\s,]+/);
    const ground = document.createElementNS(SVG, "rect");
    const area = { x, y, width: w, height: h, fill: resolved("--surface") };
    for (const [key, value] of Object.entries(area)) ground.setAttribute(key, value);
    copy.prepend(ground);
    return copy;
  });

/** Runs `fn` while a picture is in the document, since only there are its styles computed. */
function onPage<R>(picture: SVGSVGElement, fn: () => R): R {
  if (picture.isConnected) return fn();
  const holder = document.createElement("div");
  holder.className = "offstage";
  holder.append(picture);
  document.body.append(holder);
  try {
    return fn();
  } finally {
    holder.remove();
  }
}

function pictureSize(picture: SVGSVGElement) {
  const box = picture.viewBox.baseVal;
  const shown = picture.getBoundingClientRect();
  const width = Number(picture.getAttribute("width")) || box?.width || shown.width;
  const height = Number(picture.getAttribute("height")) || box?.height || shown.height;
  return { width, height };
}

/** `to`: its copy; `above`: the style of its parent, which is not repeated */
function resolveStyles(from: Element, to: Element, above: CSSStyleDeclaration | null = null) {
  const style = getComputedStyle(from);
  for (const name of INHERITED) {
    const value = style.getPropertyValue(name);
    if (above === null || value !== above.getPropertyValue(name)) to.setAttribute(name, value);
    else to.removeAttribute(name);
  }
  for (const [name, plain] of OWN) {
    const value = style.getPropertyValue(name);
    if (value !== plain && !from.hasAttribute(name)) to.setAttribute(name, value);
  }
  if (style.display === "none") to.setAttribute("display", "none");
  for (const name of ["class", "style", "tabindex"]) to.removeAttribute(name);
  [...from.children].forEach((child, k) => resolveStyles(child, to.children[k], style));
}

async function png(picture: HTMLCanvasElement | SVGSVGElement): Promise<Blob> {
  const canvas = picture instanceof HTMLCanvasElement ? picture : await rasterised(picture);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG could be made of this picture"))));
  });
}

async function rasterised(picture: SVGSVGElement): Promise<HTMLCanvasElement> {
  const { width, height } = onPage(picture, () => pictureSize(picture));
  const image = new Image(width, height);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(picture))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  const fine = Math.min(SHARPNESS, MOST_PIXELS / Math.max(width, height));
  [canvas.width, canvas.height] = [Math.ceil(width * fine), Math.ceil(height * fine)];
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}
