"""Broken lessons of chapters 3 to 6: a page, what stands in a cell, and what a careless author would have written."""

from collections.abc import Sequence

SUBJECTS: Sequence[tuple[str, str, str]] = (
    # tagging: padding counted, lengths ignored, dropout left on, the answers counted, no state left, one direction
    ("03", "pad_sequence(gold, padding_value=-100)", "pad_sequence(gold)"),
    ("03", "self.dropout(self.embed(ids)), lengths=lengths)", "self.dropout(self.embed(ids)))"),
    ("03", "return tagger.eval()", "return tagger"),
    ("03", "for sentence in train:\n    for word, tag", "for sentence in [*train, *held_out]:\n    for word, tag"),
    ("03", "tagger.lstm(tagger.embed(one), state)", "tagger.lstm(tagger.embed(one))"),
    ("03", "hs.LSTM(size, size, bidirectional=bidirectional)", "hs.LSTM(size, size)"),
    # characters: targets that wrap, rows that do not go on, the three borders exchanged, no answer read, another log
    (
        "04",
        "return [(x[k : k + steps], y[k : k + steps])",
        "y = x.roll(-1, dims=0)\n    return [(x[k : k + steps], y[k : k + steps])",
    ),
    ("04", ".view(rows, length).T for shift", ".view(length, rows) for shift"),
    (
        "04",
        "state = tuple(part.detach() for part in state)\n    elif",
        "state = tuple(torch.zeros_like(part) for part in state)\n    elif",
    ),
    ("04", "state = tuple(torch.zeros_like(part) for part in state)", "state = tuple(part.detach() for part in state)"),
    ("04", "layer(window, state)  # neither", "layer(window)  # neither"),
    ("04", "size=64, bidirectional=True)", "size=64)"),
    ("04", "uniform = math.log2(len(letters))", "uniform = math.log(len(letters))"),
    ("04", 'not string.endswith("\\n") and token', "token"),
    # inside: another unit, labels of tokens in place of words, no control for slow labels, a gate with a slope
    ("05", 'hs.zero("l0.h", unit=unit)', 'hs.zero("l0.h", unit=0)'),
    ("05", "drawn[torch.tensor([kinds.index(form) for form in forms])]", "torch.randint(0, 15, (len(forms),))"),
    ("05", "torch.randn(20, generator=generator).repeat_interleave(50)", "torch.randn(1000, generator=generator)"),
    ("05", 'hs.plant.latch(hold=50, content="gate")', "hs.plant.latch(hold=50)"),
    ("05", 'patched("l0r", 2)', 'patched("l0", 2)'),
    # production: no state carried, a reset one step late, padding read, a forecast that reads the answer, a weak rival
    ("06", "piece, state = lstm(chunk, state)", "piece, state = lstm(chunk)"),
    ("06", "reset[12, 1] = True", "reset[13, 1] = True"),
    ("06", "lstm(spoilt, lengths=lengths)", "lstm(spoilt)"),
    ("06", "changes = series.diff(dim=0)[:-1, :, None]", "changes = series.diff(dim=0)[1:, :, None]"),
    ("06", "rival = ((test[1:-1] - test[2:]) ** 2).mean(0)", "rival = ((test[2:].mean(0) - test[2:]) ** 2).mean(0)"),
    ("06", "stream.reset(reset[t])", "stream.reset()"),
)
