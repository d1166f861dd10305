import pytest

from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.syllabus import Syllabus

TAGGED, UNTAGGED = [3, 1, 7, 2], [5, 4, 1, 6, 3, 3, 8]


def positions(syllabus: Syllabus, epoch: int) -> list[int]:
    return sorted(position for lesson in syllabus.lessons(epoch) for position in lesson.positions)


def test_without_limits_every_epoch_reads_all() -> None:
    syllabus = Syllabus(TaggerConfig(epochs=3, batch_words=8), TAGGED, UNTAGGED, taught=True)
    for epoch in (1, 2, 3):
        assert positions(syllabus, epoch) == list(range(11))
        assert syllabus.size(epoch) == sum(TAGGED) + sum(UNTAGGED)
        assert all(lesson.taught for lesson in syllabus.lessons(epoch))
    assert syllabus.lessons(1) != syllabus.lessons(2)


def test_the_last_epochs_read_tagged_text_alone() -> None:
    syllabus = Syllabus(TaggerConfig(epochs=5, tagged_epochs=2), TAGGED, UNTAGGED, taught=True)
    assert [len(positions(syllabus, epoch)) for epoch in range(1, 6)] == [11, 11, 11, 4, 4]
    assert [syllabus.lessons(epoch)[0].taught for epoch in range(1, 6)] == [True, True, True, False, False]
    assert syllabus.size(4) == sum(TAGGED)


@pytest.mark.parametrize("wanted", [1, 5, 12, 29, 30, 1000])
def test_so_many_untagged_words_are_drawn_anew(wanted: int) -> None:
    config = TaggerConfig(epochs=40, untagged_words=wanted)
    syllabus = Syllabus(config, TAGGED, UNTAGGED, taught=True)
    drawn = []
    for epoch in range(1, 41):
        found = positions(syllabus, epoch)
        assert found[:4] == [0, 1, 2, 3]
        words = sum(UNTAGGED[position - 4] for position in found[4:])
        assert min(wanted, sum(UNTAGGED)) <= words < wanted + max(UNTAGGED)
        assert syllabus.size(epoch) == words + sum(TAGGED)
        drawn.append(tuple(found))
        assert positions(Syllabus(config, TAGGED, UNTAGGED, taught=True), epoch) == found  # depends only on the epoch
    assert {position for each in drawn for position in each} == set(range(11))
    assert len(set(drawn)) > 1 or wanted >= 29


def test_without_teachers_there_is_nothing_to_teach() -> None:
    syllabus = Syllabus(TaggerConfig(), TAGGED, [], taught=False)
    assert not any(lesson.taught for lesson in syllabus.lessons(1))
    assert positions(syllabus, 1) == [0, 1, 2, 3]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_some_sentences_are_read_as_their_variants(share: float) -> None:
    variants = [2, 0, 4, 2, *(length - 1 for length in UNTAGGED)]
    config = TaggerConfig(epochs=300, varied=share, untagged_words=12, tagged_epochs=100)
    syllabus = Syllabus(config, TAGGED, UNTAGGED, taught=True, variants=variants)
    plain = Syllabus(config, TAGGED, UNTAGGED, taught=True)
    count = len(variants)
    read, varied = 0, 0
    for epoch in range(1, 301):
        found = positions(syllabus, epoch)
        assert syllabus.size(epoch) == sum([*TAGGED, *UNTAGGED, *variants][position] for position in found)
        either = sorted(position % count for position in found)
        assert len(set(either)) == len(either)  # never both
        wanted = {position for position in positions(plain, epoch) if variants[position]}
        assert wanted <= set(either) <= set(positions(plain, epoch))
        read, varied = read + len(wanted), varied + sum(position >= count for position in found)
    assert varied / read == pytest.approx(share, abs=0.05)
