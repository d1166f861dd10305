import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError
from hiddenstate.text.batches import Rows, spans


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 9))
def test_each_row_goes_on_where_it_was(tokens: int, count: int, steps: int) -> None:
    ids = np.arange(1, tokens + 1, dtype=np.int32)
    if count > tokens:
        with pytest.raises(ArgumentError, match=f"a text of {tokens} tokens can't be read as {count} rows"):
            Rows(ids, count, start=0)
        return
    rows = Rows(ids, count, start=0)
    parts = [rows.read(span) for span in spans(rows.length, steps)]
    inputs, targets = (torch.cat(each) for each in zip(*parts, strict=True))
    assert (inputs.dtype, inputs.shape) == (torch.int64, (tokens // count, count))
    # Read row after row, it is the text.
    whole = torch.from_numpy(ids[: rows.length * count]).long()
    assert torch.equal(targets.T.flatten(), whole)
    assert torch.equal(inputs.T.flatten(), torch.cat([torch.tensor([0]), whole[:-1]]))


@given(st.integers(0, 500), st.integers(1, 70), st.integers(0, 99))
def test_spans_of_drawn_sizes_cover_everything(length: int, steps: int, seed: int) -> None:
    found = spans(length, steps, torch.Generator().manual_seed(seed))
    assert found == spans(length, steps, torch.Generator().manual_seed(seed))
    borders = [0, *(span.stop for span in found)]
    assert [span.start for span in found] == borders[:-1]
    assert borders[-1] == length
    assert all(span.stop > span.start for span in found)


def test_drawn_sizes_vary_about_the_steps() -> None:
    sizes = np.array([s.stop - s.start for s in spans(10**5, 70, torch.Generator().manual_seed(0))[:-1]])
    assert 67 < sizes.mean() < 70  # 5 % of them are about 35
    assert 0.02 < (sizes < 50).mean() < 0.08
    assert sizes.max() < 100


def test_fails() -> None:
    with pytest.raises(ArgumentError, match="at least 1 step, got 0"):
        spans(3, 0)
    with pytest.raises(ArgumentError, match="0 rows"):
        Rows(np.ones(3, np.int32), 0, start=0)
