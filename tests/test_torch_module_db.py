"""torch's own cases for its recurrent layers and cells, and its generic tests of modules, run on ours.

The cases come from torch's module database; the generic tests are those of its ``test/test_modules.py``, rewritten
under the same names. The two that need an accelerator are in ``test_devices.py``.
"""

import copy
import io
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._pytree import tree_leaves

from support import assert_all_close, gradients
from torch_cases import Cases, every, leaves, run, with_tensors

if TYPE_CHECKING:
    from torch.testing._internal.common_modules import ErrorModuleInput, FunctionInput

# Differences from torch's tests, and the reasons; docs/conformance.md has the same table.
NOT_AS_TORCH = {
    "test_check_inplace": "it is for modules with an `inplace` argument; ours have none",
}
# An earlier torch's message if an input's dtype is not the weights'; our message is that of later versions.
OTHER_WORDS = "input must have the type"

EVERY = every(torch.float32, torch.float64)
DOUBLE = every(torch.float64)


def same_weights(module: nn.Module, other: nn.Module) -> nn.Module:
    other.load_state_dict(module.state_dict())
    return other


def test_there_are_as_many_cases_as_torch_has() -> None:
    """Fewer would mean that torch has moved them, and that these tests check little."""
    least = 240 if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 10) else 218
    assert sum(len(cases.inputs()) + len(cases.errors()) for cases in DOUBLE) >= least


@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_outputs_and_gradients_are_torchs(cases: Cases, subtests: pytest.Subtests) -> None:
    for k, case in enumerate(cases.inputs()):
        with subtests.test(case=k):
            ours = cases.make(case.constructor_input)
            theirs = same_weights(ours, cases.make(case.constructor_input, cases.theirs))
            got, want = run(ours, case.forward_input), run(theirs, case.forward_input)
            assert_all_close(got, want, "outputs")
            of_ours, of_theirs = (leaves(module, case.forward_input) for module in (ours, theirs))
            assert_all_close(gradients(got, of_ours), gradients(want, of_theirs), "gradients")


@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_forward(cases: Cases, subtests: pytest.Subtests) -> None:
    """Against the reference in torch's case."""
    for k, case in enumerate(cases.inputs(requires_grad=False)):
        with subtests.test(case=k):
            module, given = cases.make(case.constructor_input), case.forward_input
            want = case.reference_fn(module, *given.args, **given.kwargs)
            assert_all_close(run(module, given), tree_leaves(want))


@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_errors(cases: Cases, subtests: pytest.Subtests) -> None:
    for k, case in enumerate(cases.errors()):
        with subtests.test(case=k):
            refused_as_by_torch(cases, case)


def refused_as_by_torch(cases: Cases, case: "ErrorModuleInput") -> None:
    made, given = case.module_error_input.constructor_input, case.module_error_input.forward_input
    if {"tanh", "relu"}.intersection(made.args):  # torch's cases pass a nonlinearity in the position of bias
        with pytest.raises(TypeError, match="bias should be of type bool, got: str"):
            cases.make(made)
        return
    words = None if case.error_regex.startswith(OTHER_WORDS) else case.error_regex
    if case.error_on.name == "CONSTRUCTION_ERROR":
        with pytest.raises(case.error_type, match=words):
            cases.ours(*made.args, **made.kwargs)
    else:
        module = cases.make(made)
        with pytest.raises(case.error_type, match=words):
            run(module, given)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_factory_kwargs(cases: Cases, device: str) -> None:
    for case in cases.inputs(requires_grad=False):
        made = case.constructor_input
        module = cases.ours(*made.args, **{**made.kwargs, "device": device, "dtype": cases.dtype})
        assert {(p.device.type, p.dtype) for p in module.parameters()} == {(device, cases.dtype)}


@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_device_ctx_init(cases: Cases) -> None:
    for case in cases.inputs(requires_grad=False):
        with torch.device("meta"):
            module = cases.ours(*case.constructor_input.args, **case.constructor_input.kwargs)
        assert all(parameter.is_meta for parameter in module.parameters())


@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_repr(cases: Cases) -> None:
    for case in cases.inputs(requires_grad=False):
        made = case.constructor_input
        assert str(cases.make(made)) == repr(cases.make(made)) == repr(cases.make(made, cases.theirs))


def through_a_file(module: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    loaded: nn.Module = torch.load(buffer, weights_only=False)
    return loaded


COPIES = {"pickle": lambda m: pickle.loads(pickle.dumps(m)), "torch.save": through_a_file, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_pickle(cases: Cases, copied: str) -> None:
    """Also deep copies, which torch's test leaves out."""
    for case in cases.inputs():
        module = cases.make(case.constructor_input)
        other = COPIES[copied](module)
        assert all(a is not b for a, b in zip(module.parameters(), other.parameters(), strict=True))
        given = case.forward_input
        for a, b in zip(run(module, given), run(other, given), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_save_load(cases: Cases, assign: bool) -> None:
    for case in cases.inputs():
        module, other = cases.make(case.constructor_input), cases.make(case.constructor_input)
        buffer = io.BytesIO()
        torch.save(module.state_dict(), buffer)
        buffer.seek(0)
        other.load_state_dict(torch.load(buffer), assign=assign)
        for a, b in zip(run(module, case.forward_input), run(other, case.forward_input), strict=True):
            assert torch.equal(a, b)


def scattered(given: "FunctionInput") -> "FunctionInput":
    """The same input with strides that leave gaps."""
    from torch.testing._internal.common_utils import noncontiguous_like  # with a database that takes seconds to import

    return with_tensors(given, lambda value: noncontiguous_like(value).detach().requires_grad_(value.requires_grad))


@pytest.mark.parametrize("cases", EVERY, ids=str)
def test_non_contiguous_tensors(cases: Cases) -> None:
    for case in cases.inputs():
        module, given = cases.make(case.constructor_input), case.forward_input
        other = scattered(given)
        assert not any(value.is_contiguous() for value in tree_leaves((other.args, other.kwargs)))
        got, want = run(module, other), run(module, given)
        assert_all_close(got, want)
        assert_all_close(gradients(got, leaves(module, other)), gradients(want, leaves(module, given)))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last, torch.channels_last_3d])
@pytest.mark.parametrize("cases", DOUBLE, ids=str)
def test_memory_format(cases: Cases, memory_format: torch.memory_format) -> None:
    """Weights have no channels, so they do not change."""
    for case in cases.inputs():
        module, given = cases.make(case.constructor_input), case.forward_input
        want = run(module, given)
        formatted: Any = module  # versions of torch name different types for this argument
        got = run(formatted.to(memory_format=memory_format), given)
        assert all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(got, want, strict=True))


def looks_at_its_mode(module: nn.Module, given: "FunctionInput") -> bool:
    del module.training
    try:
        run(module, given)
    except AttributeError as error:
        return "training" in str(error)
    return False


@pytest.mark.parametrize("cases", [cases for cases in DOUBLE if cases.training], ids=str)
def test_if_train_and_eval_modes_differ(cases: Cases) -> None:
    """Exactly when torch says that they do."""
    for case in cases.inputs():
        module = cases.make(case.constructor_input)
        assert looks_at_its_mode(module, case.forward_input) == cases.info.train_and_eval_differ


@pytest.mark.parametrize("swaps", [False, True])
@pytest.mark.parametrize("cases", DOUBLE, ids=str)
def test_to(cases: Cases, swaps: bool) -> None:
    """Conversions keep the parameter objects, whether torch writes their data or swaps them."""
    torch.__future__.set_swap_module_params_on_conversion(swaps)
    try:
        for case in cases.inputs(requires_grad=False):
            module = cases.make(case.constructor_input)
            before, values = list(module.parameters()), [p.detach().clone() for p in module.parameters()]
            module.to(torch.float32).to(torch.float64)
            assert all(a is b for a, b in zip(module.parameters(), before, strict=True))
            assert_all_close(module.parameters(), [value.float().double() for value in values])
            assert all(parameter.requires_grad for parameter in module.parameters())
            run(module, case.forward_input)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


@pytest.mark.parametrize("cases", DOUBLE, ids=str)
def test_to_empty(cases: Cases) -> None:
    for case in cases.inputs(requires_grad=False):
        made = case.constructor_input
        module = cases.ours(*made.args, **made.kwargs, device="meta", dtype=cases.dtype)
        module.to_empty(device="cpu")
        assert all(parameter.is_cpu for parameter in module.parameters())
        same_weights(cases.make(made), module)
        run(module, case.forward_input)


@pytest.mark.parametrize(
    ("check", "cases"),
    [
        *(pytest.param(gradcheck, cases, id=f"{cases}-test_grad") for cases in DOUBLE),
        # Modes do not affect derivatives, and these tests are slow.
        *(
            pytest.param(gradgradcheck, cases, id=f"{cases}-test_gradgrad", marks=pytest.mark.slow)
            for cases in DOUBLE
            if cases.training
        ),
    ],
)
def test_grad_and_gradgrad(check: Any, cases: Cases) -> None:
    for case in cases.inputs():
        module, given = cases.make(case.constructor_input), case.forward_input

        def function(
            *_leaves: Tensor, module: nn.Module = module, given: "FunctionInput" = given
        ) -> tuple[Tensor, ...]:
            return tuple(run(module, given))

        assert check(function, leaves(module, given), check_batched_grad=check is gradcheck, fast_mode=True)
