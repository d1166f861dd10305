// Types shared by the sentence panel's modules; contains no code.

/** @typedef {{label: string, value: number, click?: () => void}} Bar a value in -1..1 */
/** @typedef {{root: SVGSVGElement, update: (bars: Bar[], chosen: number) => void}} Chart */

export {};
