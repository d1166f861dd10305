// The part of the window that shows the page, without scrollbars, which innerWidth and innerHeight include.

/** @returns {[width: number, height: number]} */
export function windowSize() {
  const { clientWidth, clientHeight } = document.documentElement;
  return [clientWidth, clientHeight];
}
