"""Planted mistakes are found, with the right module named, and sound models are left in peace; the table in the docs.

The table is written again with ``HIDDENSTATE_REFRESH_DOCS=1 pytest tests/doctor/test_planted.py``.
"""

import re
from collections import Counter

import pytest
import torch

import hiddenstate as hs
from doctor.planted import (
    ARCHITECTURES,
    MISTAKES,
    Architecture,
    Mistake,
    Model,
    check_planted,
    example_of,
    is_found,
    planted,
)
from doctor.sound import SOUND, Sound
from hiddenstate.doctor.check import KINDS
from pages import DOCS, REFRESH

PAGE = DOCS / "howto" / "check.md"
pytestmark = pytest.mark.filterwarnings("ignore:dropout option adds")
MOST_MISSED, MOST_FALSE = 0.05, 0.02
QUICK = [next(pair for pair in planted() if pair[0] is mistake) for mistake in MISTAKES]


def check_sound(model: Sound) -> hs.CheckReport:
    torch.manual_seed(2)
    module, args, kwargs = model.build()
    return hs.check(module, *args, **kwargs)


@pytest.mark.parametrize(("mistake", "arch"), QUICK, ids=lambda part: part.name)
def test_each_mistake_is_found_in_one_architecture(mistake: Mistake, arch: Architecture) -> None:
    report = check_planted(mistake, arch)
    assert is_found(mistake, report), report


@pytest.mark.parametrize("model", SOUND[::3], ids=lambda model: model.name)
def test_a_sound_model_has_no_mistakes(model: Sound) -> None:
    report = check_sound(model)
    assert report.ok, report


@pytest.mark.parametrize("arch", ARCHITECTURES[::3], ids=lambda arch: arch.name)
def test_the_planted_architectures_are_sound_without_a_mistake(arch: Architecture) -> None:
    assert hs.check(Model(arch), *example_of(arch)).ok


def test_there_are_many_kinds_of_mistakes_and_of_sound_models() -> None:
    counts = Counter(mistake.name for mistake, _ in planted())
    assert len(counts) == len(MISTAKES) >= 25
    assert min(counts.values()) >= 5
    assert len(SOUND) >= 60
    assert sum(bool(model.library) for model in SOUND) >= 30


def test_every_kind_of_finding_has_a_section_in_the_guide_and_most_have_a_planted_mistake() -> None:
    headings = re.findall(r"^### ([\w-]+)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert sorted(headings) == sorted(kind.name for kind in KINDS)
    unplanted = {kind.name for kind in KINDS} - {name for mistake in MISTAKES for name in mistake.kinds}
    assert unplanted == {"fails", "forget-bias", "last-value-repeated", "slow", "unused"}  # test_check.py has them


@pytest.mark.slow
def test_the_table_of_the_guide_is_what_is_measured() -> None:
    """Every third pair of a mistake and an architecture is measured; all of them when the table is written."""
    pairs = list(planted())
    total, missed = Counter(mistake.name for mistake, _ in pairs), Counter[str]()
    for mistake, arch in pairs if REFRESH else pairs[::3]:
        missed[mistake.name] += not is_found(mistake, check_planted(mistake, arch))
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- measured -->\n", "<!-- end -->"
    before, rest = text.split(begin)
    if not REFRESH:
        found = re.findall(r"^\| (.+) \| \[.* \| \d+ \| (\d+) \|$", rest.split(end)[0], re.M)
        told = Counter({name: total[name] - int(count) for name, count in found})
        assert missed <= told
        missed = told
    others = [Model(arch) for arch in ARCHITECTURES]
    false = [model.name for model in SOUND if not check_sound(model).ok]
    false += [
        arch.name
        for arch, model in zip(ARCHITECTURES, others, strict=True)
        if not hs.check(model, *example_of(arch)).ok
    ]
    lines = [
        "| planted mistake | found as | architectures | found |",
        "|---|---|---:|---:|",
        *(
            f"| {mistake.name} | [{mistake.kinds[0]}](#{mistake.kinds[0]}) | {total[mistake.name]} | "
            f"{total[mistake.name] - missed[mistake.name]} |"
            for mistake in MISTAKES
        ),
        f"| **all** | | **{total.total()}** | **{total.total() - missed.total()}** |",
        "",
        f"Of {len(SOUND) + len(ARCHITECTURES)} sound models ({sum(bool(model.library) for model in SOUND)} follow "
        f"models of other libraries), {len(false)} were wrongly reported to have a mistake.",
    ]
    table = "\n".join(lines) + "\n"
    if REFRESH:
        PAGE.write_text(before + begin + table + end + rest.split(end)[1], encoding="utf-8")
    assert missed.total() <= MOST_MISSED * total.total()
    assert len(false) <= MOST_FALSE * (len(SOUND) + len(ARCHITECTURES))
    assert REFRESH or rest.split(end)[0] == table
