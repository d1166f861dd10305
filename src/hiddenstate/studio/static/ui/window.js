// The part of the window that shows the page: without the scrollbars, which innerWidth and innerHeight count in.

/** @returns {[width: number, height: number]} */
export function windowSize() {
  const { clientWidth, clientHeight } = document.documentElement;
  return [clientWidth, clientHeight];
}
