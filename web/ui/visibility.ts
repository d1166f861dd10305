// What of the page is on the screen: panels in view, parts to scroll to, and the sizes of elements and of the window.

/** Calls `fn` when an element comes onto the screen or close to it, or is printed, and when it leaves, until the result is called. */
export function watchVisibility(root: HTMLElement, fn: (seen: boolean) => void): () => void {
  const observer = new IntersectionObserver((entries) => fn(entries[entries.length - 1].isIntersecting), {
    rootMargin: "200px",
  });
  const ended = new AbortController();
  const watch = () => {
    observer.disconnect();
    observer.observe(root);
  };
  watch();
  addEventListener("beforeprint", () => fn(true), ended);
  addEventListener("afterprint", watch, ended);
  return () => {
    observer.disconnect();
    ended.abort();
  };
}

/** Scrolls a stage sideways until an element in it is visible. */
export function scrollTo(stage: HTMLElement, part: Element | null) {
  if (part === null || stage.scrollWidth <= stage.clientWidth) return;
  const [all, one] = [stage.getBoundingClientRect(), part.getBoundingClientRect()];
  if (one.left >= all.left && one.right <= all.right) return;
  stage.scrollLeft += (one.left + one.right - all.left - all.right) / 2;
}

/** Keeps elements of class "stays", such as names, in view when a stage is scrolled sideways. */
export function keepNames(stage: HTMLElement) {
  const move = () => {
    for (const part of stage.querySelectorAll("svg .stays")) {
      part.setAttribute("transform", `translate(${stage.scrollLeft} 0)`);
    }
  };
  stage.addEventListener("scroll", move, { passive: true });
  new MutationObserver(move).observe(stage, { childList: true });
}

/** Calls `fn` when an element's size changes, but not when the element is hidden. */
export function onResize(root: HTMLElement, fn: () => void) {
  new ResizeObserver(([entry]) => entry.contentRect.width > 0 && fn()).observe(root);
}

export function windowSize(): [width: number, height: number] {
  const { clientWidth, clientHeight } = document.documentElement;
  return [clientWidth, clientHeight];
}
