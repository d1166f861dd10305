"""Limits on the cost of one explanation, checked by arithmetic before anything is computed."""

from hiddenstate.errors import ArgumentError, TraceTooLargeError

MOST_ROW_STEPS = 2**30  # takes minutes to hours, depending on the LSTM
MOST_BYTES = 2**33  # maximum size of one run's inputs and outputs, or of its record


def check_row_steps(row_steps: int, cure: str) -> None:
    """Reject a computation that would run for hours.

    Args:
        row_steps: the time steps to run, summed over all rows.
        cure: what the user can reduce, for the message.

    Raises:
        ArgumentError: there are too many.
    """
    if row_steps > MOST_ROW_STEPS:
        raise ArgumentError(
            f"this would run {row_steps:,} row-steps (time steps, summed over all rows), but at most "
            f"{MOST_ROW_STEPS:,} are allowed: {cure}"
        )


def check_bytes(nbytes: int, what: str, T: int, N: int) -> None:
    """Raise TraceTooLargeError if a run would take more than 8 GiB; strides can give a small tensor any shape."""
    if nbytes > MOST_BYTES:
        raise TraceTooLargeError(
            f"{what} of T={T:,} steps and N={N:,} rows would take {nbytes:,} bytes, but at most {MOST_BYTES:,} are "
            "allowed: give fewer steps or rows"
        )
