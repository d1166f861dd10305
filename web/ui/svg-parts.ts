// Makes the texts of pictures fit.

export type Box = { x: number; y: number; width: number; height: number };

const rooms: WeakMap<SVGTextElement, number> = new WeakMap();

/** Lets `fit` narrow a text that is wider than its room. */
export function keepWithin(text: SVGTextElement | null, room: number) {
  if (text && room < Infinity) rooms.set(text, room);
}

/** Narrows texts that are too wide for their space (fonts differ) in a picture, which must be on the page. */
export function fit(picture: Element) {
  const texts = [...picture.querySelectorAll("text")].filter((one) => rooms.has(one));
  for (const one of texts) one.removeAttribute("textLength");
  const wide = texts.filter((one) => one.getComputedTextLength() > (rooms.get(one) as number));
  for (const one of wide) {
    one.setAttribute("textLength", String(rooms.get(one)));
    one.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}
