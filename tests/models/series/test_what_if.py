"""Forecasts with edits at dates, against edits by step of the module itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError
from hiddenstate.models import SeriesModel
from models.series import modules
from support import assert_close

NAMES = ["rain", "temperature", "flow"]
DAYS = pd.date_range("2014-12-25", periods=20)
FRAME = pd.DataFrame(np.random.default_rng(0).normal(10, 3, (20, 3)), DAYS, NAMES)
SCALE = FRAME.mean(), FRAME.std()


def model(module: nn.Module, **options: Any) -> SeriesModel:
    return hs.series_model(module, NAMES, "flow", scale=SCALE, units="m³/s", **options)


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ("2015-01-01", [7]),
        ("2015-01", range(7, 20)),
        ("2014", range(7)),
        (slice("2015-01-01", "2015-01-03"), [7, 8, 9]),
        (slice("2015-01-05", None), range(11, 20)),
        (slice(None, "2014-12-26"), [0, 1]),
        (slice("2014-12-25", "2014-12-31", 3), [0, 3, 6]),
        (["2015-01-01", "2015-01-07"], [7, 13]),
        (pd.Timestamp("2015-01-01"), [7]),
        (np.datetime64("2015-01-01"), [7]),
        (DAYS[7].date(), [7]),
        (7, [7]),
    ],
    ids=str,
)
def test_an_edit_at_a_date_is_one_at_its_step(when: Any, steps: Any) -> None:
    module = modules.PerStep(3, 1, hs.LSTM, layers=2)
    changed = hs.what_if(model(module), FRAME, hs.zero("rnn.l1.o", t=when))
    x = model(module).prepare(FRAME).x
    with hs.edit(module, hs.zero("rnn.l1.o", t=list(steps))):
        want = model(module).forecast(x)
    assert_close(changed.after.values[:, 0].float(), want.detach(), slack=20)
    assert (changed.difference[: steps[0]] == 0).all()
    assert changed.difference[steps[0]].abs().max() > 0
    assert_close(changed.before.values, model(module).read(FRAME).values)


@pytest.mark.parametrize("kind", [nn.LSTM, hs.LSTM], ids=["torch", "ours"])
def test_windows_have_a_date_at_other_steps(kind: Any) -> None:
    module = modules.LastStep(3, 1, kind)
    series = model(module, window=6)
    changed = hs.what_if(
        series, {"A": FRAME, "B": FRAME[::-1].set_index(DAYS)}, hs.set("l0.c", 2.0, unit=1, t="2015-01-01")
    )
    moved = changed.difference[:, 0, :, 0].abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == list(range(2, 8))  # windows that end on January 1 to 6
    assert (changed.after.trace["rnn"]["l0.c"][..., 1] == 2.0).sum() == 0
    early = hs.what_if(series, FRAME[:10], hs.set("l0.c", 2.0, unit=1, t="2015-01-01"))
    assert (early.after.trace["rnn"]["l0.c"][0, :, 1] == 2.0).tolist() == [False] * 3 + [True] + [False] * 2
    with pytest.raises(ArgumentError, match="not all in one window"):
        hs.what_if(series, FRAME, hs.set("l0.c", torch.zeros(13, 1, 6), t="2015-01"))


@pytest.mark.parametrize("kind", [nn.LSTM, hs.LSTM], ids=["torch", "ours"])
@pytest.mark.parametrize("call", [0, 2, 4])
def test_an_edit_of_one_call_of_a_decoder(kind: Any, call: int) -> None:
    module = modules.EncoderDecoder(3)
    module.encoder, module.decoder = kind(3, 6), kind(1, 6)
    changed = hs.what_if(model(module), FRAME, hs.zero("decoder.l0.o", call=call))
    moved = changed.difference[0, :, 0, 0].abs() > 0
    assert moved.tolist() == [k >= call for k in range(5)]
    calls = changed.after.trace.calls("decoder")
    assert [bool((run["l0.o"] == 0).all()) for run in calls] == [k == call for k in range(5)]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_calls_are_counted_from_the_beginning_of_a_block_and_a_failed_call_leaves_nothing() -> None:
    layer = hs.GRU(2, 2)
    module = nn.Sequential(layer)
    x = torch.randn(3, 1, 2)
    plain = module(x)[0]
    block = hs.edit(module, hs.zero("0.l0.z", call=1))
    with block:
        assert_close(module(x)[0], plain)
        assert not torch.equal(module(x)[0], plain)
        assert_close(module(x)[0], plain)
    with hs.edit(module, hs.zero("0.l0.z", call=0)), pytest.raises(hs.HiddenStateError):
        module(x[..., :1])
    assert_close(module(x)[0], plain)
    with hs.edit(module, hs.zero("0.l0.z", call=0), hs.zero("0.l0.r")):
        both = module(x)[0]
    with hs.edit(module, hs.zero("0.l0.z"), hs.zero("0.l0.r")):
        assert_close(module(x)[0], both)
    assert repr(hs.zero("l0.z", call=2)) == (
        "Edit(place='l0.z', kind='set', value=0.0, unit=None, t=None, row=None, scope='write', call=2)"
    )
    with pytest.raises(ArgumentError, match="call must be at least 0"):
        hs.zero("l0.z", call=-1)
    with pytest.raises(ArgumentError, match=r"give it to hs.edit\(model, edit\)"):
        layer.edit(hs.zero("l0.z", call=1))


def test_text_frame_and_picture(tmp_path: Path) -> None:
    changed = hs.what_if(
        model(modules.PerStep(3, 1)), {"A": FRAME, "B": FRAME + 1}, hs.scale("l0.i", 2, unit=3, t="2015-01-01", row=1)
    )
    first, second = str(changed).splitlines()
    assert first == "l0.i[3] times 2 at 2015-01-01 in row 1: what changes of PerStep's forecasts"
    assert "of 40 forecasts; most at 2015-01-0" in second
    assert " of row 'B', from " in second
    frame = changed.forecasts
    assert [*frame.columns] == [("flow", "before"), ("flow", "after"), ("flow", "difference")]
    assert (frame.loc["A"]["flow"]["difference"] == 0).all()
    figure = changed.plot(tmp_path / "what_if.png", row="B")
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["before", "after", "measured"]
    nothing = hs.what_if(model(modules.PerStep(3, 1)), FRAME, hs.scale("l0.i", 1))
    assert "flow: nothing" in str(nothing)


def test_dates_in_a_zone() -> None:
    hours = FRAME.set_index(pd.date_range("2015-03-29", periods=20, freq="h", tz="Europe/Berlin"))
    series = model(modules.PerStep(3, 1))
    for when in (
        "2015-03-29 03:00",
        pd.Timestamp("2015-03-29 03:00", tz="Europe/Berlin"),
        pd.Timestamp("2015-03-29 01:00", tz="UTC"),
    ):
        moved = hs.what_if(series, hours, hs.zero("l0.o", t=when)).difference.flatten()
        assert moved.nonzero()[0].item() == 2


@pytest.mark.parametrize(
    ("frame", "edits", "error", "message"),
    [
        (FRAME, [], ArgumentError, "at least one edit"),
        (FRAME, [hs.zero("l0.f", t="2016-01-01")], IndexRangeError, "no step is at 2016-01-01"),
        (FRAME, [hs.zero("l0.f", t="2015-99-01")], ArgumentError, "is not a date"),
        (FRAME, [hs.zero("l0.f", t=slice("2515-01-01", None))], ArgumentError, "must be in the years 1678 to 2261"),
        (FRAME, [hs.zero("l0.f", t=slice("2015-01-03", "2015-01-01"))], IndexRangeError, "no step is at"),
        (FRAME, [hs.zero("l0.f", t=pd.Timestamp("2015-01-01", tz="UTC"))], ArgumentError, "have none"),
        (FRAME, [hs.zero("l0.f", t=99)], IndexRangeError, "t=99 is out of range"),
        (FRAME, [hs.zero("l7.f", t="2015-01-01")], NameUnknownError, "no place 'l7.f'"),
        (FRAME, ["l0.f"], ArgumentTypeError, "takes edits"),
        (FRAME.to_numpy(), [hs.zero("l0.f", t="2015-01-01")], ArgumentError, "the series has none"),
        (FRAME.set_index(np.arange(20) * 0.02), [hs.zero("l0.f", t="2015-01-01")], ArgumentError, "are not dates"),
    ],
)
def test_bad_edits(frame: Any, edits: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hs.what_if(model(modules.PerStep(3, 1)), frame, *edits)


def test_a_date_means_nothing_to_a_layer() -> None:
    lstm, dated = hs.LSTM(2, 3), hs.zero("l0.f", t="2015-01-01")
    with pytest.raises(ArgumentTypeError, match="only a series model knows"):
        lstm.edit(dated)
    with pytest.raises(ArgumentTypeError, match="only a series model knows"):
        hs.edit(nn.Sequential(lstm), dated)
    with lstm.edit(hs.zero("l0.f", t=0)), pytest.raises(ArgumentTypeError, match="only a series model knows"):
        lstm.trace(torch.zeros(2, 1, 2)).pick("l0.f", t="2015-01-01")
    for name in ("unit", "row"):
        with pytest.raises(ArgumentTypeError, match=f"{name}= must be an int"):
            hs.zero("l0.f", **{name: "2015-01-01"})  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match=r"hs.edit\(model, edit\)"):
        hs.what_if(lstm, FRAME, dated)  # type: ignore[arg-type]


def test_windows_that_do_not_have_the_date_do_not_change() -> None:
    changed = hs.what_if(model(modules.PerStep(3, 1), window=5), FRAME, hs.zero("rnn.l0.f", t="2014-12-31"))
    steps = [origin for origin, value in zip(changed.before.origins, changed.difference, strict=True) if value.any()]
    assert steps == [6, 7, 8, 9]  # nor the forecast of the window whose first step it is, whose state is 0
    dated: Any = hs.zero("rnn.l0.f", t=pd.Timestamp("2014-12-31"))
    assert str(hs.what_if(model(modules.PerStep(3, 1)), FRAME, dated)).startswith("rnn.l0.f set to 0 at 2014-12-31: ")
    with pytest.raises(ArgumentTypeError, match="edits= must be a list"):
        model(modules.PerStep(3, 1)).read(FRAME, edits=dated)


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ("2022-10-30 02:00", [4, 8]),
        ("2022-10-30 02:45", [7, 11]),
        ("2022-10-30 02", range(4, 12)),
        (slice("2022-10-30 02:30", "2022-10-30 02:45"), range(6, 12)),
        (slice("2022-10-30 01:45", "2022-10-30 02:00"), range(3, 9)),
        (slice("2022-10-30 03", None), range(12, 16)),
        (pd.Timestamp("2022-10-30 02:15+01:00"), [9]),
    ],
    ids=str,
)
def test_a_time_that_clocks_show_twice_is_that_of_both_steps(when: Any, steps: Any) -> None:
    quarters = pd.date_range("2022-10-30 01:00", periods=16, freq="15min", tz="Europe/Berlin")
    frame = pd.DataFrame(np.ones((16, 3)), quarters, NAMES)
    timeline = model(modules.PerStep(3, 1)).prepare(frame).timeline
    assert timeline is not None
    assert [*timeline.steps_of(when)] == [*steps]
    with pytest.raises(IndexRangeError, match="no step is at"):
        timeline.steps_of(slice("2022-10-30 01:05", "2022-10-30 01:10"))
