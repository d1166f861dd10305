"""The table of a conversion."""

import hiddenstate as hs
from hiddenstate.interop.torch.conversion import ConversionReport, Converted, Left

ONE = Converted(("", "a.b"), "torch.nn.LSTM", "hs.LSTM", "4, 3", 1108, ("out.weight",))
TWO = Converted(("encoder.lstm",), "torch.nn.LSTMCell", "hs.LSTMCell", "4, 3, bias=False", 84, ())


def test_the_table() -> None:
    report = ConversionReport((ONE, TWO), (Left(("x", "y"), "Changed", "a reason"),))
    assert str(report).splitlines() == [
        "2 of 3 modules converted",
        "",
        "path          was                is now       sizes             parameters  shared with",
        "(the model)   torch.nn.LSTM      hs.LSTM      4, 3                   1,108  a.b, out.weight",
        "encoder.lstm  torch.nn.LSTMCell  hs.LSTMCell  4, 3, bias=False          84",
        "",
        "left as they are",
        "path  what     why",
        "x     Changed  a reason",
    ]


def test_with_nothing_converted_or_left() -> None:
    assert str(ConversionReport((TWO,), ())).count("\n") == 3
    left = Left(("x",), "Changed", "why")
    assert str(ConversionReport((), (left,))).startswith("0 of 1 modules converted\n\nleft as they are\n")
    assert hs.ConversionReport is ConversionReport
