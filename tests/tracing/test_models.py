"""Traces of whole models: against plain runs, and against traces of the separate LSTMs."""

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexRangeError,
    NameUnknownError,
    ShapeError,
    TraceTooLargeError,
)
from hiddenstate.tracing.recorders import requested
from support import assert_all_close, assert_close, gradients


class Translator(nn.Module):
    """A bidirectional encoder, and a cell that attends to it and reads its own last output."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.encoder = hs.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.decoder = nn.ModuleDict({"cell": cell})
        self.answer = nn.Linear(6 + 6, 11)

    def forward(self, words: Tensor, length: int = 4) -> Tensor:
        memory, (h, c) = self.encoder(self.embed(words))
        state = (h[-2:].transpose(0, 1).flatten(1), c[-2:].transpose(0, 1).flatten(1))
        said, answers = words[:, 0], []
        for _ in range(length):
            state = self.decoder["cell"](self.embed(said), state)
            attention = (memory @ state[0][..., None]).softmax(dim=1)
            answers.append(self.answer(torch.cat([state[0], (attention * memory).sum(1)], dim=-1)))
            said = answers[-1].argmax(-1)
        return torch.stack(answers, dim=1)


class Tagger(nn.Module):
    """Words from their characters, then a tag for each word: two LSTMs, with ragged packed input."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = hs.LSTM(5, 4, bidirectional=True)
        self.words = hs.LSTM(8, 3, num_layers=2, dropout=0.5, bidirectional=True)
        self.tags = nn.Linear(6, 7)

    def forward(self, letters: Tensor, letter_counts: Tensor, word_counts: Tensor) -> Tensor:
        packed = pack_padded_sequence(letters, letter_counts, enforce_sorted=False)
        _, (h, _) = self.characters(packed)
        words = h.transpose(0, 1).flatten(1).reshape(-1, len(word_counts), 8)
        out, _ = self.words(pack_padded_sequence(words, word_counts, enforce_sorted=False))
        tags: Tensor = self.tags(pad_packed_sequence(out)[0])
        return tags


class Loop(nn.Module):
    """Calls one module in a given way."""

    inner: Any

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, run: Any) -> Any:
        return run(self.inner)


@pytest.fixture
def words() -> Tensor:
    return torch.randint(0, 11, (2, 5))


def test_a_translators_run(words: Tensor) -> None:
    model = Translator(hs.LSTMCell(4, 6))
    plain = model(words, length=3)
    run = hs.trace(model, words, length=3)
    assert_close(run.out, plain)
    parameters = list(model.parameters())
    assert_all_close(gradients([run.out], parameters), gradients([plain], parameters), "gradients")
    assert list(run) == ["encoder", "decoder.cell"]
    embedded = model.embed(words)
    alone = model.encoder.trace(embedded)
    assert_all_close(run["encoder"].values.values(), alone.values.values())
    assert_close(run["encoder"].out, alone.out)  # type: ignore[arg-type]
    assert run["encoder"].layout == "NT"
    assert run.nbytes == run["encoder"].nbytes + run["decoder.cell"].nbytes
    assert run["decoder.cell"].nbytes == 6 * 3 * 2 * 6 * 4


def test_a_cells_trace_is_that_of_a_layer_with_its_weights(words: Tensor) -> None:
    model = Translator(hs.LSTMCell(4, 6)).double()
    cell, inputs, states = model.decoder["cell"], [], []

    def keep(_: nn.Module, given: tuple[Tensor, tuple[Tensor, Tensor]]) -> None:
        inputs.append(given[0].detach())
        states.append(given[1])

    cell.register_forward_pre_hook(keep)
    run = hs.trace(model, words, pre=True)
    got = run["decoder.cell"]
    layer = hs.LSTM(4, 6, dtype=torch.float64)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    initial = (states[0][0].detach()[None], states[0][1].detach()[None])
    want = layer.trace(torch.stack(inputs), initial, pre=True)
    assert (got.names, got.steps, got.length, got.layout) == (want.names, want.steps, 4, "TN")
    assert_all_close(got.values.values(), want.values.values())
    assert_all_close([got.out, *got.state, *got.initial], [want.out, *want.state, *want.initial])  # type: ignore[list-item]
    assert got.at(t=2, unit=5, row=1)["c_prev"] == pytest.approx(want.at(t=2, unit=5, row=1)["c_prev"])
    # The words read pass no gradient on, so those of the weights only come through the steps.
    of_cell, of_layer = (list(module.parameters()) for module in (cell, layer))
    assert_all_close(gradients(got.values.values(), of_cell), gradients(want.values.values(), of_layer), "gradients")


@pytest.mark.parametrize("training", [True, False])
def test_a_taggers_run(training: bool) -> None:
    model = Tagger().train(training)
    letters, letter_counts, word_counts = (
        torch.randn(6, 8, 5),
        torch.tensor([6, 1, 3, 2, 5, 4, 1, 2]),
        torch.tensor([3, 4]),
    )
    torch.manual_seed(1)
    plain = model(letters, letter_counts, word_counts)
    torch.manual_seed(1)
    run = hs.trace(model, letters, letter_counts, word_counts, keep=["l1.c", "l0r.f"])
    assert_close(run.out, plain)
    parameters = list(model.parameters())
    assert_all_close(gradients([run.out], parameters), gradients([plain], parameters), "gradients")
    assert run["characters"].names == ("l0r.f",)  # of one layer
    assert run["words"].names == ("l1.c", "l0r.f")
    assert isinstance(run["words"].out, PackedSequence)
    assert run["words"].row_length(1) == 4
    packed = pack_padded_sequence(letters, letter_counts, enforce_sorted=False)
    assert_close(run["characters"]["l0r.f"], model.characters.trace(packed)["l0r.f"])


def test_a_module_under_several_paths_answers_to_each() -> None:
    shared = hs.LSTM(4, 4)
    model = nn.ModuleList([shared, nn.ModuleDict({"again": shared}), hs.LSTM(4, 4), nn.LSTM(4, 4)])
    run = hs.trace(model, call=lambda: shared(torch.randn(3, 1, 4)))
    assert run["0"] is run["1.again"]
    assert list(run) == ["0", "1.again"]
    assert len(run) == 2
    assert ("0" in run, "2" in run, "3" in run, "9" in run) == (True, False, False, False)
    assert run.calls("2") == ()
    assert run.get("9") is None
    assert dict(run) == {"0": run["0"], "1.again": run["0"]}
    assert run.nbytes == run["0"].nbytes
    assert repr(run) == (
        f"ModelTrace of 2 modules, {run.nbytes} bytes\n"
        "  '0': 1 trace, 3 of 3 steps, 1 rows, 6 places\n"
        "  '1.again': 1 trace, 3 of 3 steps, 1 rows, 6 places\n"
        "  '2': not called\n"
        "  '3': not recorded, since it is torch's own"
    )
    assert run == run
    assert hash(run)
    assert run != hs.trace(model, call=lambda: shared(torch.randn(3, 1, 4)))


def test_several_calls_of_an_lstm() -> None:
    model, x = Loop(hs.LSTM(4, 3)), torch.randn(5, 2, 4)

    def word_by_word(lstm: nn.Module) -> list[Tensor]:
        state, outs = None, []
        for step in x:
            out, state = lstm(step[None], state)
            outs.append(out)
        return outs

    run = hs.trace(model, word_by_word)
    assert [trace.length for trace in run.calls("inner")] == [1] * 5
    whole = run.joined("inner")
    want = model.inner.trace(x)
    assert_all_close(whole.values.values(), want.values.values())
    assert_close(whole.out, torch.cat(run.out))  # type: ignore[arg-type]
    assert "5 traces, 1 of 1, 1 of 1, 1 of 1, 1 of 1, ... steps" in repr(run)
    with pytest.raises(
        ArgumentError, match=r"'inner' was called 5 times in this run: run.calls\('inner'\) returns each"
    ):
        run["inner"]
    assert "inner" in run
    with pytest.raises(ArgumentError, match="was called 5 times"):
        run.get("inner")  # not hidden, as a missing path would be

    run = hs.trace(model, lambda lstm: [lstm(x), lstm(x[:2])])
    assert [trace.length for trace in run.calls("inner")] == [5, 2]
    with pytest.raises(ArgumentError, match=r"calls.'inner'.\[1\] does not continue from the previous call"):
        run.joined("inner")


def steps_of(cell: nn.Module, x: Tensor, state: Any = None) -> Any:
    for step in x:
        state = cell(step, state)
    return state


def test_sequences_that_a_cell_reads_one_after_another() -> None:
    model, x = Loop(hs.LSTMCell(4, 3)), torch.randn(5, 2, 4)

    def two(cell: nn.Module) -> None:
        h, c = steps_of(cell, x)
        steps_of(cell, x[:2], (h.detach().clone(), c.detach()))  # continues, without the graph
        steps_of(cell, x)  # from zero: a new sequence
        steps_of(cell, x[:3, 0])  # without a batch: a new one

    run = hs.trace(model, two)
    assert [trace.length for trace in run.calls("inner")] == [7, 5, 3]
    assert run.calls("inner")[2].layout == "T"
    assert run.calls("inner")[2]["l0.f"].shape == (3, 3)
    assert run.calls("inner")[2].state[0].shape == (1, 3)
    layer = hs.LSTM(4, 3)
    layer.load_state_dict({f"{name}_l0": value for name, value in model.inner.state_dict().items()})
    assert_all_close(run.calls("inner")[1].values.values(), layer.trace(x).values.values())
    assert_all_close(run.calls("inner")[2].values.values(), layer.trace(x[:3, 0]).values.values())
    assert_all_close(run.calls("inner")[2].state, layer.trace(x[:3, 0]).state)


def test_a_state_that_was_changed_between_steps_is_not_carried() -> None:
    model, x = Loop(hs.LSTMCell(4, 3)), torch.randn(4, 2, 4)

    def with_an_end(cell: nn.Module) -> None:
        with torch.no_grad():
            h, c = steps_of(cell, x[:2])
            h[0], c[0] = 0, 0  # written into the cell's output: row 0 starts again
            h, c = steps_of(cell, x[2:], (h, c))
            h.zero_()

    run = hs.trace(model, with_an_end)
    first, second = run.calls("inner")
    assert (first.length, second.length) == (2, 2)
    assert first["l0.h"][1, 0].abs().min() > 0
    assert torch.equal(first["l0.h"][1], first.state[0][0])
    assert second.initial[0][0, 0].abs().max() == 0
    assert torch.equal(second.initial[0][0, 1], first.state[0][0, 1])
    assert second.state[0].abs().min() > 0


def test_what_the_model_writes_into_an_output_leaves_the_record() -> None:
    model, x = Loop(hs.LSTM(4, 3)), torch.randn(4, 2, 4)
    with torch.no_grad():
        want = model.inner(x)
        run = hs.trace(model, lambda lstm: [part.zero_() for part in (lambda out, state: (out, *state))(*lstm(x))])
    assert_close(run["inner"].out, want[0])  # type: ignore[arg-type]
    assert_all_close(run["inner"].state, want[1])
    packed = pack_padded_sequence(x, torch.tensor([4, 2]))
    with torch.no_grad():
        run = hs.trace(model, lambda lstm: lstm(packed)[0].data.zero_())
    assert run["inner"].out.data.abs().min() > 0


def test_what_is_recorded(words: Tensor) -> None:
    model = Translator(hs.LSTMCell(4, 6))
    every = hs.trace(model, words, pre=True)
    run = hs.trace(model, words, keep=["l0.f", "l1r.c", "l0.f"], steps=[-1, 0], pre=True)
    assert run["encoder"].names == ("l0.f", "l1r.c", "l0.f_pre")
    assert (run["encoder"].steps, run["decoder.cell"].steps) == ((0, 4), (0, 3))
    assert run["decoder.cell"].names == ("l0.f", "l0.f_pre")
    for path in run:
        for name in run[path]:
            steps = list(run[path].steps)
            assert_close(run[path].values[name], every[path].values[name][steps])
    assert run["decoder.cell"].nbytes == 2 * 2 * 2 * 6 * 4
    assert list(hs.trace(model, words, keep=["l1.f"])) == ["encoder"]
    assert list(hs.trace(model, words, paths=["decoder"])) == ["decoder.cell"]
    assert list(hs.trace(model, words, paths=[""])) == ["encoder", "decoder.cell"]
    sentences = [list("abcde"), list("ABCDE")]
    run = hs.trace(model, words, tokens={"encoder": sentences, "decoder.cell": [row[:4] for row in sentences]})
    assert (run["encoder"].words(1), run["decoder.cell"].words(1)) == (tuple("ABCDE"), tuple("ABCD"))
    assert hs.trace(model, words, tokens={"encoder": sentences})["decoder.cell"].tokens is None
    assert hs.trace(model, words, length=5, tokens=sentences)["decoder.cell"].words() == tuple("abcde")


def test_the_limit_is_for_the_whole_run(words: Tensor) -> None:
    model = Translator(hs.LSTMCell(4, 6))
    nbytes = hs.trace(model, words).nbytes
    assert hs.trace(model, words, limit=nbytes).nbytes == nbytes
    with pytest.raises(
        TraceTooLargeError, match=r"^'decoder.cell': .* on top of 3,744 of earlier calls, over the limit of 4,031"
    ):
        hs.trace(model, words, limit=nbytes - 1)
    model(words)  # nothing is in force any longer
    assert len(hs.trace(model, words)) == 2


def test_an_lstm_is_a_model_too() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    run = hs.trace(lstm, x, reset=torch.zeros(5, 2, dtype=torch.bool))
    assert_close(run[""]["l0.c"], lstm.trace(x)["l0.c"])


def test_traces_and_edits_inside_a_run() -> None:
    model, x = Loop(hs.LSTM(4, 3)), torch.randn(5, 2, 4)
    inner: list[Any] = []

    def run(lstm: Any) -> None:
        with lstm.edit(hs.zero("l0.f", t=1)):
            inner.append(lstm.trace(x, keep=["l0.c"], steps=[1]))
        inner.append(hs.trace(model, lambda lstm: lstm(x[:2]))["inner"])

    outer = hs.trace(model, run)
    assert [trace.length for trace in outer.calls("inner")] == [5, 2]
    assert (inner[0].names, inner[0].steps) == (("l0.c",), (1,))
    assert outer.calls("inner")[0]["l0.f"][1].abs().max() == 0
    assert_close(inner[0]["l0.c"][0], outer.calls("inner")[0]["l0.c"][1])
    assert_close(inner[1]["l0.c"], outer.calls("inner")[1]["l0.c"])


def test_hooks_before_a_call_are_seen() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    want = lstm.trace(x * 2)
    lstm.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2,))
    assert_close(hs.trace(nn.Sequential(lstm), x)["0"]["l0.c"], want["l0.c"])


def test_an_error_inside_the_model_leaves_nothing_behind() -> None:
    model, x = Loop(hs.LSTM(4, 3)), torch.randn(5, 2, 4)

    def fails(lstm: nn.Module) -> None:
        lstm(x)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hs.trace(model, fails)
    assert not requested(model.inner)

    def caught(lstm: nn.Module) -> None:
        with pytest.raises(ShapeError):
            lstm(x[..., :2])
        lstm(x)

    assert hs.trace(model, caught)["inner"].length == 5


def test_threads_record_their_own_runs() -> None:
    model = Loop(hs.LSTM(4, 3))
    together, runs = threading.Barrier(2), {}

    def work(T: int) -> None:
        def run(lstm: nn.Module) -> None:
            together.wait(timeout=60)
            lstm(torch.randn(T, 1, 4))
            together.wait(timeout=60)

        runs[T] = hs.trace(model, run)

    threads = [threading.Thread(target=work, args=(T,)) for T in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {T: run["inner"].length for T, run in runs.items()} == {2: 2, 3: 3}


def test_compiled_models_run_compiled_again_after_traces_of_two_threads() -> None:
    """Overlapping traces may end in any order; torch has one stance for all threads."""
    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled, x = torch.compile(nn.Linear(3, 2), backend=backend), torch.randn(1, 3)
    model, first_began, second_began = Loop(hs.LSTM(4, 3)), threading.Event(), threading.Event()
    counts: list[int] = []

    def first(lstm: nn.Module) -> None:
        first_began.set()
        assert second_began.wait(timeout=60)
        lstm(torch.randn(2, 1, 4))

    def second(lstm: nn.Module) -> None:
        second_began.set()
        outer.join(timeout=60)
        lstm(torch.randn(2, 1, 4))
        compiled(x)
        counts.append(len(graphs))  # the trace of the other thread has ended, this one has not

    outer = threading.Thread(target=hs.trace, args=(model, first))
    outer.start()
    assert first_began.wait(timeout=60)
    hs.trace(model, second)
    compiled(x)
    assert [*counts, len(graphs)] == [0, 1]


def test_calls_in_another_thread_are_not_seen() -> None:
    model, x = Loop(hs.LSTM(4, 3)), torch.randn(5, 1, 4)

    def elsewhere(lstm: nn.Module) -> None:
        thread = threading.Thread(target=lstm, args=(x,))
        thread.start()
        thread.join()

    with pytest.warns(UserWarning, match="nothing was recorded of 'inner', which was called in another thread"):
        run = hs.trace(model, elsewhere)
    assert len(run) == 0
    with pytest.raises(
        NameUnknownError, match="'inner' was not called in this run, or called where it cannot be recorded"
    ):
        run["inner"]


# The compilers warn about their own internals.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("fullgraph", [True, False])
def test_a_compiled_model_is_recorded(words: Tensor, fullgraph: bool) -> None:
    model = Translator(hs.LSTMCell(4, 6))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=fullgraph)
    plain = compiled(words)
    run = hs.trace(compiled, words)  # type: ignore[arg-type]
    assert list(run) == ["_orig_mod.encoder", "_orig_mod.decoder.cell"]
    assert_close(run.out, plain)
    assert run["_orig_mod.decoder.cell"].length == 4


def test_models_without_our_lstms_fail() -> None:
    x = torch.randn(5, 2, 4)
    with pytest.raises(ArgumentError, match=r"cells of this Sequential are torch's own \('0'\).*hs.convert\(model\)"):
        hs.trace(nn.Sequential(nn.LSTM(4, 3)), x)
    with pytest.raises(ArgumentError, match=r"layers and cells of this LSTM are torch's own \(the model itself\)"):
        hs.trace(nn.LSTM(4, 3), x)
    with pytest.raises(ArgumentError, match=r"no hiddenstate layer or cell in this Linear \(modules in plain"):
        hs.trace(nn.Linear(4, 3), x)
    with pytest.raises(ArgumentTypeError, match="trace takes a torch.nn.Module, got function"):
        hs.trace(lambda: None)  # type: ignore[arg-type]


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"keep": ["l2.f"]}, NameUnknownError, "no place 'l2.f' in this LSTM: its layers and directions are l0 l0r l1 l1r"),
    ({"keep": ["l0.x"]}, NameUnknownError, "unknown place 'l0.x'"),
    ({"keep": "l0.f"}, ArgumentTypeError, "keep must be a list of places"),
    ({"keep": []}, ArgumentError, "nothing to record"),
    ({"steps": "all"}, ArgumentTypeError, "steps= must be an int"),
    ({"steps": 4}, IndexRangeError, "^'decoder.cell': steps=4 is out of range: there are 4"),
    ({"steps": slice(9, None)}, ArgumentError, "^'encoder': nothing to record"),
    ({"paths": "encoder"}, ArgumentTypeError, r"paths must be a list.*write \['encoder'\]"),
    (
        {"paths": ["enc"]},
        NameUnknownError,
        "no hiddenstate layer or cell at or under 'enc': the model has 'encoder', 'decoder.cell'",
    ),
    ({"paths": ["embed"]}, NameUnknownError, "no hiddenstate layer or cell at or under 'embed'"),
    (
        {"tokens": {"decoder": ["a"]}},
        NameUnknownError,
        "tokens are for 'decoder', but the recorded modules are 'encoder', 'decoder.ce",
    ),
    ({"tokens": ["a"]}, ShapeError, "^'encoder': tokens are for 1 rows, expected 2"),
    ({"tokens": [["a"] * 5] * 2}, ShapeError, "^'decoder.cell': row 0 has 4 time steps and 5 tokens"),
    ({"limit": 0}, TraceTooLargeError, "^'encoder': this trace would take 2,880 bytes"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_what_does_not_fit_fails(words: Tensor, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hs.trace(Translator(hs.LSTMCell(4, 6)), words, **options)


def test_a_path_that_was_not_recorded_fails(words: Tensor) -> None:
    run = hs.trace(Translator(nn.LSTMCell(4, 6)), words)
    with pytest.raises(NameUnknownError, match=r"'decoder.cell' is torch's own.*hs.convert\(model\)"):
        run["decoder.cell"]
    with pytest.raises(NameUnknownError, match="no layer or cell was recorded as 'encodr': the run has 'encoder'"):
        run["encodr"]
    with pytest.raises(
        NameUnknownError, match="no hiddenstate layer or cell at or under 'decoder.cell' .that is torch's own"
    ):
        hs.trace(Translator(nn.LSTMCell(4, 6)), words, paths=["decoder.cell"])


def test_a_run_that_calls_no_lstm_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="nothing was recorded: no layer or cell of the model was called"):
        run = hs.trace(hs.LSTM(4, 3), call=lambda: 7)
    assert (run.out, len(run)) == (7, 0)


def test_calls_in_another_thread_beside_those_recorded_are_none_to_warn_of() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 1, 4)

    def both() -> None:
        lstm(x)
        thread = threading.Thread(target=lstm, args=(x,))
        thread.start()
        thread.join()

    assert len(hs.trace(lstm, call=both).calls("")) == 1
