"""The option that sets the precision of a command."""

from enum import Enum


class Precision(str, Enum):
    """The precision of weights and of the values they multiply."""

    fp32 = "fp32"
    bf16 = "bf16"
