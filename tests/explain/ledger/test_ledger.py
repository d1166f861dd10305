"""The ledger: its parts add up, and each matches the equations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.cells.cell import secant
from hiddenstate.errors import ArgumentError, IndexRangeError, NameUnknownError
from hiddenstate.explain.ledger.cell_decomposition import erased_most
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.models.model_folder import load_tagger, shipped
from random_lstms import LAW, both_types, every_kind, random_lstm, subject_of, tracks_of
from support import assert_close


def check_sum(found: hs.explain.Ledger, dtype: torch.dtype) -> None:
    """Check the value, the parts and the residual."""
    total = found.parts.sum(0) + found.edited.sum(0) + found.initial
    sizes = found.parts.abs().sum(0) + found.edited.abs().sum(0) + found.initial.abs()
    assert found.value.dtype == torch.float64
    assert torch.all((found.value - total).abs() <= LAW[dtype] * sizes)
    assert found.residual == pytest.approx(float((found.value - total).abs().max()), abs=1e-15)


@every_kind
@both_types
@pytest.mark.parametrize("reset", [False, True])
def test_parts_add_up_to_every_cell_state(kind: str, dtype: torch.dtype, reset: bool) -> None:
    lstm = random_lstm(kind, dtype)
    subject = subject_of(lstm, reset=reset)
    trace = subject.trace()
    for name in tracks_of(lstm):
        for t in range(subject.T):
            found = hs.explain.ledger(subject, place=f"{name}.c@{t}")
            assert isinstance(found, hs.explain.Ledger)
            check_sum(found, dtype)
            assert torch.equal(found.value, trace.values[f"{name}.c"][t, 0].detach().double())


@pytest.mark.parametrize("name", ["l1.c", "l1r.c"])
@pytest.mark.parametrize("reset", [False, True])
def test_each_part_is_what_the_equations_say(name: str, reset: bool) -> None:
    lstm = random_lstm("two layers, both directions")
    subject = subject_of(lstm, reset=reset)
    values = {q: subject.trace().values[name.replace("c", q)][:, 0, 2].tolist() for q in "ifg"}
    borders = [False] * subject.T if subject.reset is None else subject.reset[:, 0].tolist()
    for t in range(subject.T):
        found = hs.explain.ledger(subject, place=f"{name}[2]@{t}")
        assert isinstance(found, hs.explain.Ledger)
        order = list(range(subject.T - 1, t - 1, -1)) if "r" in name else list(range(t + 1))
        assert list(found.steps) == order
        for s, step in enumerate(order):
            share = 1.0
            for later in order[s + 1 :]:
                cut = borders[later + 1] if "r" in name else borders[later]
                share *= 0.0 if cut else values["f"][later]
            assert float(found.written[s, 0]) == pytest.approx(values["i"][step] * values["g"][step])
            assert float(found.kept[s, 0]) == pytest.approx(share)
            assert float(found.parts[s, 0]) == pytest.approx(values["i"][step] * values["g"][step] * share)
        assert found.erased_at() == tuple(order[k] if k is not None else None for k in lost(found))


def lost(found: hs.explain.Ledger) -> list[int | None]:
    """For each step, the later one at which most of it was lost, computed in a plain loop."""
    gates, answer = found.forget[:, 0].tolist(), list[int | None]()
    for s in range(len(gates)):
        left, most, at = 1.0, 0.0, None
        for later in range(s + 1, len(gates)):
            if left * (1 - gates[later]) > most:
                most, at = left * (1 - gates[later]), later
            left *= gates[later]
        answer.append(at)
    return answer


def test_a_reset_cuts_the_sum() -> None:
    subject = subject_of(random_lstm("one layer"), reset=True)
    found = hs.explain.ledger(subject, place="l0.c@4")  # there is a reset before step 2
    assert isinstance(found, hs.explain.Ledger)
    assert not found.parts[:2].any()
    assert not found.initial.any()
    assert found.parts[2:].all()


@both_types
@pytest.mark.parametrize(
    "edits",
    [
        [hs.set("l1.c[1,3]@2", to=0.7)],
        [hs.scale("l1.c@1", by=3.0), hs.add("l1.c[2]@4", value=0.5)],
        [hs.set("l1.i", to=0.9), hs.zero("l1.f[0]@3"), hs.add("l1.g_pre", value=0.3)],
        [hs.set("l1.c", to=0.4, t=3, scope="readout")],
        [hs.set("l1.c", to=0.4, t=5, scope="readout"), hs.zero("l1.f", t=2, scope="readout")],
        [hs.zero("l0.h", unit=1)],
    ],
    ids=str,
)
def test_an_edit_of_c_is_a_term_of_its_own(edits: list[hs.Edit], dtype: torch.dtype) -> None:
    lstm = random_lstm("two layers", dtype)
    subject = subject_of(lstm)
    # The output of a readout edit at an earlier step is not passed on.
    of_c = any(edit.place == "l1.c" and (edit.scope == "write" or edit.t == 5) for edit in edits)
    with lstm.edit(*edits):
        shown = subject.trace().values["l1.c"][5, 0].detach().double()
        found = hs.explain.ledger(subject, place="l1.c@5")
    assert isinstance(found, hs.explain.Ledger)
    assert torch.equal(found.value, shown)
    check_sum(found, dtype)
    assert bool(found.edited.any()) == of_c


def test_only_what_was_edited_has_such_a_term() -> None:
    lstm = random_lstm("two layers", torch.float32)
    with lstm.edit(hs.set("l1.c[1]@2", to=0.7)):
        found = hs.explain.ledger(subject_of(lstm), place="l1.c@5")
    assert isinstance(found, hs.explain.Ledger)
    assert found.edited.nonzero().tolist() == [[2, 1]]


@every_kind
@both_types
@pytest.mark.parametrize("reset", [False, True])
def test_parts_add_up_to_a_logit(kind: str, dtype: torch.dtype, reset: bool) -> None:
    lstm = random_lstm(kind, dtype)
    subject = subject_of(lstm, reset=reset)
    logits = subject.run().logits[:, 0].detach().double()
    for t in (0, 3, subject.T - 1):
        found = hs.explain.ledger(subject, place=hs.explain.logit("2", word=t))
        assert isinstance(found, hs.explain.ReadoutLedger)
        total = float(found.parts.sum() + found.initial.sum()) + found.bias
        size = float(found.parts.abs().sum() + found.initial.abs().sum()) + abs(found.bias)
        assert abs(float(logits[t, 2]) - total) <= LAW[dtype] * size
        assert abs(found.residual) <= LAW[dtype] * size


def test_a_directions_ledger_and_its_effect_give_the_same_parts() -> None:
    lstm = random_lstm("projected, both directions")
    subject = subject_of(lstm)
    whole = hs.explain.ledger(subject, place=hs.explain.logit("1", word=3))
    assert isinstance(whole, hs.explain.ReadoutLedger)
    for r, name in enumerate(("l1.c", "l1r.c")):
        found = hs.explain.ledger(subject, place=f"{name}@3")
        assert isinstance(found, hs.explain.Ledger)
        assert found.logits is not None
        assert found.labels == ("0", "1", "2", "3")
        assert_close(found.logits[:, 1], whole.by_step[r, list(found.steps)])


@every_kind
def test_a_hidden_state_has_a_ledger_too(kind: str) -> None:
    lstm = random_lstm(kind)
    subject = subject_of(lstm)
    found = hs.explain.ledger(subject, place="l0.h[0]@4")
    assert isinstance(found, hs.explain.ReadoutLedger)
    assert found.value == pytest.approx(float(subject.trace().values["l0.h"][4, 0, 0]), abs=1e-14)
    assert float(found.parts.sum() + found.initial.sum()) == pytest.approx(found.value, rel=1e-10)


@pytest.mark.parametrize("step", [3, 2, 5])
def test_the_edits_of_a_step_keep_every_direction_from_writing(step: int) -> None:
    lstm = random_lstm("two layers, both directions")
    subject = subject_of(lstm)
    of = hs.explain.logit("1", word=3)
    found = hs.explain.ledger(subject, place=of)
    assert isinstance(found, hs.explain.ReadoutLedger)
    edits = found.edits(step)
    assert [edit.place for edit in edits] == [
        name for name, reads in (("l1.i", step <= 3), ("l1r.i", step >= 3)) if reads
    ]
    with lstm.edit(*edits):
        after = hs.explain.ledger(subject, place=of)
    assert isinstance(after, hs.explain.ReadoutLedger)
    assert found.parts[:, step].any()
    assert not after.parts[:, step].any()
    with pytest.raises(IndexRangeError, match="step=7"):
        found.edits(7)


def test_an_edit_of_h_is_a_term_of_its_own() -> None:
    lstm = random_lstm("two layers, both directions")
    subject = subject_of(lstm)
    with lstm.edit(hs.set("l1.h[0]@3", to=0.9), hs.set("l1r.o", to=0.5)):
        found = hs.explain.ledger(subject, place=hs.explain.logit("1", word=3))
        value = float(subject.run().logits[3, 0, 1])
    assert isinstance(found, hs.explain.ReadoutLedger)
    assert found.value == pytest.approx(value)
    assert abs(found.residual) < 1e-12
    assert found.edited.nonzero().tolist() == [[0, 3]]


def test_the_edit_of_a_step_keeps_it_from_writing() -> None:
    lstm = random_lstm("two layers")
    subject = subject_of(lstm)
    found = hs.explain.ledger(subject, place="l1.c[2]@6")
    assert isinstance(found, hs.explain.Ledger)
    with lstm.edit(found.edit(6)):
        after = hs.explain.ledger(subject, place="l1.c[2]@6")
    assert isinstance(after, hs.explain.Ledger)
    # At the last step no later gate sees it, so its part is exactly the loss.
    assert float(found.value - after.value) == pytest.approx(float(found.parts[-1]), rel=1e-12)
    every = hs.explain.ledger(subject, place="l1.c@6")
    assert isinstance(every, hs.explain.Ledger)
    assert every.edit(3).unit == tuple(range(5))
    assert every.edit(3, unit=4).unit == 4


def test_rows_steps_and_units_are_chosen_by_the_address() -> None:
    lstm = random_lstm("both directions")
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    lengths = [6, 4, 1]
    trace = lstm.trace(x, lengths=torch.tensor(lengths))
    for n, T in enumerate(lengths):
        last = hs.explain.ledger(lstm, x, lengths=lengths, place=f"l0.c[1],n={n}")
        first = hs.explain.ledger(lstm, x, lengths=lengths, place="l0r.c[1]", row=n)
        assert isinstance(last, hs.explain.Ledger)
        assert isinstance(first, hs.explain.Ledger)
        assert (last.t, first.t) == (T - 1, 0)
        assert_close(last.value[0], trace["l0.c"][T - 1, n, 1].detach())
        assert_close(first.value[0], trace["l0r.c"][0, n, 1].detach())


def test_the_secant() -> None:
    c = torch.tensor([0.0, 1e-12, -1e-7, 1e-3, -0.5, 20.0], dtype=torch.float64)
    assert torch.all((secant(c) * c - c.tanh()).abs() <= 1e-16)
    assert secant(c)[0] == 1


def test_nothing_is_erased_by_an_open_gate() -> None:
    assert erased_most(torch.ones(3, 1), [0]) == [[None], [None], [None]]


@pytest.mark.parametrize(
    ("place", "error", "match"),
    [
        ("l0.f[1]@2", ArgumentError, "the ledger needs a target that is linear in c or h"),
        (hs.explain.log_probability("1"), ArgumentError, "the ledger needs a target that is linear"),
        ("l0.c[9]", IndexRangeError, "unit=9"),
        ("l0.c[1]@40", IndexRangeError, "t=40"),
        ("l7.c", NameUnknownError, "no place 'l7.c'"),
        ("l0.c[1,2]", ArgumentError, "several units"),
        ("", NameUnknownError, "cannot read"),
        ("l0.c,n=4", IndexRangeError, "row=4"),
    ],
)
def test_what_has_no_ledger_fails(place: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        hs.explain.ledger(subject_of(random_lstm("two layers")), place=place)


def test_units_and_steps_that_are_not_there_fail() -> None:
    found = hs.explain.ledger(subject_of(random_lstm("two layers")), place="l1.c@3")
    assert isinstance(found, hs.explain.Ledger)
    with pytest.raises(ArgumentError, match="step 5 is not among the steps read so far"):
        found.edit(5)
    with pytest.raises(ArgumentError, match="unit=9 is not in this ledger"):
        found.edit(2, unit=9)
    with pytest.raises(ArgumentError, match="unit=None is not in this ledger, which has 5"):
        found.erased_at()


@pytest.fixture(scope="module")
def sentence() -> Subject:
    return hs.explain.subject(load_tagger(shipped()), "The old man the boats .")


@pytest.mark.parametrize(
    "place", ["l1.c[125]@3", "l1r.c@2", "l0.h[3]@1", hs.explain.logit("NOUN", word="man", against="VERB")], ids=str
)
def test_the_tagger(sentence: Subject, place: Any, tmp_path: Path) -> None:
    found = hs.explain.ledger(sentence, place=place)
    size = float(found.parts.abs().sum())
    assert abs(found.residual) <= LAW[torch.float32] * size
    text = str(found)
    assert "man" in text
    assert "│" in text or "█" in text
    assert found.cost == 6
    frame = found.to_dataframe()
    assert len(frame) == len(found.rows())
    assert found.to_csv().count("\n") == len(frame) + 1
    found.save(tmp_path / "ledger.json")
    data = json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))
    assert data["format"] == "hiddenstate.explanation/1"
    assert torch.equal(torch.tensor(data["parts"], dtype=torch.float64), found.parts)
    assert found.plot().axes


def test_what_is_shown_of_one_unit(sentence: Subject) -> None:
    found = hs.explain.ledger(sentence, place="l1.c[125]@3")
    lines = str(found).splitlines()
    assert lines[0] == "Who wrote unit 125 of the cell state l1.c at step 3 (the)"
    assert lines[2].split() == ["step", "word", "wrote", "i·g", "still", "there", "erased", "most", "at", "part"]
    assert [line.split()[1] for line in lines[3:7]] == ["The", "old", "man", "the"]
    assert "It adds to the logits at this step" in str(found)
