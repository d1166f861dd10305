// Types shared by the sentence panel's modules; contains no code.

/** a value in -1..1 */
export type Bar = { label: string; value: number; click?: () => void };
export type Chart = { root: SVGSVGElement; update: (bars: Bar[], chosen: number) => void };
