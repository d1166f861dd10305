import math

import numpy as np
import pytest
import torch

from hiddenstate.models.language import scoring as surprise
from hiddenstate.models.language.scoring import Tally, measure, tally
from language_models import KINDS, TEXT, make


def test_tally() -> None:
    done = tally(np.array([3, 0, 5]), np.array([1.0, 4.0, 2.0], np.float32), characters=14)
    assert done == Tally(3, 7.0, 1, 4.0, 14)
    assert done.mean == pytest.approx(7 / 3)
    assert done.perplexity == pytest.approx(math.exp(7 / 3))
    assert done.known_perplexity == pytest.approx(math.exp(3 / 2))
    assert done.unknown_share == pytest.approx(1 / 3)
    assert done.bits_per_character == pytest.approx(7 / 14 / math.log(2))
    assert done + Tally(1, 1.0, 0, 0.0, 2) == Tally(4, 8.0, 1, 4.0, 16)
    assert all(math.isnan(x) for x in (Tally().mean, Tally().perplexity, Tally().unknown_share))
    assert Tally(1, 1e6).perplexity == math.inf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 5, 1000])
def test_measure_counts_every_token_once(kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(**KINDS[kind])
    ids = model.tokens.encode(TEXT + "wholly unknown ☃\n")
    monkeypatch.setattr(surprise, "_NUMBERS_AT_ONCE", 500)
    done = measure(model.train(), ids, rows)
    assert done.tokens == len(ids)
    assert done.unknown == (ids == 0).sum() > 0
    count = min(rows, len(ids))
    length, total, unknown = len(ids) // count, 0.0, 0.0
    for row in range(count):  # one row after another, each in one call
        stop = len(ids) if row == count - 1 else (row + 1) * length
        before = model.tokens.start if row == 0 else int(ids[row * length - 1])
        targets = torch.from_numpy(ids[row * length : stop]).long()
        with torch.no_grad():
            said, _ = model(torch.cat([torch.tensor([before]), targets[:-1]])[:, None])
        nats = -said[range(len(targets)), 0, targets]
        total, unknown = total + float(nats.sum()), unknown + float(nats[targets == 0].sum())
    assert done.nats == pytest.approx(total, rel=1e-5)
    assert done.unknown_nats == pytest.approx(unknown, rel=1e-5)
    assert done.characters == (len(ids) if model.config.level == "char" else 0)
