"""Broken lessons of chapters 3 to 6: a page, what stands in a cell, and what a careless author would have written."""

from collections.abc import Sequence

Lesson = tuple[str, str, str]

TAGGING: Sequence[Lesson] = (
    ("03", '"I saw the saw .".split()', '"I Saw the saw .".split()'),
    ("03", "torch.cosine_similarity(h[1], h[3], dim=0)", "torch.cosine_similarity(h[1], h[1], dim=0)"),
    ("03", "for upto in (3, 5)]", "for upto in (5, 5)]"),
    ("03", "(1 + bidirectional) * size", "size"),
    ("03", "pad_sequence(gold, padding_value=-100)", "pad_sequence(gold)"),
    ("03", "self.dropout(self.embed(ids)), lengths=lengths)", "self.dropout(self.embed(ids)))"),
    ("03", "return tagger.eval()", "return tagger"),
    ("03", "for sentence in train:\n    for word, tag", "for sentence in [*train, *held_out]:\n    for word, tag"),
    ("03", "optimizer.step()", "pass"),
    ("03", "tagger(ids[:, None])[:, 0]", "tagger(ids[:1, None].expand(len(ids), 1))[:, 0]"),
    ("03", "tagger.lstm(x)[0]", "tagger.lstm(x, lengths=lengths)[0]"),
    ("03", "tagger.lstm(tagger.embed(one), state)", "tagger.lstm(tagger.embed(one))"),
    ("03", "hs.LSTM(size, size, bidirectional=bidirectional)", "hs.LSTM(size, size)"),
    ("03", "hs.LSTM(5, 3, num_layers=1, dropout=0.5)", "hs.LSTM(5, 3, num_layers=2, dropout=0.5)"),
    (
        "03",
        "double = hs.LSTM(5, 3, num_layers=2, dropout=0.5)",
        "double = hs.LSTM(5, 3, num_layers=2, dropout=0.5).eval()",
    ),
    ("03", "tagger.train()\nwith", "tagger.eval()\nwith"),
    ("03", "fit(unlearnt, epochs=1, hidden=0)", "fit(unlearnt, epochs=1)"),
    ("03", "cross_entropy(scores.log_softmax(-1), gold", "cross_entropy(scores.softmax(-1), gold"),
    ("03", "gold.flatten().clamp(min=0)", "gold.flatten()"),
)
CHARACTERS: Sequence[Lesson] = (
    ("04", "size=64, bidirectional=True)", "size=64)"),
    ("04", "encode(line)).long()[:, None]", 'encode("\\n" + line)).long()[:-1, None]'),
    ("04", "fit(Next(len(letters)), ids, passes)", "Next(len(letters)).eval()"),
    ("04", "size=64), ids, passes, steps, carry)", "size=64), ids, passes, steps)"),
    ("04", "size=64), ids, passes, steps, carry)", "size=64), ids, passes, 20, carry)"),
    ("04", "fit(Next(len(vocabulary), size=64), as_words(read), passes)", "Next(len(vocabulary), size=64).eval()"),
    ("04", "torch.cat([before[:far].gather(0, order), before[far:]])", "before"),
    ("04", "uniform = math.log2(len(letters))", "uniform = math.log(len(letters))"),
    ("04", "return [(x[k : k + steps], y[k", "y = x.roll(-1, dims=0)\n    return [(x[k : k + steps], y[k"),
    ("04", ".view(rows, length).T for shift", ".view(length, rows) for shift"),
    ("04", "part.detach() for part in state)\n    elif", "torch.zeros_like(part) for part in state)\n    elif"),
    ("04", "state = tuple(torch.zeros_like(part) for part in state)", "state = tuple(part.detach() for part in state)"),
    ("04", "layer(window, state)  # neither", "layer(window)  # neither"),
    ("04", 'not string.endswith("\\n") and token', "token"),
    ("04", "theirs = -said[:, 0]", "theirs = -said[:, 0].exp()"),
    ("04", "abs(1.4442 / math.log(2)", "abs(1.4442 * math.log(2)"),
    (
        "04",
        "loss.backward()\n            torch",
        "loss.backward()\n            optimizer.zero_grad()\n            torch",
    ),
)
INSIDE: Sequence[Lesson] = (
    ("05", 'hs.zero("l0.h", unit=unit)', 'hs.zero("l0.h", unit=0)'),
    ("05", 'hs.set("l0.h", to=mean[unit].item(), unit=unit)', 'hs.set("l0.h", to=mean[0].item(), unit=0)'),
    ("05", "correlation(states, label).abs().max()", "correlation(states, label).abs().mean()"),
    ("05", "torch.randn(20, generator=generator).repeat_interleave(50)", "torch.randn(1000, generator=generator)"),
    ("05", "drawn[torch.tensor([kinds.index(form) for form in forms])]", "torch.randint(0, 15, (len(forms),))"),
    ("05", 'hs.set("l0.h", to=value, unit=1)', 'hs.set("l0.h", to=value, unit=0)'),
    ("05", 'hs.plant.latch(hold=50, content="gate")', "hs.plant.latch(hold=50)"),
    ("05", 'patched("l0r", 2)', 'patched("l0", 2)'),
    ("05", 'hs.zero("l0.f", t=3)', 'hs.zero("l0.i", t=3)'),
    ("05", 'hs.zero("l0.c", t=20)', 'hs.zero("l0.h", t=20)'),
)
PRODUCTION: Sequence[Lesson] = (
    ("06", "frames[torch.randperm(34)], frames[34:]", "frames[torch.randperm(34)], frames[:1]"),
    ("06", "piece, state = lstm(chunk, state)", "piece, state = lstm(chunk)"),
    ("06", "stream.feed(chunk) for", "lstm.stream(batch=4).feed(chunk) for"),
    ("06", "reset[12, 1] = True", "reset[13, 1] = True"),
    ("06", "stream.reset(reset[t])", "stream.reset()"),
    ("06", "lstm(spoilt, lengths=lengths)", "lstm(spoilt)"),
    ("06", 'back = hs.from_onnx(f"{folder}/small.onnx")', "back = hs.LSTM(4, 3)"),
    ("06", 'onnx_weights(small)[0]["W"]', 'onnx_weights(small)[0]["R"]'),
    ("06", "torch.from_numpy(kernel).T", "torch.from_numpy(recurrent).T"),
    ("06", "copy_(torch.cat(quarters))", "copy_(small.weight_ih_l0)"),
    ("06", "changes = series.diff(dim=0)[:-1, :, None]", "changes = series.diff(dim=0)[1:, :, None]"),
    ("06", "rival = ((test[1:-1] - test[2:]) ** 2)", "rival = ((test[2:].mean(0) - test[2:]) ** 2)"),
    ("06", "torch.sin(0.3 * torch.arange(T)[:, None] + 6.28 * torch.rand(N))", "torch.zeros(T, N).cumsum(0)"),
    ("06", "torch.randn(1, 50, 4)", "torch.randn(50, 1, 4)"),
    ("06", "both = hs.LSTM(8, 16, bidirectional=True)", "both = hs.LSTM(8, 16)"),
    ("06", "lstm(x[30:][:, shuffled], state)", "lstm(x[30:][:, shuffled], [part[:, shuffled] for part in state])"),
    ("06", "held = torch.zeros(400, 1, 8)", "held = torch.randn(400, 1, 8)"),
)
SUBJECTS: Sequence[Lesson] = (*TAGGING, *CHARACTERS, *INSIDE, *PRODUCTION)
