"""Broken LSTMs. A proof or a check must detect each of them. `lessons.py` has broken lessons."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.cells.cell import ValueHook, Weights, project
from hiddenstate.cells.lstm import LSTM
from hiddenstate.engine import reference

Patch = Callable[[pytest.MonkeyPatch], None]
Parts = dict[str, Tensor]
TORCH = "ifgo"


# --- the equations of one step


def _sums(xg: Tensor, h: Tensor, w: Weights, order: str = TORCH, b_hh: float = 1.0) -> Parts:
    bias = None if w.b_hh is None else w.b_hh * b_hh
    z = xg + torch.nn.functional.linear(h, w.hh, bias)
    return dict(zip(order, z.chunk(4, dim=-1), strict=True))


def _equations(z: Parts, c: Tensor, see: ValueHook, other: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The six equations, some of them replaced."""
    gate = other.get("gate", lambda name, value: value.sigmoid())
    i, f = (see(name, gate(name, see(f"{name}_pre", z[name]))) for name in "if")
    g = see("g", other.get("candidate", torch.tanh)(see("g_pre", z["g"])))
    o = see("o", gate("o", see("o_pre", z["o"])))
    c = see("c", other.get("cell", lambda i, f, g, c: f * c + i * g)(i, f, g, c))
    return see("h", other.get("shown", lambda o, c: o * c.tanh())(o, c)), c


def step(order: str = TORCH, b_hh: float = 1.0, sums: Callable[..., Parts] | None = None, **other: Any) -> Patch:
    """Replace the step of every LSTM."""

    def broken(xg: Tensor, states: tuple[Tensor, ...], w: Weights, see: ValueHook) -> tuple[Tensor, ...]:
        h, c = states
        z = _sums(xg, h, w, order, b_hh) if sums is None else sums(xg, h, c, w)
        new_h, new_c = _equations(z, c, see, other)
        return project(new_h, w), new_c

    return lambda patch: patch.setitem(vars(LSTM), "step", broken)


def _transposed(xg: Tensor, h: Tensor, c: Tensor, w: Weights) -> Parts:
    blocks = [block.T for block in w.hh.chunk(4)] if w.hr is None else w.hh.chunk(4)
    return _sums(xg, h, w._replace(hh=torch.cat(list(blocks))))


def _peeping(xg: Tensor, h: Tensor, c: Tensor, w: Weights) -> Parts:
    z = _sums(xg, h, w)
    return z | {name: z[name] + c for name in "ifo"}


def _forget_plus_one(xg: Tensor, h: Tensor, c: Tensor, w: Weights) -> Parts:
    z = _sums(xg, h, w)
    return z | {"f": z["f"] + 1}


def _deaf(xg: Tensor, h: Tensor, c: Tensor, w: Weights) -> Parts:
    return _sums(xg, torch.zeros_like(h), w)


def _one_for_all(name: str, value: Tensor) -> Tensor:
    return value.sigmoid().mean(dim=-1, keepdim=True).expand_as(value)


EQUATIONS: dict[str, Patch] = {
    "gates in the order i f o g": step("ifog"),
    "gates in ONNX's order": step("iofg"),
    "f and i exchanged": step("figo"),
    "f keeps where it is shut": step(cell=lambda i, f, g, c: (1 - f) * c + i * g),
    "f and i exchanged in c": step(cell=lambda i, f, g, c: i * c + f * g),
    "i is 1 - f": step(cell=lambda i, f, g, c: f * c + (1 - f) * g),
    "c squeezed by tanh": step(cell=lambda i, f, g, c: (f * c + i * g).tanh()),
    "c cut to -1 and 1": step(cell=lambda i, f, g, c: (f * c + i * g).clamp(-1, 1)),
    "nothing is forgotten": step(cell=lambda i, f, g, c: c + i * g),
    "c detached": step(cell=lambda i, f, g, c: f * c.detach() + i * g),
    "h without tanh": step(shown=lambda o, c: o * c),
    "h without o": step(shown=lambda o, c: c.tanh()),
    "g through a sigmoid": step(candidate=torch.sigmoid),
    "g through nothing": step(candidate=lambda value: value),
    "gates through tanh": step(gate=lambda name, value: value.tanh()),
    "hard gates": step(gate=lambda name, value: (value / 6 + 0.5).clamp(0, 1)),
    "one gate for all units": step(gate=_one_for_all),
    "b_hh left out": step(b_hh=0.0),
    "b_hh counted twice": step(b_hh=2.0),
    "weight_hh transposed": step(sums=_transposed),
    "gates that read c": step(sums=_peeping),
    "a forget bias of 1 added": step(sums=_forget_plus_one),
    "h not read": step(sums=_deaf),
}


# --- the run over a sequence

SCAN = reference.scan


def scan(change: Callable[..., tuple[Tensor, ...]]) -> Patch:
    """Replace the run over a sequence of every layer and direction."""
    return lambda patch: patch.setattr(reference, "scan", change)


def _each_alone(keep: str) -> Callable[..., tuple[Tensor, ...]]:
    """Steps that begin at the first state again, except for what is kept."""

    def run(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
        order = range(len(x) - 1, -1, -1) if more.get("reverse") else range(len(x))
        outputs, (h_now, c_now) = {}, (h, c)
        h_end, c_end = h, c
        for t in order:
            live = None if more.get("live") is None else more["live"][t : t + 1]
            outputs[t], h_end, c_end = SCAN(x[t : t + 1], h_now, c_now, w, live=live)
            h_now, c_now = h_end if "h" in keep else h, c_end if "c" in keep else c
        return torch.cat([outputs[t] for t in range(len(x))]), h_end, c_end

    def recorded(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
        # Recorded or edited runs have the true numbers, so a proof that compares finds the difference.
        return SCAN(x, h, c, w, **more) if more.get("observer") is not None else run(x, h, c, w, **more)

    return recorded


def _detached(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    return SCAN(x, h.detach(), c.detach(), w, **more)


def _no_lengths(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    return SCAN(x, h, c, w, **more | {"live": None})


def _padding_is_shown(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    out, h_end, c_end = SCAN(x, h, c, w, **more)
    live = more.get("live")
    return (out if live is None else torch.where(live[..., None], out, h_end)), h_end, c_end


def _ends_with_the_batch(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    out, h_end, c_end = SCAN(x, h, c, w, **more)
    return out, (h_end if more.get("live") is None else out[-1]), c_end


def _never_reverse(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    return SCAN(x, h, c, w, **more | {"reverse": False})


def _reading_order(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    out, h_end, c_end = SCAN(x, h, c, w, **more)
    return (out.flip(0) if more.get("reverse") else out), h_end, c_end


def _rows_mixed(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    out, h_end, c_end = SCAN(x, h, c, w, **more)
    return out + 0.1 * out.mean(dim=1, keepdim=True), h_end, c_end


def _zero_start(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    return SCAN(x, torch.zeros_like(h), torch.zeros_like(c), w, **more)


def _states_exchanged(x: Tensor, h: Tensor, c: Tensor, w: Weights, **more: Any) -> tuple[Tensor, ...]:
    out, h_end, c_end = SCAN(x, h, c, w, **more)
    return (out, c_end, h_end) if h_end.shape == c_end.shape else (out, h_end, c_end)


SEQUENCES: dict[str, Patch] = {
    "no state carried": scan(_each_alone("")),
    "c not carried": scan(_each_alone("h")),
    "h not carried": scan(_each_alone("c")),
    "the first state detached": scan(_detached),
    "the first state ignored": scan(_zero_start),
    "lengths ignored": scan(_no_lengths),
    "the last state repeated past a row's end": scan(_padding_is_shown),
    "h_n at the end of the batch": scan(_ends_with_the_batch),
    "the reverse direction reads forward": scan(_never_reverse),
    "reverse outputs in the order of reading": scan(_reading_order),
    "rows mixed": scan(_rows_mixed),
    "h_n and c_n exchanged": scan(_states_exchanged),
}


# --- the layer


def layer(after: Callable[[hs.LSTM, Any, Any], Any]) -> Patch:
    """Replace `hs.LSTM` with one whose result is changed."""

    class Broken(hs.LSTM):
        def forward(self, *given: Any, **named: Any) -> Any:
            out, (h, c) = super().forward(*given, **named)
            return after(self, out, (h, c))

    return lambda patch: patch.setattr(hs, "LSTM", Broken)


def _batch_first_states(lstm: hs.LSTM, out: Tensor, state: tuple[Tensor, Tensor]) -> Any:
    return out, tuple(part.transpose(0, 1) for part in state) if lstm.batch_first else state


def _time_first_out(lstm: hs.LSTM, out: Tensor, state: Any) -> Any:
    return (out.transpose(0, 1) if lstm.batch_first else out), state


def _layers_upside_down(lstm: hs.LSTM, out: Tensor, state: tuple[Tensor, Tensor]) -> Any:
    return out, tuple(part.flip(0) for part in state) if lstm.num_layers > 1 else state


def _reverse_first(lstm: hs.LSTM, out: Tensor, state: Any) -> Any:
    return (torch.cat(list(out.chunk(2, dim=-1))[::-1], dim=-1) if lstm.bidirectional else out), state


def _last_dropped(lstm: hs.LSTM, out: Tensor, state: Any) -> Any:
    return torch.nn.functional.dropout(out, lstm.dropout, lstm.training), state


def _always_dropped(lstm: hs.LSTM, out: Tensor, state: Any) -> Any:
    deep = lstm.num_layers > 1 and not lstm.training
    return (torch.nn.functional.dropout(out, lstm.dropout) if deep else out), state


def _all_the_same(lstm: hs.LSTM, out: Tensor, state: tuple[Tensor, Tensor]) -> Any:
    return out, (torch.stack([state[0][-1]] * len(state[0])), state[1])


def made(after: Callable[[hs.LSTM], None]) -> Patch:
    """Replace `hs.LSTM` with one that has different initial weights."""

    class Broken(hs.LSTM):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            with torch.no_grad():
                after(self)

    return lambda patch: patch.setattr(hs, "LSTM", Broken)


def _one_weight_for_both(lstm: hs.LSTM) -> None:
    for name, weight in lstm.named_parameters():
        if name.endswith("_reverse"):
            weight.copy_(lstm.get_parameter(name.removesuffix("_reverse")))


def _patient(lstm: hs.LSTM) -> None:
    for layer in range(lstm.num_layers):
        lstm.weight(f"l{layer}.b_if").fill_(1)
        lstm.weight(f"l{layer}.b_hf").zero_()


def _one_bias(patch: pytest.MonkeyPatch) -> None:
    class Broken(hs.LSTM):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named | {"bias": False})

    patch.setattr(hs, "LSTM", Broken)


def _learns_while_it_reads(lstm: hs.LSTM, out: Tensor, state: Any) -> Any:
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0").mul_(0.999)
    return out, state


def _a_hundred_steps(lstm: hs.LSTM, out: Tensor, state: Any) -> Any:
    return (out if lstm.batch_first else out[:100]), state


def _last_layer_alone(lstm: hs.LSTM, out: Tensor, state: tuple[Tensor, Tensor]) -> Any:
    return out, (state[0][-1:], state[1][-1:]) if lstm.num_layers > 1 and not lstm.bidirectional else state


def _torch_order_in_onnx(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hs, "onnx_weights", lambda lstm: [{"W": lstm.weight_ih_l0.detach().numpy()[None]}])


LAYERS: dict[str, Patch] = {
    "the reverse direction has the forward weights": made(_one_weight_for_both),
    "a forget bias that begins at 1": made(_patient),
    "no biases": _one_bias,
    "weights that a run changes": layer(_learns_while_it_reads),
    "a hundred steps at most": layer(_a_hundred_steps),
    "h_n of the last layer alone": layer(_last_layer_alone),
    "ONNX written in torch's order": _torch_order_in_onnx,
    "states batch first": layer(_batch_first_states),
    "out time first in spite of batch_first": layer(_time_first_out),
    "layers of h_n upside down": layer(_layers_upside_down),
    "the reverse half first": layer(_reverse_first),
    "dropout after the last layer": layer(_last_dropped),
    "dropout in eval": layer(_always_dropped),
    "h_n has one state for all": layer(_all_the_same),
}

BROKEN: Mapping[str, Patch] = EQUATIONS | SEQUENCES | LAYERS
