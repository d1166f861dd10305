// The size of the part of the window that shows the page, without scrollbars, which innerWidth and innerHeight would
// include.

/** @returns {[width: number, height: number]} */
export function windowSize() {
  const { clientWidth, clientHeight } = document.documentElement;
  return [clientWidth, clientHeight];
}
