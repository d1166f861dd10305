// Errors that users can understand.

/** An error that a user can act on: what was received, what was expected, what to do. */
export class ModelError extends Error {
  name = "ModelError";

  constructor(
    public got: string,
    public expected: string,
    public advice: string,
  ) {
    super(`${got}: expected ${expected}. ${advice}`);
  }
}

export function refuse(got: string, expected: string, advice: string): never {
  throw new ModelError(got, expected, advice);
}

const AGAIN = "Write it again from the model, or download it again.";

/** The error for a missing or invalid part of a bundle. */
export const damaged = (got: string, expected: string, advice: string = AGAIN): ModelError =>
  new ModelError(got, expected, advice);
