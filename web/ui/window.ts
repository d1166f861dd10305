// The size of the part of the window that shows the page, without scrollbars, which innerWidth and innerHeight would
// include.

export function windowSize(): [width: number, height: number] {
  const { clientWidth, clientHeight } = document.documentElement;
  return [clientWidth, clientHeight];
}
