"""In which numbers a command computes, as an option."""

from enum import Enum


class Precision(str, Enum):
    """Of the weights, and of what they are multiplied with."""

    fp32 = "fp32"
    bf16 = "bf16"
