"""Recipes of reinforcement learning: against sb3-contrib and TorchRL if they are installed, and without them."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
import policy_updates
from support import assert_all_close, assert_close, gradients

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("batch", [policy_updates.Batch(9, 3, 5, 17), policy_updates.Batch(1, 1, 1, 1)])
def test_one_call_is_the_loop_over_steps(batch: policy_updates.Batch) -> None:
    """The contestants of the benchmark compute the same gradients."""
    policy_updates.check(policy_updates.layers(batch))


def test_contestants_that_differ_are_refused() -> None:
    first, _ = policy_updates.layers(policy_updates.Batch(4, 2, 3, 5))
    other = first._replace(run=lambda: first.run() + 1)
    with pytest.raises(AssertionError, match="differs by"):
        policy_updates.check([first, other])


@given(st.integers(1, 4), st.integers(2, 9), st.integers(0, 8), st.integers(0, 999))
def test_burn_in_is_the_whole_run_without_its_first_gradients(N: int, T: int, burn: int, seed: int) -> None:
    """R2D2: stored states, the same number of burn-in steps in all rows, episodes that begin anywhere."""
    torch.manual_seed(seed)
    burn = min(burn, T - 1)
    lstm, x = hs.LSTM(3, 5), torch.randn(T, N, 3, requires_grad=True)
    reset, h, c = torch.rand(T, N) < 0.3, torch.randn(T, N, 1, 5), torch.randn(T, N, 1, 5)
    stored = h[0].transpose(0, 1), c[0].transpose(0, 1)
    whole, _ = lstm(x, stored, reset=reset, reset_to=(h, c))
    warm = stored
    if burn:
        with torch.no_grad():
            _, warm = lstm(x[:burn], stored, reset=reset[:burn], reset_to=(h[:burn], c[:burn]))
    out, _ = lstm(x[burn:], warm, reset=reset[burn:], reset_to=(h[burn:], c[burn:]))
    assert_close(out, whole[burn:])
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert not slope[:burn].any()
    assert slope[burn:].any()


def test_rows_burn_in_for_different_numbers_of_steps() -> None:
    torch.manual_seed(0)
    lstm, x = hs.LSTM(3, 5), torch.randn(6, 3, 3)
    stored = torch.randn(1, 3, 5), torch.randn(1, 3, 5)
    burn = torch.tensor([0, 2, 4])
    _, (h, c) = lstm(x, stored, lengths=burn)
    for n, steps in enumerate(burn.tolist()):
        state = (h[:, n], c[:, n])
        want, _ = lstm(x[:, n], (stored[0][:, n], stored[1][:, n]))
        assert_close(lstm(x[steps:, n], state)[0], want[steps:])


def test_a_policy_with_a_memory_learns_to_recall(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a memory, half of the guesses are right."""
    monkeypatch.setattr("sys.argv", ["recurrent_ppo.py", "--updates", "20"])
    runpy.run_path(str(EXAMPLES / "recurrent_ppo.py"), run_name="__main__")
    (recalled,) = re.findall(r"update 20: ([\d.]+) of", capsys.readouterr().out)
    assert float(recalled) > 0.9


@pytest.fixture(scope="module")
def torchrl() -> Any:
    """The example for TorchRL."""
    pytest.importorskip("torchrl")
    return runpy.run_path(str(EXAMPLES / "torchrl_lstm.py"))


STATES = {"LSTM": ("h", "c"), "GRU": ("h",)}


def modules(torchrl: Any, cell: str, C: int, H: int, L: int) -> tuple[Any, Any]:
    """TorchRL's module with its own layer, and with ours, with the same weights."""
    states = STATES[cell]
    keys = {"in_keys": ["observation", *states], "out_keys": ["memory", *(("next", name) for name in states)]}
    options = {"input_size": C, "hidden_size": H, "num_layers": L, **keys}
    theirs = torchrl[f"{cell}Module"](**options, recurrent_backend="pad")
    ours = torchrl[f"Engine{cell}"](**options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def layer_of(module: Any) -> Any:
    return module.lstm if hasattr(module, "lstm") else module.gru


def run_of(module: Any, data: Any) -> tuple[Any, list[Tensor]]:
    """A rollout through a module, and the leaves of its graph."""
    data = data.clone()
    leaves = [data[key].requires_grad_() for key in module.in_keys if key != "is_init"]
    return module(data), [*leaves, *layer_of(module).parameters()]


@pytest.mark.filterwarnings("default")
@given(
    st.sampled_from(["LSTM", "GRU"]),
    st.sampled_from([1, 3, 17]),
    st.sampled_from([1, 5, 17]),
    st.integers(1, 2),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 999),
)
def test_torchrls_pad_backend_gives_the_same(
    torchrl: Any, cell: str, C: int, H: int, L: int, T: int, N: int, seed: int
) -> None:
    """Outputs; gradients of observations, stored states and weights; the states at the ends of episodes."""
    from torchrl.modules import set_recurrent_mode

    torch.manual_seed(seed)
    theirs, ours = modules(torchrl, cell, C, H, L)
    data = torchrl["rollout"](N, T, layer_of(theirs))
    with set_recurrent_mode(True):
        (want, their_leaves), (got, our_leaves) = run_of(theirs, data), run_of(ours, data)
    assert_close(got["memory"], want["memory"])
    found, expected = gradients([got["memory"]], our_leaves), gradients([want["memory"]], their_leaves)
    assert_all_close(found, expected, "gradients")
    for name in STATES[cell]:
        assert_close(got["next", name][:, -1], want["next", name][:, -1])
    layer, (x, *states) = layer_of(ours), (data[key] for key in ("observation", *STATES[cell]))
    starts = data["is_init"].squeeze(-1).clone()
    starts[:, 0] = False
    begin, stored = (
        tuple(parts) if cell == "LSTM" else parts[0] for parts in ([s[:, 0].transpose(0, 1) for s in states], states)
    )
    at_ends = layer.trace(x, begin, reset=starts, reset_to=stored).before_resets()
    at_ends = at_ends if cell == "LSTM" else (at_ends,)
    ends = starts.roll(-1, 1)
    assert_all_close(at_ends, tuple(want["next", name][ends] for name in STATES[cell]), "states at ends")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("cell", STATES)
def test_torchrls_module_acts_on_ours(torchrl: Any, cell: str) -> None:
    """Step by step, as a collector calls it."""
    torch.manual_seed(0)
    theirs, ours = modules(torchrl, cell, 3, 5, 2)
    data = torchrl["rollout"](4, 6, layer_of(theirs))
    for t in range(6):
        want, got = theirs(data[:, t].clone()), ours(data[:, t].clone())
        for key in ("memory", *(("next", name) for name in STATES[cell])):
            assert_close(got[key], want[key])


@pytest.mark.filterwarnings("default")
def test_the_example_of_torchrl_compares_both_cells(torchrl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torchrl["main"]()
    gaps = re.findall(r"(\w+)Module: .* differ by at most (\S+)", capsys.readouterr().out)
    assert [cell for cell, _ in gaps] == ["LSTM", "GRU"]
    assert all(float(gap) < 1e-5 for _, gap in gaps)


@pytest.mark.filterwarnings("default")
def test_sb3_contribs_update_is_the_same_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of a rollout through both policies, and a short training run of ours."""
    pytest.importorskip("sb3_contrib")
    ours, theirs = policy_updates.updates(17, n_envs=2, n_steps=32)
    assert_close(ours.shown(None), theirs.shown(None))
    monkeypatch.setattr("sys.argv", ["sb3_recurrent_policy.py", "--frames", "512"])
    runpy.run_path(str(EXAMPLES / "sb3_recurrent_policy.py"), run_name="__main__")
