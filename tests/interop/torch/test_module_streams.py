"""Streams of whole modules: chunks equal the whole, rows come and go, and what can't be streamed is refused by name."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConcurrentUseError,
    DtypeError,
    FileFormatError,
    IndexRangeError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from interop.torch.streamed import (
    CELLS,
    LAYERS,
    Acting,
    Decoder,
    Forecaster,
    FrameByFrame,
    RandomStreamable,
    RecurrentActor,
    RecurrentPolicy,
    VoiceActivity,
)
from interrupts import interrupted_everywhere

SIZES = (1, 2, 7, 20)  # of chunks


class Module(nn.Module):
    """A module with this forward and these parts, in eval mode."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function."""
        return self.function(self, *args, **kwargs)


def lstm(**options: Any) -> nn.LSTM:
    return nn.LSTM(4, 8, batch_first=True, **options)


def tagger(layer: Any = nn.LSTM, **options: Any) -> Module:
    return Module(
        lambda m, x: m.head(m.lstm(x)[0]), lstm=layer(4, 8, batch_first=True, **options), head=nn.Linear(8, 2)
    )


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def check_chunks(model: nn.Module, x: Tensor, axis: int, *, exact: bool = False) -> Any:
    """Compare a stream with the whole, in chunks of several sizes; return the stream."""
    stream = hs.stream(model, x)
    with torch.no_grad():
        whole = tensors(model(x))
    T = x.shape[axis]
    for size in SIZES:
        stream.reset()
        chunks = [tensors(stream.feed(x.narrow(axis, t, min(size, T - t)))) for t in range(0, T, size)]
        for k, want in enumerate(whole):
            along = next((a for a in range(want.dim()) if want.shape[a] == T), None)
            got = chunks[-1][k] if along is None else torch.cat([chunk[k] for chunk in chunks], along)
            assert got.shape == want.shape
            assert torch.equal(got, want) if exact else float((got - want).abs().max()) <= 1e-6
        assert stream.t == T
    return stream


@pytest.mark.parametrize("layer", LAYERS)
def test_chunks_of_a_module_equal_the_whole(layer: Any) -> None:
    torch.manual_seed(0)
    model, x = tagger(layer, num_layers=2), torch.randn(3, 20, 4)
    stream = check_chunks(model, x, 1, exact=layer.__module__.startswith("hiddenstate"))
    stream.reset()
    with torch.no_grad():
        want = model(x)
    steps = [stream.step(x[:, t]) for t in range(20)]
    assert float((torch.stack(steps, 1) - want).abs().max()) <= 1e-6


@pytest.mark.parametrize("layer", [nn.LSTM, hs.LSTM, hs.GRU])
def test_a_voice_activity_model_equals_the_whole(layer: Any) -> None:
    torch.manual_seed(1)
    model = VoiceActivity(layer).eval()
    stream = check_chunks(model, torch.randn(2, 20, 64), 1)
    assert stream.layout == "NTC"
    assert next(iter(stream.state)) == "lstm.h"


def test_a_model_that_is_called_frame_by_frame_is_a_stream_of_steps() -> None:
    torch.manual_seed(2)
    model, frames = FrameByFrame().eval(), torch.randn(6, 3, 64)
    stream = hs.stream(model, frames[0], torch.zeros(2, 3, 16))
    state, want = torch.zeros(2, 3, 16), []
    with torch.no_grad():
        for frame in frames:
            p, state = model(frame, state)
            want.append(p)
    got = [stream.step(frame)[0] for frame in frames]
    assert stream.layout == "NC"
    assert float((torch.stack(got) - torch.stack(want)).abs().max()) <= 1e-6
    stream.reset()
    probabilities, states = stream.feed(frames)  # the axis of steps in front
    assert torch.equal(probabilities, torch.stack(got))
    assert stream.feed(frames[:0])[0].shape == (0, 3, 1)
    assert torch.allclose(states[-1], state, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, hs.LSTM])
def test_an_actor_as_rsl_rl_builds_it_is_streamed_without_the_state_that_it_keeps(layer: Any) -> None:
    torch.manual_seed(3)
    policy, observations = RecurrentActor(layer).eval(), torch.randn(9, 4, 5)
    with pytest.raises(ArgumentError, match=r"keeps a state between calls, in `memory_a.hidden_state`"):
        hs.stream(policy, observations[0])
    assert policy.memory_a.hidden_state is None
    acting = hs.stream(Acting(policy), observations[0])
    dones = torch.rand(9, 4) < 0.3
    for t, x in enumerate(observations):
        with torch.no_grad():
            want = policy(x)
        assert torch.allclose(acting.step(x), want, atol=1e-6)
        states = policy.memory_a.hidden_state
        for part in tensors(states):  # rsl_rl's Memory.reset
            part[..., dones[t], :] = 0.0
        acting.reset(dones[t])


def test_a_policy_as_sb3_contrib_builds_it_is_streamed_with_resets_of_single_rows() -> None:
    torch.manual_seed(4)
    policy, N = RecurrentPolicy(hs.LSTM).eval(), 4
    zeros = torch.zeros(1, N, 8)
    states: Any = ((zeros, zeros), (zeros, zeros))
    stream = hs.stream(policy, torch.randn(N, 5), states, torch.zeros(N))
    for _t in range(8):
        obs, starts = torch.randn(N, 5), (torch.rand(N) < 0.3).float()
        with torch.no_grad():
            actions, values, states = policy(obs, states, starts)
        for row in starts.nonzero()[:, 0].tolist():
            stream.reset(rows=[row])
        got = stream.step(obs)
        assert torch.equal(got[0], actions)
        assert torch.allclose(got[1], values, atol=1e-6)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(tensors(got[2]), tensors(states), strict=True))
    assert set(stream.state) == {f"lstm_{part}.{name}" for part in ("actor", "critic") for name in "hc"}


@pytest.mark.parametrize("layer", [nn.LSTM, hs.GRU])
def test_a_forecaster_is_saved_restarted_and_continued(layer: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model, x = Forecaster(layer).eval(), torch.randn(2, 20, 2)
    check_chunks(model, x, 1)
    stream = hs.stream(model, x)
    stream.feed(x[:, :11])
    stream.save(tmp_path / "state.safetensors")
    want = stream.feed(x[:, 11:])
    again = hs.stream(copy.deepcopy(model), x)
    again.load(tmp_path / "state.safetensors")
    got = again.feed(x[:, 11:])
    assert torch.equal(got["forecast"], want["forecast"])
    assert again.t == 20


@pytest.mark.parametrize("cell", CELLS)
def test_tacotrons_decoder_cells_equal_the_whole(cell: Any) -> None:
    torch.manual_seed(6)
    stream = check_chunks(Decoder(cell).eval(), torch.randn(20, 3, 6), 0)
    assert stream.layout == "TNC"


def random_module(seed: int) -> None:
    model = RandomStreamable(seed)
    stream = check_chunks(model, model.example(2, 20), 1 if model.batch_first else 0)
    assert stream.layout == model.layout


@pytest.mark.parametrize("seed", range(12))
def test_random_modules_equal_the_whole(seed: int) -> None:
    random_module(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 48))
def test_many_random_modules_equal_the_whole(seed: int) -> None:
    random_module(seed)


def test_the_engine_gives_the_bits_of_the_layers_own_stream() -> None:
    torch.manual_seed(7)
    layer, head, x = hs.LSTM(4, 8), nn.Linear(8, 2), torch.randn(20, 3, 4)
    stream = hs.stream(Module(lambda m, x: m.layer(x)[0], layer=layer, head=head), x)
    alone = layer.stream(batch=3)
    assert all(torch.equal(stream.step(step), alone.step(step)) for step in x)
    assert torch.equal(stream.state["layer.c"], alone.state[1])


def test_unbatched_input_numpy_and_out() -> None:
    torch.manual_seed(8)
    model = Module(lambda m, x: m.head(m.lstm(x)[0]), lstm=hs.LSTM(4, 8), head=nn.Linear(8, 2))
    x = torch.randn(20, 4)
    stream = check_chunks(model, x, 0)
    assert stream.layout == "TC"
    assert stream.batch == 1
    with pytest.raises(ArgumentError, match="no axis of rows"):
        stream.join()
    stream.reset()
    out = np.empty(2, np.float32)
    assert stream.step(x[0].numpy(), out=out) is out
    stream.reset()
    assert np.array_equal(stream.step(x[0].numpy()), out)
    one = hs.stream(tagger(), torch.randn(1, 20, 4))
    assert one.step(x[0]).shape == (2,)
    assert one.step(x[:1]).shape == (1, 2)
    assert one.feed(torch.zeros(1, 0, 4)).shape == (1, 0, 2)
    assert one.step(x[:0], rows=[]).shape == (0, 2)


@pytest.mark.parametrize("kind", ["padded", "constant", "chomped", "once", "in the convolution"])
def test_causal_convolutions_carry_their_last_inputs(kind: str) -> None:
    torch.manual_seed(9)

    class Causal(nn.Conv1d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(functional.pad(x, (self.dilation[0] * (self.kernel_size[0] - 1), 0)))

    forwards: dict[str, Callable[..., Any]] = {
        "padded": lambda m, x: m.b(functional.pad(m.a(functional.pad(x, (2, 0))).relu(), (4, 0))),
        "constant": lambda m, x: m.b(functional.pad(m.a(m.pad(x)).relu(), (4, 0), value=0.5)),
        "chomped": lambda m, x: m.b(m.a(x)[..., :-2].relu())[..., :-4],
        "once": lambda m, x: m.b(m.a(functional.pad(x, (6, 0))).relu()),
        "in the convolution": lambda m, x: m.b(m.a(x).relu()),
    }
    conv = Causal if kind == "in the convolution" else nn.Conv1d
    padding = (2, 4) if kind == "chomped" else (0, 0)
    a, b = conv(3, 5, 3, padding=padding[0]), conv(5, 4, 3, dilation=2, padding=padding[1])
    model = Module(forwards[kind], a=a, b=b, pad=nn.ConstantPad1d((2, 0), -1.0))
    stream = check_chunks(model, torch.randn(2, 3, 20), 2)
    assert stream.layout == "NCT"
    assert stream.state["b.inputs"].shape == (2, 5, 4)


def test_a_learned_initial_state_and_one_computed_from_the_input_begin_each_row() -> None:
    torch.manual_seed(10)
    model: Any = Module(
        lambda m, x: m.lstm(x, [part[None].contiguous() for part in m.first(x[:, 0]).chunk(2, -1)])[0],
        lstm=lstm(),
        first=nn.Linear(4, 16),
    )
    model.first.weight.data.mul_(0)  # learned: all rows begin alike
    x = torch.randn(3, 20, 4)
    stream = check_chunks(model, x, 1)
    model.first.bias.data.mul_(2)  # as a step of an optimiser
    with torch.no_grad():
        want = model(x)
    stream.reset()
    stream.step(x[:, 0])
    stream.leave(1)
    assert stream.join() == 1  # starts a new sequence, beside rows that go on
    stream.step(x[:, 1])
    assert torch.allclose(stream.state_of(0)["lstm.h"], want_state(model, x[:1, :2]), atol=1e-6)
    assert torch.allclose(stream.state_of(1)["lstm.h"], want_state(model, x[1:2, 1:2]), atol=1e-6)
    stream.reset(torch.tensor([False, False, True]))
    stream.step(x[:, 2])
    assert torch.allclose(stream.state_of(2)["lstm.h"], want_state(model, x[2:, 2:3]), atol=1e-6)
    assert torch.allclose(stream.state_of(0)["lstm.h"], want_state(model, x[:1, :3]), atol=1e-6)
    stream.reset()
    assert torch.allclose(stream.feed(x), want, atol=1e-6)


def want_state(model: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)[0, -1][None]  # type: ignore[no-any-return]


def test_rows_come_and_go_as_in_streams_of_their_own() -> None:
    torch.manual_seed(11)
    model, x = tagger(hs.LSTM), torch.randn(6, 12, 4)
    many, own = hs.stream(model, x[:2]), [hs.stream(model, x[:1]) for _ in range(6)]
    taken = {0: 0, 1: 1}  # which sequence each row has
    position = [0] * 6
    draw = np.random.default_rng(0)
    for turn in range(40):
        idle = [k for k in range(6) if k not in taken.values()]
        if idle and draw.random() < 0.3:
            state = own[idle[0]].state_of(0) if turn % 2 else None
            if state is None:
                own[idle[0]].reset()
            taken[many.join(state)] = idle[0]
        elif len(taken) > 1 and draw.random() < 0.2:
            row = next(iter(taken))
            many.leave(row)
            del taken[row]
        rows = [row for row in taken if draw.random() < 0.7]
        steps = torch.stack([x[taken[row], position[taken[row]] % 12] for row in rows]) if rows else x[:0, 0]
        got = many.step(steps, rows=rows)
        for k, row in enumerate(rows):
            want = own[taken[row]].step(x[taken[row], position[taken[row]] % 12])
            position[taken[row]] += 1
            assert torch.allclose(got[k], want, atol=1e-6)
        assert sorted(taken) == [*many.rows]
    for row in taken:
        for name, part in many.state_of(row).items():
            assert torch.allclose(part, own[taken[row]].state_of(0)[name], atol=1e-6)


def test_states_reset_fork_and_assignment() -> None:
    torch.manual_seed(12)
    model, x = tagger(hs.GRU), torch.randn(3, 9, 4)
    stream = hs.stream(model, x)
    stream.feed(x[:, :4])
    kept, branch = stream.state, stream.fork()
    first = stream.step(x[:, 4])
    assert torch.equal(branch.step(x[:, 4]), first)
    assert branch.t == stream.t == 5
    stream.state = kept
    assert torch.equal(stream.step(x[:, 4]), first)
    one = stream.state_of(1)
    stream.reset(rows=[0, 2], to=one)
    assert all(torch.equal(stream.state_of(row)["lstm.h"], one["lstm.h"]) for row in range(3))
    stream.reset(torch.tensor([True, False, True]))
    assert not stream.state_of([0, 2])["lstm.h"].any()
    assert stream.state_of(1)["lstm.h"].any()
    stream.reset(rows=[2, 1], to=branch.state_of([0, 1]))
    assert torch.equal(stream.state_of(2)["lstm.h"], branch.state_of(0)["lstm.h"])
    stream.reset()
    assert stream.t == 0
    assert not stream.state["lstm.h"].any()


def over_time(function: Callable[..., Tensor], **parts: nn.Module) -> Module:
    """A module that changes its input, channels first, before the layer."""
    return Module(lambda m, x: m.lstm(function(m, x.transpose(1, 2)).transpose(1, 2))[0], lstm=lstm(), **parts)


class Kept(nn.Module):
    """A module that keeps its state in itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.hidden = lstm(), None

    def forward(self, x: Tensor) -> Any:
        """Go on from the last call."""
        out, self.hidden = self.lstm(x, self.hidden)
        return out


def of_decayed(m: Any, x: Tensor) -> Tensor:
    h, out = x.new_zeros(len(x), 8), []
    for t in range(x.shape[1]):
        h = m.cell(x[:, t], 0.9 * h)
        out.append(h)
    return torch.stack(out, 1)


def attended(m: Any, x: Tensor) -> Tensor:
    out = m.lstm(x)[0]
    return m.attention(out, out, out)[0]  # type: ignore[no-any-return]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "bidirectional": (
        lambda: Module(lambda m, x: m.lstm(x)[0], lstm=lstm(bidirectional=True)),
        "`lstm` is bidirectional",
    ),
    "pooled": (lambda: Module(lambda m, x: m.lstm(x)[0].mean(1), lstm=lstm()), "pools over time .`mean`"),
    "pooled and spread": (
        lambda: Module(lambda m, x: (lambda out: out * out.amax(1, keepdim=True))(m.lstm(x)[0]), lstm=lstm()),
        "pools over time .`amax`",
    ),
    "batch norm in training": (
        lambda: over_time(lambda m, x: m.norm(x), norm=nn.BatchNorm1d(4)).train(),
        "`norm` normalises by the batch in training mode: call model.eval",
    ),
    "layer norm over time": (
        lambda: over_time(lambda m, x: functional.layer_norm(x, x.shape[-1:])),
        "normalises over time .`layer_norm`",
    ),
    "instance norm": (
        lambda: over_time(lambda m, x: m.norm(x), norm=nn.InstanceNorm1d(4)),
        "`norm` normalises over time",
    ),
    "group norm": (lambda: over_time(lambda m, x: m.norm(x), norm=nn.GroupNorm(2, 4)), "`norm` normalises over time"),
    "same convolution": (
        lambda: over_time(lambda m, x: m.conv(x), conv=nn.Conv1d(4, 4, 3, padding=1)),
        "`conv` looks ahead .padding=1 on both sides.: pad only before the first step, by 2",
    ),
    "convolution padded at the end": (
        lambda: over_time(lambda m, x: m.conv(functional.pad(x, (0, 2))), conv=nn.Conv1d(4, 4, 3)),
        "`conv` looks ahead",
    ),
    "reflecting convolution": (
        lambda: over_time(lambda m, x: m.conv(x)[..., :-2], conv=nn.Conv1d(4, 4, 3, padding=2, padding_mode="reflect")),
        "`conv` pads with reflect values",
    ),
    "convolution with a stride": (
        lambda: over_time(lambda m, x: m.conv(x), conv=nn.Conv1d(4, 4, 2, stride=2)),
        "`conv` takes 2 steps at a time",
    ),
    "function of convolution": (
        lambda: over_time(
            lambda m, x: functional.conv1d(functional.pad(x, (2, 0)), m.conv.weight), conv=nn.Conv1d(4, 4, 3)
        ),
        "needs earlier steps, which only recurrent layers, cells and Conv1d keep .`conv1d`",
    ),
    "attention": (
        lambda: Module(attended, lstm=lstm(), attention=nn.MultiheadAttention(8, 2, batch_first=True)),
        "`attention` attends to all steps",
    ),
    "causal attention": (
        lambda: Module(
            lambda m, x: (lambda out: functional.scaled_dot_product_attention(out, out, out, is_causal=True))(
                m.lstm(x)[0]
            ),
            lstm=lstm(),
        ),
        "attends to all steps .`scaled_dot_product_attention`",
    ),
    "kept state": (Kept, "keeps a state between calls, in `hidden`"),
    "dropout": (
        lambda: Module(lambda m, x: m.drop(m.lstm(x)[0]), lstm=lstm(), drop=nn.Dropout(0.3)).train(),
        "`drop` draws random numbers .dropout. in training mode: call model.eval",
    ),
    "dropout as a function": (
        lambda: Module(lambda m, x: functional.dropout(m.lstm(x)[0]), lstm=lstm()),
        "`dropout` .* draws random numbers",
    ),
    "noise": (lambda: Module(lambda m, x: m.lstm(x + torch.randn_like(x))[0], lstm=lstm()), "draws random numbers"),
    "sum of earlier steps": (lambda: Module(lambda m, x: m.lstm(x.cumsum(1))[0], lstm=lstm()), "`cumsum`"),
    "differences": (
        lambda: Module(lambda m, x: m.lstm(x - functional.pad(x, (0, 0, 1, 0))[:, :-1])[0], lstm=lstm()),
        "needs earlier steps",
    ),
    "positions": (
        lambda: Module(lambda m, x: m.lstm(x + torch.arange(x.shape[1])[:, None])[0], lstm=lstm()),
        "needs earlier steps, .* .`arange`",
    ),
    "reversed": (lambda: Module(lambda m, x: m.lstm(x.flip(1))[0], lstm=lstm()), "reverses the steps .`flip`"),
    "rows mixed": (lambda: Module(lambda m, x: m.lstm(x - x.mean(0))[0], lstm=lstm()), "rows are mixed"),
    "begun with another's final state": (
        lambda: Module(lambda m, x: m.decoder(x, m.lstm(x)[1])[0], lstm=lstm(), decoder=lstm()),
        "`lstm` is read at the end of the sequence",
    ),
    "changed state": (
        lambda: Module(of_decayed, cell=nn.GRUCell(4, 8)),
        "`cell` is not given at each step the state that it returned",
    ),
    "lengths": (
        lambda: Module(
            lambda m, x: m.lstm(nn.utils.rnn.pack_padded_sequence(x, [x.shape[1]] * len(x), batch_first=True))[0].data,
            lstm=lstm(),
        ),
        "`lstm` is given lengths",
    ),
    "no state": (lambda: Module(lambda m, x: m.head(x), head=nn.Linear(4, 2)), "calls no recurrent layer"),
    "fewer results": (
        lambda: Module(lambda m, x: m.lstm(x)[0][:, 1:], lstm=lstm()),
        "expected an axis with one entry for each",
    ),
    "flattened": (
        lambda: Module(lambda m, x: m.lstm(x)[0].reshape(-1, 8), lstm=lstm()),
        "expected an axis with one entry for each",
    ),
}


@pytest.mark.filterwarnings("ignore:input's size at dim=1 does not match num_features")
@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_streamed_is_refused_by_name(name: str) -> None:
    torch.manual_seed(13)
    make, match = REFUSED[name]
    model = make()
    before = {part: (dict(vars(part)), part.training) for part in model.modules()}
    values, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with pytest.raises(ArgumentError, match=match):
        hs.stream(model, torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0)))
    assert all((dict(vars(part)), part.training) == held for part, held in before.items())
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_causal_module_with_unread_attributes_is_streamed() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        m.seen, _ = m.lstm(x)
        return m.head(m.seen)  # type: ignore[no-any-return]

    model = Module(forward, lstm=lstm(), head=nn.Linear(8, 2))
    check_chunks(model, torch.randn(2, 20, 4), 1)


def test_bad_input_fails(tmp_path: Path) -> None:
    model, x = tagger(), torch.randn(2, 20, 4)
    stream = hs.stream(model, x)
    bad: Any = (
        (torch.zeros(2, 5), ShapeError),
        (torch.zeros(3, 4), ShapeError),
        (torch.zeros(4), RankError),
        (torch.zeros(2, 1, 4), RankError),
        (torch.zeros(2, 4, dtype=torch.float64), DtypeError),
        ([[0.0] * 4] * 2, ArgumentTypeError),
    )
    for wrong, error in bad:
        with pytest.raises(error):
            stream.step(wrong)
    bad = (([2], IndexRangeError), ([0, 0], ArgumentError), (["a"], ArgumentTypeError))
    for rows, error in bad:
        with pytest.raises(error):
            stream.step(torch.zeros(len(rows), 4), rows=rows)
    with pytest.raises(ShapeError):
        stream.feed(torch.zeros(3, 5, 4))
    with pytest.raises(NameUnknownError, match=r"expected lstm.h, lstm.c"):
        stream.state = {"lstm.h": torch.zeros(1, 2, 8)}
    with pytest.raises(ShapeError, match="lstm.c"):
        stream.state = {"lstm.h": torch.zeros(1, 2, 8), "lstm.c": torch.zeros(1, 2, 9)}
    with pytest.raises(ArgumentTypeError):
        stream.join((torch.zeros(1, 8), torch.zeros(1, 8)))
    for model_or_example, error in ((("model", x), ArgumentTypeError), ((model, [1.0]), ArgumentTypeError)):
        with pytest.raises(error):
            hs.stream(*model_or_example)
    for options in ({"layout": "NN"}, {"layout": 3}, {"batch": 0}, {"batch": 2**60}):
        with pytest.raises(ArgumentError):
            hs.stream(model, x, **options)
    with pytest.raises(ArgumentTypeError):
        hs.stream(model, x, batch=1.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="hs.stream"):
        hs.ModelStream()
    with pytest.raises(ArgumentTypeError, match="fork"):
        copy.deepcopy(stream)
    assert stream.t == 0
    assert not stream.state["lstm.h"].any()
    model.train()
    assert stream.step(x[:, 0]).shape == (2, 2)  # nothing in it draws random numbers
    dropping = Module(lambda m, x: m.drop(m.lstm(x)[0]), lstm=lstm(), drop=nn.Dropout(0.3))
    stream = hs.stream(dropping, x)
    dropping.train()
    with pytest.raises(ArgumentError, match="`drop` draws random numbers"):
        stream.step(x[:, 0])


def test_a_state_of_other_weights_or_of_another_shape_is_not_loaded(tmp_path: Path) -> None:
    model, x, path = tagger(), torch.randn(2, 20, 4), tmp_path / "state.safetensors"
    stream = hs.stream(model, x)
    stream.feed(x)
    stream.save(path)
    with pytest.raises(FileFormatError, match="batch=3"):
        hs.stream(model, x, batch=3).load(path)
    with pytest.raises(FileFormatError, match="other weights than those of this module"):
        hs.stream(tagger(), x).load(path)
    layer = hs.LSTM(4, 8)
    layer.stream(batch=2).save(path)
    with pytest.raises(FileFormatError, match="expected 'module'"):
        stream.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        stream.load(path)
    assert stream.t == 20


def test_two_threads_in_one_stream_are_refused_and_other_threads_call_the_module_itself() -> None:
    inside, leave = threading.Event(), threading.Event()

    def forward(m: Any, x: Tensor) -> Tensor:
        if threading.current_thread() is stepping[-1]:
            inside.set()
            assert leave.wait(60)
        return m.head(m.lstm(x)[0])  # type: ignore[no-any-return]

    stepping = [threading.main_thread()]
    leave.set()
    model, x = Module(forward, lstm=hs.LSTM(4, 8, batch_first=True), head=nn.Linear(8, 2)), torch.randn(2, 20, 4)
    stream = hs.stream(model, x)
    with torch.no_grad():
        want = model(x)
    leave.clear()
    inside.clear()
    stepping.append(threading.Thread(target=stream.feed, args=(x,)))
    stepping[-1].start()
    assert inside.wait(60)
    with pytest.raises(ConcurrentUseError):
        stream.step(x[:, 0])
    with torch.no_grad():
        assert torch.equal(model(x), want)  # while the other thread's call has replaced the layer's forward
    leave.set()
    stepping[-1].join()
    assert stream.t == 20


def test_an_interrupted_step_leaves_the_state_before_or_after_it_and_the_module_as_it_was() -> None:
    torch.manual_seed(14)
    model = over_time(lambda m, x: m.conv(functional.pad(x, (1, 0))), conv=nn.Conv1d(4, 4, 2))
    x = torch.randn(2, 20, 4)
    begun = hs.stream(model, x)
    begun.feed(x[:, :5])
    after, partly = begun.fork(), begun.fork()
    stream = begun.fork()

    def advance() -> None:
        stream.step(x[:, 5])

    def advance_a_row() -> None:
        stream.step(x[1:, 5], rows=[1])

    def check(_: BaseException) -> None:
        nonlocal stream
        torch.set_grad_enabled(True)
        assert all("forward" not in vars(part) for part in model.modules())
        got, t = stream.state, stream.t
        assert any(
            other.t == t and all(torch.equal(part, got[name]) for name, part in other.state.items())
            for other in (begun, after, partly)
        )
        stream.step(x[:, 5])  # not locked
        stream = begun.fork()

    after.step(x[:, 5])
    partly.step(x[1:, 5], rows=[1])
    interrupted_everywhere(advance, check, 40)
    interrupted_everywhere(advance_a_row, check, 40)


def test_a_thousand_streams_share_the_packed_weights_and_hold_only_their_states() -> None:
    model, x = tagger(num_layers=2), torch.randn(1, 20, 4)
    first = hs.stream(model, x)
    first.step(x[:, 0])
    streams = [first.fork() for _ in range(1000)]
    steppers = {id(carrier._packed.stepper()) for stream in streams for carrier in stream._form.carriers}
    assert len(steppers) == 1
    assert len({id(stream._form) for stream in streams}) == 1
    nbytes = {sum(part.untyped_storage().nbytes() for part in stream._now.tensors) for stream in streams}
    assert nbytes == {2 * (2 * 8) * 4 + 1}
    streams[0].step(x[:, 1])
    assert streams[1].t == 1
    assert not torch.equal(streams[0].state["lstm.h"], streams[1].state["lstm.h"])
    many = hs.stream(model, x)
    for _ in range(1000):
        many.join()
    many.leave([*many.rows][1:])
    assert many.rows == (0,)


def test_edits_apply_in_a_stream_of_a_module() -> None:
    model, x = tagger(hs.LSTM), torch.randn(2, 20, 4)
    stream = hs.stream(model, x)
    with hs.edit(model, hs.zero("lstm.l0.f")), torch.no_grad():
        assert torch.allclose(stream.feed(x), model(x), atol=1e-6)
    with (
        hs.edit(model, hs.zero("lstm.l0.f", t=1)),
        pytest.raises(ArgumentError, match="single steps or rows of `lstm`"),
    ):
        stream.step(x[:, 0])


def test_changed_weights_are_used_at_the_next_step() -> None:
    model: Any = tagger(hs.LSTM)
    x = torch.randn(2, 20, 4)
    stream = hs.stream(model, x)
    stream.step(x[:, 0])
    with torch.no_grad():
        model.lstm.weight_hh_l0.mul_(0.5)
    model.lstm.weight_ih_l0.data.mul_(2)  # torch's version counter misses this
    hs.repack(model)
    fresh = hs.stream(model, x)
    fresh.state = stream.state
    assert torch.equal(fresh.step(x[:, 1]), stream.step(x[:, 1]))


def test_other_results_and_several_sequences_are_refused() -> None:
    x = torch.randn(2, 20, 4)
    scored = Module(lambda m, x: torch.distributions.Categorical(logits=m.lstm(x)[0]), lstm=lstm())
    with pytest.raises(ArgumentTypeError, match=r"returns a .*Categorical, which can't be compared"):
        hs.stream(scored, x)
    joined = Module(lambda m, parts: m.lstm(parts["a"] + parts["b"])[0], lstm=lstm())
    with pytest.raises(ArgumentError, match="takes several sequences"):
        hs.stream(joined, {"a": x, "b": x.clone()})


def test_rsl_rls_own_model_is_streamed() -> None:
    models = pytest.importorskip("rsl_rl.models")
    tensordict = pytest.importorskip("tensordict")
    torch.manual_seed(15)
    N, observations = 4, torch.randn(9, 4, 5)
    groups = tensordict.TensorDict({"policy": observations[0]}, batch_size=[N])
    model = models.RNNModel(groups, {"actor": ["policy"]}, "actor", 2, (16,), rnn_type="lstm", rnn_hidden_dim=8)
    model.eval()
    acting = Module(
        lambda m, x: m.mlp(m.rnn(m.normalizer(x).unsqueeze(0))[0].squeeze(0)),
        normalizer=model.obs_normalizer,
        rnn=model.rnn.rnn,
        mlp=model.mlp,
    )
    zeros = torch.zeros(1, N, 8)
    streams = [hs.stream(acting, observations[0]), hs.stream(model.as_onnx(), observations[0], zeros, zeros)]
    for t, x in enumerate(observations):
        dones = torch.rand(N, generator=torch.Generator().manual_seed(t)) < 0.3
        with torch.no_grad():
            want = model(tensordict.TensorDict({"policy": x}, batch_size=[N]))
        assert torch.allclose(streams[0].step(x), want, atol=1e-6)
        assert torch.allclose(streams[1].step(x)[0], want, atol=1e-6)
        with torch.no_grad():
            model.reset(dones)
        for stream in streams:
            stream.reset(dones)


def test_sb3_contribs_own_policy_is_streamed() -> None:
    policies = pytest.importorskip("sb3_contrib.common.recurrent.policies")
    spaces = pytest.importorskip("gymnasium.spaces")
    torch.manual_seed(16)
    policy = policies.RecurrentActorCriticPolicy(
        spaces.Box(-1, 1, (5,)), spaces.Discrete(3), lambda _: 1e-3, lstm_hidden_size=8, n_lstm_layers=2
    ).eval()
    N = 4
    zeros = torch.zeros(2, N, 8)
    states = policies.RNNStates((zeros, zeros), (zeros, zeros))
    acting = Module(lambda m, *args: m.policy(*args, deterministic=True), policy=policy)
    stream = hs.stream(acting, torch.randn(N, 5), states, torch.zeros(N))
    for _ in range(8):
        obs, starts = torch.randn(N, 5), (torch.rand(N) < 0.3).float()
        with torch.no_grad():
            actions, values, log_probs, states = policy(obs, states, starts, deterministic=True)
        stream.reset(rows=starts.nonzero()[:, 0])
        got = stream.step(obs)
        assert torch.equal(got[0], actions)
        assert torch.allclose(got[1], values, atol=1e-6)
        assert torch.allclose(got[2], log_probs, atol=1e-6)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(tensors(got[3]), tensors(states), strict=True))


def test_a_number_that_depends_on_the_steps_is_refused() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Any:
            return self.gru(x)[0], x.shape[1]

    with pytest.raises(ArgumentError, match="returns 15, a number or text that depends"):
        hs.stream(Counted().eval(), torch.randn(2, 5, 4))


class Rescaled(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lstm, self.change = nn.LSTM(4, 8, batch_first=True), change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.lstm(x)[0])


def test_small_results_are_compared_by_their_own_size() -> None:
    x = torch.randn(2, 20, 4)
    sound: list[Callable[[Tensor], Tensor]] = [lambda out: 1e-6 * out, lambda out: (1e-4 * out + 10) - 10]
    for change in sound:
        hs.stream(Rescaled(change).eval(), x)
    with pytest.raises(ArgumentError, match="can't be streamed"):
        hs.stream(Rescaled(lambda out: 1e-6 * (out - out.mean(1, keepdim=True))).eval(), x)


class Speaker(nn.Module):
    """Reads a sequence, and one thing more: a number for each row, or a weight for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor, more: Tensor) -> Tensor:
        out: Tensor = (
            self.rnn(x)[0] * more if more.is_floating_point() else self.rnn(x + self.embedding(more)[:, None])[0]
        )
        return out


def test_other_arguments_with_rows_or_steps_are_refused() -> None:
    x = torch.randn(3, 20, 4)
    with pytest.raises(ArgumentError, match=r"the tensor \[3\] among the arguments differs between rows"):
        hs.stream(Speaker().eval(), x, torch.tensor([1, 5, 8]))
    with pytest.raises(
        ArgumentError, match=r"input of \[3, 19, 4\] in place of \[3, 20, 4\] fails .*an axis of rows or"
    ):
        hs.stream(Speaker().eval(), x, torch.ones(3, 20, 1))
    alike = hs.stream(Speaker().eval(), x, torch.tensor([5, 5, 5]))
    assert (alike.layout, alike.batch) == ("NTC", 3)


class Silent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 3)

    def forward(self, x: Tensor) -> None:
        self.rnn(x)


def test_a_result_without_tensors_is_refused_by_its_type() -> None:
    with pytest.raises(ArgumentTypeError, match="the module returned NoneType, which contains no tensor"):
        hs.stream(Silent().eval(), torch.randn(9, 2, 4))
