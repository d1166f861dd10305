"""Whole models converted and back: the same numbers, names and parameters, and nothing lost on the way."""

import copy
import pickle
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, HiddenStateError
from hiddenstate.nn.torch_modules import Recast
from support import assert_all_close, assert_close, gradients, layer_options, random_input


class Translator(nn.Module):
    """A sequence to sequence model with attention: a bidirectional encoder, a decoder that loops over its cell."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.encoder = nn.LSTM(4, 3, num_layers=2, dropout=0.5, bidirectional=True, batch_first=True)
        self.cells = nn.ModuleList([nn.LSTMCell(4, 6), nn.LSTMCell(6, 6)])
        self.answer = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, 11))

    def forward(self, words: Tensor) -> Tensor:
        memory, (h, c) = self.encoder(self.embed(words))
        states = [(h[k : k + 2].transpose(0, 1).flatten(1), c[k : k + 2].transpose(0, 1).flatten(1)) for k in (0, 2)]
        answers = []
        for t in range(words.shape[1]):
            x = self.embed(words[:, t])
            for k, cell in enumerate(self.cells):
                states[k] = cell(x, states[k])
                x = states[k][0]
            attention = (memory @ x[..., None]).softmax(dim=1)
            answers.append(self.answer(torch.cat([x, (attention * memory).sum(1)], dim=-1)))
        return torch.stack(answers, dim=1)


class Tagger(nn.Module):
    """A tagger with transition scores, like one with a conditional random field: packed rows, shared LSTMs."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(5, 4, bidirectional=True, proj_size=2)
        self.again = nn.ModuleDict({"same": self.rnn})
        self.upper = nn.LSTM(4, 3)
        self.tags = nn.Linear(3, 6)
        self.register_buffer("ends", torch.zeros(6))
        self.transitions = nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        for layer in (self.rnn, self.upper):
            packed, _ = layer(packed)
        scores = self.tags(pad_packed_sequence(packed)[0])
        total = scores[0]
        for score in scores[1:]:
            total = torch.logsumexp(total[:, :, None] + self.transitions, dim=1) + score
        return torch.logsumexp(total + self.ends, dim=1)


def translator() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return Translator(), (torch.randint(0, 11, (3, 5)),)


def tagger() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return Tagger(), (torch.randn(6, 3, 5), torch.tensor([2, 6, 3]))


MODELS = pytest.mark.parametrize("made", [translator, tagger])


def run(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A model's results from a fixed seed, and the gradients of its parameters."""
    torch.manual_seed(5)
    out = model(*inputs)
    return out, gradients([out], list(model.parameters()))


def kinds(model: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in model.modules()} & {nn.LSTM, nn.LSTMCell, hs.LSTM, hs.LSTMCell}


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict([*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)])


def assert_same_tensors(a: nn.Module, b: nn.Module) -> None:
    assert list(tensors(a)) == list(tensors(b))
    assert all(one is other for one, other in zip(tensors(a).values(), tensors(b).values(), strict=True))
    assert list(a.state_dict()) == list(b.state_dict())
    assert a.state_dict()._metadata == b.state_dict()._metadata  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@MODELS
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inplace", [True, False])
def test_there_and_back(made: Callable[[], Any], training: bool, inplace: bool) -> None:
    model, inputs = made()
    model.train(training)
    values, text = copy.deepcopy(model.state_dict()), repr(model)
    attributes = [sorted(vars(part)) for part in model.modules()]
    want, want_gradients = run(model, inputs)
    before = tensors(model)
    converted: Any = hs.convert(model, inplace=inplace)
    report = hs.conversion_report(converted)
    assert not report.left
    assert (converted is model) is inplace
    assert kinds(converted) <= {hs.LSTM, hs.LSTMCell}
    assert kinds(model) == kinds(converted) if inplace else kinds(model) <= {nn.LSTM, nn.LSTMCell}
    assert all(tensors(converted)[name] is tensor for name, tensor in before.items())
    assert_same_tensors(converted, model)
    assert [part.training for part in converted.modules()] == [training] * len(list(model.modules()))
    got, got_gradients = run(converted, inputs)
    assert_close(got, want)
    assert_all_close(got_gradients, want_gradients, "gradients")
    back: Any = hs.convert_back(converted, inplace=inplace)
    report = hs.conversion_report(back)
    assert not report.left
    assert repr(back) == text
    assert kinds(back) <= {nn.LSTM, nn.LSTMCell}
    assert [sorted(vars(part)) for part in back.modules()] == attributes
    got, got_gradients = run(back, inputs)
    assert torch.equal(got, want)
    assert_all_close(got_gradients, want_gradients, "gradients")
    assert all(tensors(back)[name] is tensor for name, tensor in before.items())
    assert all(torch.equal(value, values[name]) for name, value in back.state_dict().items())


@given(layer_options())
def test_any_layer(options: dict[str, Any]) -> None:
    theirs = nn.LSTM(**options)
    ours = hs.convert(theirs)
    assert isinstance(ours, hs.LSTM)
    x = random_input(ours, 3, 2, grad=True)
    leaves = [x, *theirs.parameters()]
    want, got = theirs(x), ours(x)
    assert_all_close([got[0], *got[1]], [want[0], *want[1]])
    assert_all_close(gradients([got[0]], leaves), gradients([want[0]], leaves), "gradients")
    back = hs.convert_back(ours)
    assert type(back) is nn.LSTM
    assert (repr(back), vars(back).keys()) == (repr(theirs), vars(theirs).keys())
    assert all(a is b for a, b in zip(back._flat_weights, theirs._flat_weights, strict=True))
    assert torch.equal(back(x)[0], want[0])


def test_any_cell() -> None:
    for bias in (True, False):
        theirs = nn.LSTMCell(4, 3, bias)
        ours = hs.convert(theirs)
        assert isinstance(ours, hs.LSTMCell)
        x = torch.randn(2, 4)
        assert_all_close(ours(x), theirs(x))
        back = hs.convert_back(ours)
        assert (type(back), repr(back), vars(back).keys()) == (nn.LSTMCell, repr(theirs), vars(theirs).keys())
        assert torch.equal(back(x)[0], theirs(x)[0])


def test_in_place_the_layer_itself_changes() -> None:
    lstm = nn.LSTM(4, 3)
    known = [lstm]  # every reference to it is still valid
    assert hs.convert(lstm, inplace=True) is lstm
    assert isinstance(known[0], hs.LSTM)
    assert known[0].trace(torch.randn(2, 1, 4))["l0.f"].shape == (2, 1, 3)
    assert hs.convert_back(lstm, inplace=True) is lstm
    assert type(lstm) is nn.LSTM


def test_a_copy_leaves_the_model_and_shares_its_tensors() -> None:
    model: Any = nn.ModuleDict({"rnn": nn.LSTM(4, 3), "norm": nn.BatchNorm1d(3)})
    model.mask = torch.ones(3)
    model.seen = [model["rnn"](torch.randn(2, 1, 4))[0]]  # not even a leaf
    model.options = {"names": ["a"]}
    converted: Any = hs.convert(model)
    assert type(model["rnn"]) is nn.LSTM
    assert_same_tensors(model, converted)
    assert converted.mask is model.mask
    assert converted.seen is not model.seen
    assert converted.seen[0] is model.seen[0]
    assert converted.options == model.options
    assert converted.options is not model.options
    converted["rnn"].register_forward_hook(lambda *_: None)
    assert not model["rnn"]._forward_hooks
    assert converted.eval().training is not model.training


def test_a_shared_module_stays_one_and_tied_weights_stay_tied() -> None:
    model: Any = nn.ModuleDict(
        {"rnns": nn.ModuleList([nn.LSTM(3, 3), nn.LSTM(3, 3)]), "out": nn.Linear(3, 12, bias=False)}
    )
    first, second = model["rnns"]
    second.weight_hh_l0 = first.weight_hh_l0
    model["out"].weight = first.weight_hh_l0
    model.again, model["list"] = first, nn.ModuleList([second])
    converted: Any = hs.convert(model)
    report = hs.conversion_report(converted)
    assert converted.again is converted["rnns"][0]
    assert converted["rnns"][1] is converted["list"][0]
    assert converted["out"].weight is converted["rnns"][1].weight_hh_l0 is first.weight_hh_l0
    assert [one.paths for one in report.converted] == [("rnns.0", "again"), ("rnns.1", "list.0")]
    tied = ("rnns.1.weight_hh_l0", "out.weight", "list.0.weight_hh_l0")
    assert report.converted[0].tied == tied
    assert report.converted[1].tied == ("rnns.0.weight_hh_l0", "out.weight", "again.weight_hh_l0")
    back: Any = hs.convert_back(converted)
    assert back.again is back["rnns"][0]
    assert back["rnns"][1]._flat_weights[1] is back["out"].weight


@pytest.mark.parametrize("inplace", [True, False])
def test_an_optimizer_made_before_goes_on(inplace: bool) -> None:
    model, inputs = translator()
    twin = copy.deepcopy(model)

    def train(module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            module(*inputs).square().mean().backward()
            optimizer.step()

    optimizers = [torch.optim.Adam(module.parameters(), lr=0.01) for module in (model.eval(), twin.eval())]
    train(model, optimizers[0], 3)
    train(hs.convert(model, inplace=inplace), optimizers[0], 3)
    train(twin, optimizers[1], 6)
    assert_all_close(model.parameters(), twin.parameters(), "trained", slack=20)
    assert len(optimizers[0].state) == len(list(model.parameters()))


def test_state_dicts_load_both_ways() -> None:
    model, inputs = translator()
    other = Translator().eval()
    converted = hs.convert(model.eval())
    other.load_state_dict(converted.state_dict(), strict=True)
    assert_close(converted(*inputs), other(*inputs))
    changed = {name: value * 2 for name, value in other.state_dict().items()}
    converted.load_state_dict(changed, strict=True)
    other.load_state_dict(changed, strict=True)
    assert_close(converted(*inputs), other(*inputs))
    back = hs.convert_back(converted)
    back.load_state_dict(other.state_dict(), strict=True)
    assert torch.equal(back(*inputs), other(*inputs))


def test_copies_and_pickles_of_what_was_converted() -> None:
    model, x = nn.Sequential(nn.LSTM(4, 3, 2)), torch.randn(5, 2, 4)
    ours = hs.convert(model)
    models: list[tuple[Any, type[nn.Module]]] = [(ours, hs.LSTM), (hs.convert_back(ours), nn.LSTM)]
    for made, kind in models:
        others: list[Any] = [copy.deepcopy(made), pickle.loads(pickle.dumps(made))]
        for other in others:
            assert type(other[0]) is kind
            assert torch.equal(other(x)[0], made(x)[0])
            assert other[0].weight_hh_l1 is not made[0].weight_hh_l1
            assert_close(hs.convert(other)(x)[0], model(x)[0])


def test_what_was_converted_back_can_be_scripted() -> None:
    model, x = nn.Sequential(nn.LSTM(4, 3)), torch.randn(5, 2, 4)
    back: Any = hs.convert_back(hs.convert(model))
    back[0].flatten_parameters()
    scripted = torch.jit.script(back)
    assert torch.equal(scripted(x)[0], model(x)[0])


# Compilers, and compiled code, warn about their own internals.
@pytest.mark.filterwarnings("default")
def test_compiled_models_are_compiled_anew() -> None:
    model, x = nn.Sequential(nn.LSTM(4, 3)), torch.randn(5, 2, 4)
    want = model(x)[0]
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    assert_close(compiled(x)[0], want)
    hs.convert(compiled, inplace=True)  # type: ignore[arg-type]
    assert_close(compiled(x)[0], want)
    layer = nn.LSTM(4, 3)
    layer.compile(backend="eager")
    want = layer(x)[0]
    for inplace in (False, True):
        converted = hs.convert(layer, inplace=inplace)
        assert_close(converted(x)[0], want)
        with mock.patch.object(hs.LSTM, "forward", side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
            converted(x)


def test_wrapped_models() -> None:
    x = torch.randn(5, 2, 4)
    graph = torch.fx.symbolic_trace(nn.Sequential(nn.LSTM(4, 3)))
    assert_close(hs.convert(graph)(x)[0], graph(x)[0])
    wrapped = nn.DataParallel(nn.Sequential(nn.LSTM(4, 3)))
    want = wrapped(x)[0]
    converted: Any = hs.convert(wrapped, inplace=True)
    report = hs.conversion_report(converted)
    assert report.converted[0].paths == ("module.0",)
    assert_close(converted(x)[0], want)


def test_the_random_state_is_left() -> None:
    model = Translator()
    before = torch.get_rng_state()
    hs.convert_back(hs.convert(model))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_converted_model_is_traced() -> None:
    model, inputs = translator()
    plain = model.eval()(*inputs)
    converted: Any = hs.convert(model)
    run = hs.trace(converted, *inputs)
    assert_close(run.out, plain)
    assert list(run) == ["encoder", "cells.0", "cells.1"]
    assert run["cells.1"].length == 5


class Changed(nn.LSTM):
    def forward(self, *inputs: Any) -> Any:
        lstm: Any = super()
        return lstm.forward(*inputs)


def mixed() -> Any:
    model: Any = nn.ModuleDict({"plain": nn.LSTM(4, 3), "changed": Changed(4, 3), "cell": nn.LSTMCell(4, 3)})
    model.unseen = [nn.LSTM(2, 2), {"deep": nn.Sequential(nn.LSTMCell(2, 2))}]
    return model


def test_what_is_left_is_said() -> None:
    converted: Any = hs.convert(mixed())
    report = hs.conversion_report(converted)
    assert [type(module) for module in converted.values()] == [hs.LSTM, Changed, hs.LSTMCell]
    assert [one.paths[0] for one in report.converted] == ["plain", "cell"]
    assert [one.paths[0] for one in report.left] == ["changed", "unseen[0]", "unseen[1]['deep'].0"]
    assert report.left[0].reason == "a subclass, Changed, that adds members: forward"
    assert "kept where torch does not see it" in report.left[1].reason


@pytest.mark.parametrize("inplace", [True, False])
def test_strict_fails_and_changes_nothing(inplace: bool) -> None:
    model = mixed()
    with pytest.raises(ArgumentError, match=r"changed .Changed.: a subclass, Changed.*; unseen\[0\] .*Nothing was cha"):
        hs.convert(model, inplace=inplace, strict=True)
    assert kinds(model) == {nn.LSTM, nn.LSTMCell}
    with pytest.raises(ArgumentError, match=r"\(the model\) \(Changed\): a subclass"):
        hs.convert(Changed(4, 3), inplace=inplace, strict=True)
    hs.convert(translator()[0], inplace=inplace, strict=True)


@pytest.mark.parametrize("back", [True, False])
def test_a_conversion_that_breaks_midway_changes_nothing(back: bool) -> None:
    model, inputs = translator()
    model.eval()
    change = hs.convert_back if back else hs.convert
    if back:
        hs.convert(model, inplace=True)
    want, before = model(*inputs), [(part, type(part), dict(vars(part))) for part in model.modules()]
    real, calls = Recast.apply, []

    def breaks(recast: Recast) -> None:
        calls.append(recast)
        real(recast)
        if len(calls) == 2:
            raise MemoryError("no more")

    with mock.patch.object(Recast, "apply", breaks), pytest.raises(MemoryError, match="no more"):
        change(model, inplace=True)
    assert len(calls) == 2
    for part, kind, attributes in before:
        assert type(part) is kind
        assert vars(part) == attributes
    assert torch.equal(model(*inputs), want)
    assert len(hs.conversion_report(change(model, inplace=True)).converted) == 3


def test_what_cannot_be_copied_fails_and_can_be_converted_in_place() -> None:
    model: Any = nn.Sequential(nn.LSTM(4, 3))
    model.lines = (line for line in "abc")
    with pytest.raises(ArgumentError, match=r"Sequential can't be copied .TypeError: .*generator.*inplace=True"):
        hs.convert(model)
    assert type(model[0]) is nn.LSTM
    hs.convert(model, inplace=True)
    model = nn.Sequential(nn.LSTM(4, 3), torch.jit.script(nn.Linear(3, 2)))
    with pytest.raises(ArgumentError, match="Sequential would not share '1.weight': convert it in place"):
        hs.convert(model)


def test_other_things_than_modules_fail() -> None:
    for change in (hs.convert, hs.convert_back):
        with pytest.raises(ArgumentTypeError, match="convert takes a torch.nn.Module, got list"):
            change([nn.LSTM(4, 3)])  # type: ignore[arg-type]


class Detector(nn.Module):
    """A detector of speech with an LSTM cell, scripted as such models are published."""

    def __init__(self, kind: type[nn.Module] = nn.LSTMCell) -> None:
        super().__init__()
        self.encoder, self.cell = nn.Conv1d(4, 4, 1), kind(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cell(self.encoder(x).mean(-1))[0]
        return out


def test_a_torchscript_model_is_refused_with_what_helps() -> None:
    model = torch.jit.script(Detector())
    cure = r"hs\.from_state_dict\(model\.state_dict\(\), prefix='cell'\)"
    with pytest.raises(
        ArgumentError, match=rf"^these can't .* cell \(TorchScript LSTMCell\): .*before that, or .*{cure}$"
    ):
        hs.convert(model)
    assert type(hs.from_state_dict(model.state_dict(), prefix="cell")) is hs.LSTM
    (left,) = hs.conversion_report(hs.convert(model, inplace=True)).left
    assert left.paths == ("cell",)
    (left,) = hs.conversion_report(hs.convert(torch.jit.freeze(model.eval()))).left  # has no weights to load
    assert (left.paths, left.reason) == (("",), "compiled to TorchScript: convert the model before that")
    with pytest.raises(ArgumentError, match=r"prefix='cell', kind=hs\.GRU\)$"):
        hs.convert(torch.jit.script(Detector(nn.GRUCell)))
    with pytest.raises(ArgumentError, match="before that$"):  # its nonlinearity is not in its weights
        hs.convert(torch.jit.script(Detector(nn.RNNCell)))


def test_a_model_with_a_torchscript_part_is_converted_in_place() -> None:
    model: Any = nn.Sequential(nn.LSTM(4, 3), torch.jit.script(nn.Linear(3, 3)))
    with pytest.raises(ArgumentError, match="inplace=True"):
        hs.convert(model)
    hs.convert(model, inplace=True)
    assert type(model[0]) is hs.LSTM


def test_models_without_lstms_are_given_back() -> None:
    model = nn.Linear(2, 2)
    for change in (hs.convert, hs.convert_back):
        converted = change(model, strict=True)
        report = hs.conversion_report(converted)
        assert isinstance(converted, nn.Linear)
        assert (report.converted, report.left) == ((), ())
        assert (
            str(report)
            == "Nothing to convert: the model holds no LSTM, GRU or RNN that is not already of the requested kind."
        )


def test_every_kind_of_recurrent_module_is_converted_and_back() -> None:
    layers = nn.LSTM(4, 3), nn.GRU(4, 3), nn.RNN(4, 3, nonlinearity="relu")
    model = nn.ModuleList([*layers, nn.LSTMCell(4, 3), nn.GRUCell(4, 3), nn.RNNCell(4, 3)])
    ours: Any = hs.convert(model, strict=True)
    kinds = [hs.LSTM, hs.GRU, hs.RNN, hs.LSTMCell, hs.GRUCell, hs.RNNCell]
    assert [type(one) for one in ours] == kinds
    assert ours[2].mode == "RNN_RELU"
    back: Any = hs.convert_back(ours, strict=True)
    assert [type(one) for one in back] == [type(one) for one in model]
    x = torch.randn(5, 2, 4)
    one: Any
    for one, other in zip(model[:3], ours[:3], strict=True):
        assert one.weight_ih_l0 is other.weight_ih_l0
        torch.testing.assert_close(one(x)[0], other(x)[0])
    torch.testing.assert_close(back[1](x)[0], model[1](x)[0])


def test_a_report_is_that_of_a_conversion() -> None:
    with pytest.raises(HiddenStateError, match="no report of this Linear"):
        hs.conversion_report(nn.Linear(2, 3))
    with pytest.raises(TypeError, match="takes a torch.nn.Module, got int"):
        hs.conversion_report(3)  # type: ignore[arg-type]


def test_a_report_is_printed_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    model = hs.convert(nn.LSTM(4, 3), verbose=True)
    assert capsys.readouterr().out.strip() == str(hs.conversion_report(model))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
def test_torchs_quantisation_passes_over_ours_with_a_warning(kind: type[nn.Module]) -> None:
    model = hs.convert(nn.Sequential(kind(4, 3)))
    with pytest.warns(UserWarning, match="stays in floating point.*hs.convert_back"):
        quantised = torch.ao.quantization.quantize_dynamic(model)
    assert isinstance(quantised[0], (hs.LSTM, hs.LSTMCell))


def profiled_flops(model: nn.Module, x: Tensor) -> int:
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as run, torch.no_grad():
        model(x)
    return sum(event.flops or 0 for event in run.key_averages())


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_operations_are_counted_on_the_model_converted_back(kind: type[nn.Module]) -> None:
    model, x = kind(8, 16), torch.randn(5, 2, 8)
    converted = hs.convert(model)
    assert profiled_flops(hs.convert_back(converted), x) == profiled_flops(model, x) > profiled_flops(converted, x)
    with FlopCounterMode(display=False) as ours:  # needs no conversion back
        converted(x)
    with FlopCounterMode(display=False) as theirs:
        model(x)
    assert ours.get_total_flops() == theirs.get_total_flops() > 0
