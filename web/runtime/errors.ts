// Errors that users can understand.

/** An error that a user can act on: what was received, what was expected, what to do. */
export class ModelError extends Error {
  name: string;
  got: string;
  expected: string;
  advice: string;

  constructor(got: string, expected: string, advice: string) {
    super(`${got}: expected ${expected}. ${advice}`);
    this.name = "ModelError";
    this.got = got;
    this.expected = expected;
    this.advice = advice;
  }
}

const AGAIN = "Write it again from the model, or download it again.";

/** The error for a missing or invalid part of a bundle. */
export function damaged(got: string, expected: string, advice: string = AGAIN): ModelError {
  return new ModelError(got, expected, advice);
}
