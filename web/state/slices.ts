// Runs long work in slices, so that the page stays responsive and the work can be stopped.

const SLICE = 24; // milliseconds

interface Job<T> {
  result: Promise<T | null>; // null if it was stopped
  stop: () => void;
}

/**
 * @param work yields how much was done
 * @param progress called from time to time
 */
export function inSlices<T>(work: Generator<number, T, void>, progress: (done: number) => void): Job<T> {
  let [done, stopped] = [0, false];
  const result = new Promise((resolve: (value: T | null) => void, reject) => {
    const go = () => {
      if (stopped) return resolve(null);
      try {
        const next = slice(work, (more) => (done += more));
        if (next.done) return resolve(next.value);
        progress(done);
        setTimeout(go);
      } catch (error) {
        reject(error);
      }
    };
    setTimeout(go);
  });
  return { result, stop: () => void (stopped = true) };
}

/** @returns its last result */
function slice<T>(work: Generator<number, T, void>, count: (more: number) => void): IteratorResult<number, T> {
  const until = performance.now() + SLICE;
  for (;;) {
    const next = work.next();
    if (next.done) return next;
    count(next.value);
    if (performance.now() > until) return next;
  }
}
