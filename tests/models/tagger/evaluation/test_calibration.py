import math

import pytest
import torch

from hiddenstate.models.tagger.accuracy import BINS, fit_temperature, measure_calibration


def test_calibration_against_one_word_at_a_time() -> None:
    torch.manual_seed(0)
    confidences = torch.rand(500)
    correct = torch.rand(500) < confidences**2
    calibration = measure_calibration(confidences, correct)
    assert sum(each.count for each in calibration.bins) == 500
    total = 0.0
    for k, each in enumerate(calibration.bins):
        inside = [(c, r) for c, r in zip(confidences.tolist(), correct.tolist(), strict=True) if k <= c * BINS < k + 1]
        assert each.count == len(inside)
        if inside:
            gap = sum(c for c, _ in inside) / len(inside) - sum(r for _, r in inside) / len(inside)
            assert each.confidence - each.correct == pytest.approx(gap)
            total += len(inside) * abs(gap)
    assert calibration.error == pytest.approx(total / 500)


def test_the_bounds_belong_to_the_last_and_the_first() -> None:
    calibration = measure_calibration(torch.tensor([0.0, 1.0, 1.0000001]), torch.tensor([False, True, True]))
    assert [each.count for each in calibration.bins] == [1, *[0] * (BINS - 2), 2]
    assert calibration.error == pytest.approx(0, abs=1e-6)
    assert math.isnan(measure_calibration(torch.empty(0), torch.empty(0, dtype=torch.bool)).error)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    torch.manual_seed(0)
    scores = 2 * torch.randn(20_000, 5)
    tags = scores.softmax(-1).multinomial(1)[:, 0]
    assert fit_temperature((temperature * scores).log_softmax(-1), tags) == pytest.approx(temperature, rel=0.05)


def test_few_words_change_little() -> None:
    sure = torch.tensor([[0.99, 0.01]]).log()
    assert 0.5 < fit_temperature(sure, torch.tensor([0])) < 1
    assert fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)) == pytest.approx(1)
    assert math.isfinite(fit_temperature(sure.expand(10_000, 2), torch.zeros(10_000, dtype=torch.int64)))
