"""35 common misconceptions about LSTMs, each seen in a forum, a tutorial or a bug report."""


def idea_behind(about: str) -> str:
    """Return the sentence that names a misconception, ``M1`` and so on; "" for none."""
    return f"The misconception behind it ({about}): {MISCONCEPTIONS[about]}" if about else ""


MISCONCEPTIONS = {
    "M1": "Passing the same (h0, c0) at every step carries the state.",
    "M2": "The hidden state holds weights, so that resetting it unlearns something.",
    "M3": "h and c are the same thing, or the state is one tensor.",
    "M4": "h_n only repeats what out has.",
    "M5": "out[-1] is the final state of both directions.",
    "M6": "The reverse direction is the same network, run backward.",
    "M7": "batch_first changes the states too.",
    "M8": "Swapping batch and time would raise an error.",
    "M9": "view can replace transpose.",
    "M10": "The number of units is the number of time steps.",
    "M11": "Every time step has a cell with its own weights.",
    "M12": "A layer is a time step, or a layer is the whole LSTM.",
    "M13": "input_size is the length of the sequence.",
    "M14": "h_n has the state after every step.",
    "M15": "The order of the gates is the same in every library.",
    "M16": "A gate is one number for the whole layer.",
    "M17": "An open forget gate forgets.",
    "M18": "g works like the three gates: between 0 and 1, and multiplying something.",
    "M19": "The cell state is between -1 and 1.",
    "M20": "LSTMs have solved vanishing gradients and remember everything.",
    "M21": "The two biases act differently over time.",
    "M22": "torch starts the forget bias at 1, or you set it by filling both bias vectors.",
    "M23": "dropout= works with one layer, over time, or on the last layer's output.",
    "M24": "eval() need not be called before a model is tested.",
    "M25": "A state left over from another sequence does no harm.",
    "M26": "The state is reset after every batch, or never, whether or not the data continue.",
    "M27": "detach resets the state, or retain_graph=True fixes the error.",
    "M28": "A stateful layer passes the state from row to row, or its rows may be shuffled.",
    "M29": "Padding has no influence, or out[:, -1] is each row's last output.",
    "M30": "Packing, or lengths=, only makes it faster.",
    "M31": "A loss may include padding, or take scores in any order of the axes.",
    "M32": "Sequences of one step are enough.",
    "M33": "A bidirectional LSTM may predict the next word, or read live input.",
    "M34": "A forecast that follows the series has learnt it.",
    "M35": "A unit that correlates with something is the unit that does it.",
}
