// Errors of the studio that users can understand.

/** An error that a user can act on: what was received, what was expected, what to do. */
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
 * The error for a missing or invalid part of a bundle.
 * @param {string} got
 * @param {string} expected
 * @param {string} [advice]
 * @returns {StudioError}
 */
export function damaged(got, expected, advice = AGAIN) {
  return new StudioError(got, expected, advice);
}
