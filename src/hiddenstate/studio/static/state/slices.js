// Runs long work in slices, so that the page stays responsive and the work can be stopped.

const SLICE = 24; // milliseconds

/**
 * @template T
 * @typedef {object} Job
 * @property {Promise<T | null>} result null if it was stopped
 * @property {() => void} stop
 */

/**
 * @template T
 * @param {Generator<number, T, void>} work yields how much was done
 * @param {(done: number) => void} progress called from time to time
 * @returns {Job<T>}
 */
export function inSlices(work, progress) {
  let [done, stopped] = [0, false];
  const result = new Promise((/** @type {(value: T | null) => void} */ resolve, reject) => {
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

/**
 * @template T
 * @param {Generator<number, T, void>} work
 * @param {(more: number) => void} count
 * @returns {IteratorResult<number, T>} its last result
 */
function slice(work, count) {
  const until = performance.now() + SLICE;
  for (;;) {
    const next = work.next();
    if (next.done) return next;
    count(next.value);
    if (performance.now() > until) return next;
  }
}
