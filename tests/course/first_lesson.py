"""The statements of the lesson on which the course is based, in our words, and where the course makes each of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """Something that the lesson teaches, and the places in the course that teach it: a chapter and its words there."""

    about: str
    places: tuple[tuple[str, str], ...]


FIRST_LESSON = (
    Statement(
        "recurrent networks have a memory because each step's result is an input of the next step",
        (("00", "It feeds its own result back in: what it computed at one word is an input at the next"),),
    ),
    Statement(
        "there is a hidden state for every element of a sequence; it depends on what was read so far",
        (("01", "carries a **hidden state** h and a **cell state** c, three numbers each, from one step to the next"),),
    ),
    Statement(
        "h is the short-term memory, c the long-term memory",
        (
            ("00", "h is the *short-term memory*"),
            ("00", "c is the *long-term memory*"),
        ),
    ),
    Statement(
        "the hidden state serves to predict the next word or a word's type, and for much else",
        (("00", "it can guess the next word, pick out the nouns, or tell whether a review is friendly"),),
    ),
    Statement(
        "`input_size` is the number of values in the input of one step",
        (("01", "It is the length of *one step's* vector."),),
    ),
    Statement(
        "`hidden_size` is the number of values in h, at every step",
        (("01", "That is `hidden_size`: how many numbers h has."), ("01", "A step's output has D·H numbers.")),
    ),
    Statement(
        "`num_layers` is 1 by default, and usually 1 to 3",
        (("01", "`num_layers` is 1 by default"), ("12", "more than three layers are rare")),
    ),
    Statement(
        "the input has the axes time step, batch and feature",
        (("01", "One sentence of four words is `[4, 1, 6]`: steps, sequences, features."),),
    ),
    Statement(
        "the initial states h0 and c0 have one row for each layer and sequence",
        (("01", "h and c stay `[L·D, N, H]`"),),
    ),
    Statement(
        "without h0 and c0 an LSTM starts from zeros",
        (("01", "if you omit them, both are 0"),),
    ),
    Statement(
        "a sentence of four words, three units, one layer: final states of shape (1, 1, 3)",
        (("01", "Its output is `[4, 1, 3]`, its final h and c `[1, 1, 3]`."),),
    ),
    Statement(
        "a call returns an output for every step, and the states after the last one",
        (
            (
                "01",
                "`out` has the *last layer's* h after *every step*. `h_n` has *every layer's* h after *its last step*.",
            ),
        ),
    ),
    Statement(
        "with one layer, a step's output is the new h",
        (("01", "h is also the step's output."),),
    ),
    Statement(
        "with one layer and one direction the last output equals the final h",
        (("01", "With one layer, one direction and sequences of equal length, the last output is `h_n`."),),
    ),
    Statement(
        "the output has `hidden_size` values unless a linear layer changes that",
        (("01", "A step's output has D·H numbers. For a different size, put a linear layer on top"),),
    ),
    Statement(
        "weights are four blocks, one below the other: `[4H, C]` for the input, `[4H, H]` for the old h",
        (
            ("01", "`weight_ih_l0` multiplies the input and is `[4H, C]`, with the four parts stacked"),
            ("01", "multiplies the previous step's hidden state and is `[4H, H]`"),
            ("02", "so the forget gate is the second quarter"),
        ),
    ),
    Statement(
        "a layer above the first reads the h of all directions below: `[4H, D·H]`",
        (("01", "`weight_ih_l1` is `[4H, H]` (`[4H, 2H]` if bidirectional)"),),
    ),
    Statement(
        "with `proj_size` above 0 the hidden weights are `[4H, P]`, and those of upper layers read P values",
        (
            (
                "10",
                "adds a matrix `weight_hr_l0` `[P, H]` that shortens h to P numbers; c keeps H. A step's output then",
            ),
            ("10", "has D·P, `weight_hh_l0` is `[4H, P]`, and `weight_ih_l1` is `[4H, D·P]`."),
        ),
    ),
    Statement(
        "one layer is used at all steps, with the same weights",
        (("01", "reading element by element gives the same numbers as one call"),),
    ),
    Statement(
        "a loop over the steps is slow for long sequences; one call can read them all",
        (("00", "gives the same numbers, and is usually much faster"), ("10", "starts fewer operations")),
    ),
    Statement(
        "for one call, the steps are concatenated and viewed with a batch axis in the middle",
        (("01", "`cat` joins the five `[1, 4]` tensors into `[5, 4]`, and `view` turns that into `[5, 1, 4]`"),),
    ),
    Statement(
        "the two ways give equal outputs if they start from the same state (the lesson's do not)",
        (("01", "reading element by element gives the same numbers as one call"),),
    ),
    Statement(
        "a tagger puts a linear layer on an LSTM, for a score for each class and word",
        (("03", "a vector for each word, an LSTM, and a linear layer that computes a score for each tag"),),
    ),
)
