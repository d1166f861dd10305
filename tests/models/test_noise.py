import torch

from hiddenstate.models.building import locked, without_tokens


def test_locked_is_the_same_at_every_step() -> None:
    x = torch.ones(6, 50, 40)
    dropped = locked(x, 0.3)
    assert torch.equal(dropped, dropped[:1].expand_as(x))
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert 0.25 < (dropped == 0).float().mean() < 0.35
    assert not torch.equal(dropped[0, 0], dropped[0, 1])
    assert locked(x, 0.0) is x


def test_without_tokens_drops_whole_tokens() -> None:
    ids = torch.randint(200, (30, 5))
    vectors = torch.ones(30, 5, 3)
    dropped = without_tokens(vectors, ids, 200, 0.4)
    gone = dropped[..., 0] == 0
    assert torch.equal(dropped == 0, gone[..., None].expand_as(dropped))
    by_token = {int(k): set(gone[ids == k].tolist()) for k in ids.unique()}
    assert all(len(each) == 1 for each in by_token.values())
    assert 0.2 < sum(each == {True} for each in by_token.values()) / len(by_token) < 0.6
    assert dropped.max() == torch.tensor(1 / 0.6)
    assert without_tokens(vectors, ids, 200, 0.0) is vectors
