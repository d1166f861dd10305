// What the studio can't read or do, in plain words.

/** An error that a person can act on: what was got, what was expected, what to do. */
export class StudioError extends Error {
  /**
   * @param {string} got
   * @param {string} expected
   * @param {string} advice
   */
  constructor(got, expected, advice) {
    super(`${got}: expected ${expected}. ${advice}`);
    this.name = "StudioError";
    this.got = got;
    this.expected = expected;
    this.advice = advice;
  }
}

const AGAIN = "Write the page again from the model, or download the model again.";

/**
 * What a bundle should have said, and did not.
 * @param {string} got
 * @param {string} expected
 * @param {string} [advice]
 * @returns {StudioError}
 */
export function damaged(got, expected, advice = AGAIN) {
  return new StudioError(got, expected, advice);
}
