"""A search finds what a plain scan of all states finds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hiddenstate as hs
from corpus.corpora import WORDS, arrays, lstm_of, make, plain_values, words_of
from hiddenstate.corpus.search.grammar import Formula, Named, Query, UnitCondition, parse_query
from hiddenstate.errors import ArgumentError, NameUnknownError

pytest.importorskip("pyarrow")
pytest.importorskip("lark")

XS = arrays(25, 5)
TOKENS = words_of(XS, 6)
LABELS = words_of(XS, 7)
LSTM, GRU = lstm_of(), lstm_of(cell="GRU")
PLAIN = {name: plain_values(LSTM, XS, name) for name in ("l0.h", "l1.c", "l0.i")}
PLAIN_GRU = {name: plain_values(GRU, XS, name) for name in ("l1.h", "l1.z", "l0.n")}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> hs.Index:
    return make(tmp_path_factory.mktemp("index") / "index", LSTM, XS, tokens=TOKENS, labels=LABELS)


@pytest.fixture(scope="module")
def gru_index(tmp_path_factory: pytest.TempPathFactory) -> hs.Index:
    return make(tmp_path_factory.mktemp("gru") / "index", GRU, XS, tokens=TOKENS, labels=LABELS)


def holds(condition: Any, sequence: int, t: int) -> bool:
    if isinstance(condition, UnitCondition):
        value, number = (PLAIN | PLAIN_GRU)[condition.place][sequence][t, condition.unit], np.float32(condition.number)
        compared = {">": value > number, ">=": value >= number, "<": value < number, "<=": value <= number}
        return bool(compared[condition.op])
    if isinstance(condition, Named):
        text = {"token": TOKENS, "label": LABELS}[condition.kind][sequence][t]
        return (text == condition.text) == condition.is_equal
    assert isinstance(condition, Formula)
    parts = [holds(part, sequence, t) for part in condition.parts]
    return {"and": all(parts), "or": any(parts), "not": not parts[0]}[condition.kind]


def plain_scan(query: Query) -> set[tuple[int, int, int]]:
    """The spans that match, step by step."""
    found = set()
    for sequence, x in enumerate(XS):
        T, start = len(x), None
        for t in range(T + 1):
            if t < T and all(holds(condition, sequence, t) for condition in query.at):
                start = t if start is None else start
            elif start is not None:
                if query.shortest <= t - start <= query.longest and all(
                    any(
                        0 <= step < T and holds(around.condition, sequence, step)
                        for step in (
                            range(max(0, start - around.far), start - around.near + 1)
                            if around.where == "before"
                            else range(t - 1 + around.near, min(T, t + around.far))
                        )
                    )
                    for around in query.around
                ):
                    found.add((sequence, start, t))
                start = None
    return found


NUMBERS = st.sampled_from(["-.5", "0.5", ".5", "0", "-0.123", "1e-3", "2", "-.75"])


def conditions(places: Sequence[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        st.one_of(
            st.builds(
                lambda place, unit, op, number: f"{place}[{unit}] {op} {number}",
                st.sampled_from(places),
                st.integers(0, 4),
                st.sampled_from([">", ">=", "<", "<="]),
                NUMBERS,
            ),
            st.builds(
                lambda kind, op, text: f"{kind} {op} {text}",
                st.sampled_from(["token", "label"]),
                st.sampled_from(["=", "!="]),
                st.sampled_from([*WORDS, '"the"', "absent"]),
            ),
        ),
        lambda parts: st.one_of(
            st.builds(lambda a, b: f"({a} and {b})", parts, parts),
            st.builds(lambda a, b: f"({a} or {b})", parts, parts),
            st.builds(lambda a: f"not {a}", parts),
        ),
        max_leaves=3,
    )


RANGES = st.sampled_from(["1", "2", "2..", "..3", "1..4", "3..3"])


def queries(places: Sequence[str]) -> st.SearchStrategy[str]:
    one = conditions(places)
    sides = st.builds(
        lambda condition, side, steps: f"{condition} {side}{steps}",
        one,
        st.sampled_from(["before", "after"]),
        st.sampled_from(["", " 1..2", " 2", " 3..", " ..5"]),
    )
    return st.builds(
        lambda first, lengths, parts: ", ".join([f"{first}{lengths}", *parts]),
        one,
        st.one_of(st.just(""), st.builds(lambda steps: f" for {steps}", RANGES)),
        st.lists(st.one_of(one, sides), max_size=2),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries(list(PLAIN)))
def test_random_queries_find_what_a_plain_scan_finds(index: hs.Index, query: str) -> None:
    check_search(index, query)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries(list(PLAIN_GRU)))
def test_so_do_queries_over_a_gru(gru_index: hs.Index, query: str) -> None:
    check_search(gru_index, query)


def check_search(index: hs.Index, query: str) -> None:
    expected = plain_scan(parse_query(query))
    found = index.search(query, limit=10_000)
    spans = {(match.context.sequence, match.context.start, match.context.stop) for match in found.matches}
    assert spans == expected
    assert found.count == len(expected)
    assert found.matched_steps == sum(stop - start for _, start, stop in expected)
    lengths = [match.context.stop - match.context.start for match in found.matches]
    assert lengths == sorted(lengths, reverse=True)


def test_what_was_run_again_is_kept(index: hs.Index) -> None:
    first, second = (index.search("l1.c[3] > 0.3141 for 2..") for _ in range(2))
    assert (first.cost, second.cost) == (index.steps, 0)
    assert first.to_json().replace(f'"cost": {index.steps}', '"cost": 0') == second.to_json()


def test_a_planted_span_is_found_and_ranks_first(tmp_path: Path) -> None:
    """A latch is on from the symbol that sets it to the symbol that clears it."""
    plant = hs.plant.latch(hold=50)
    xs = [plant.inputs(k, T=30).squeeze(1) for k in range(20)]
    values = [plant.lstm.trace(x[:, None]).values["l0.h"][:, 0, 0].detach().numpy() for x in xs]
    index = hs.index(plant.lstm.eval(), xs, tmp_path / "index")
    longest = max(
        max((len(run) for run in "".join("x" if v else " " for v in value > 0.4).split()), default=0)
        for value in values
    )
    found = index.search("l0.h[0] > .4 for 2..")
    assert found.matches[0].score == longest > 2


def test_it_says_why_nothing_matches(index: hs.Index) -> None:
    assert "holds nowhere; the unit is between" in str(index.search("l1.c[1] > 900"))
    assert "holds nowhere in the corpus" in str(index.search("token = absent"))
    found = index.search("token = absent")
    assert json.loads(found.to_json()).items() >= found.to_dict().items()
    assert "never where" in str(index.search("token = the, token = a"))
    assert "never for a span of this length" in str(index.search("l1.c[1] > -900 for 4000.."))
    assert "never for a span of this length" in str(index.search("l1.c[1] > -900 for 4000.., token = the after"))


def test_lift_is_the_share_there_by_the_share_everywhere(index: hs.Index) -> None:
    found = index.search("l0.h[1] > 0, token = the")
    flat, tokens = np.concatenate(PLAIN["l0.h"])[:, 1] > 0, np.array([t for row in TOKENS for t in row]) == "the"
    assert found.clauses[1].lift == pytest.approx((flat & tokens).sum() / flat.sum() / tokens.mean())
    share, base = found.labels["a"]
    labels = np.array([t for row in LABELS for t in row])
    assert share == pytest.approx((labels[flat & tokens] == "a").mean())
    assert base == pytest.approx((labels == "a").mean())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "at its end"),
        ("l0.h[1] >", "at its end"),
        ("l0.h > 1", "from '> 1' on"),
        ("l0.h[1] > 1..", "cannot read"),
        ("l0.h[1] > 1 for 5..2", "must ascend"),
        ("l0.h[1] > 1 for 0", "at least 1"),
        ("(" * 3000, "at most 2,000 characters"),
        ("l0.h[1] > 1e999", "beyond the range"),
        (" and ".join(["l0.h[1] > 1"] * 40), "at most 32 conditions"),
    ],
)
def test_a_query_that_does_not_follow_the_grammar_is_refused(index: hs.Index, query: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        index.search(query)


@pytest.mark.parametrize("query", ["l9.h[1] > 1", "l0.h[99] > 1", "l0.q[1] > 1"])
def test_a_unit_that_the_model_does_not_have_is_refused(index: hs.Index, query: str) -> None:
    with pytest.raises(NameUnknownError):
        index.search(query)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_the_nearest_states_are_those_of_a_plain_scan(index: hs.Index, gru_index: hs.Index, cell: str) -> None:
    if cell == "LSTM":
        plain, found = PLAIN["l0.h"], index.like(XS[3], t=4, places="l0.h", k=5)
    else:
        plain, found = PLAIN_GRU["l1.h"], gru_index.like(XS[3], t=4, k=5)
    states: Sequence[Any] = [value / np.linalg.norm(value, axis=1, keepdims=True) for value in plain]
    best = sorted(((-float((s @ states[3][4]).max()), k) for k, s in enumerate(states)))[:5]
    assert [match.context.sequence for match in found.matches] == [k for _, k in best]
    assert found.matches[0].context[1:3] == (3, 4)
    np.testing.assert_allclose([match.score for match in found.matches], [-score for score, _ in best], atol=1e-5)


def test_unit_values_at_the_threshold_itself() -> None:
    assert torch.gt(torch.tensor([0.1]), 0.1).tolist() == [False]  # bits compare as float32 does
