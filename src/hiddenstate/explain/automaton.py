"""`automaton`: learns a finite automaton from an LSTM by queries, with AALpy; its result, `LearnedAutomaton`."""

import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.base.messages import readable_name
from hiddenstate.base.scalars import check_at_least, check_seed
from hiddenstate.base.validation import check_memory, check_plain_tensor, optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.subject.head import Head
from hiddenstate.explain.subject.sources import subject
from hiddenstate.nn.rnn import Layer
from hiddenstate.structure.tables import table

MOST_DRAWN = 30
Output = Callable[[Tensor], Sequence[Hashable]]
Word = tuple[Hashable, ...]
TESTS_A_ROUND = 500  # random words on which a hypothesis is tested
MOST_ROW_STEPS = 5_000_000


@dataclass(frozen=True, eq=False, repr=False)
class LearnedAutomaton(Explanation):
    """A Moore machine learned from an LSTM, and how well the two agree. States are numbers; 0 is the start.

    Attributes:
        symbols: the alphabet.
        delta: maps every (state, symbol) to the next state.
        outputs: the LSTM's output in each state.
        steps: the share of steps at which both outputs agree, over fresh random words.
        words: the share of these words that agree at every step.
        tested: the number of these words.
        disagreement: the shortest known word at the end of which they differ; None if there is none.
        complete: whether learning converged: False if it stopped at the maximum number of states.
        residual: the share of steps at which they differ.
    """

    kind = "automaton"

    symbols: tuple[Hashable, ...]
    delta: Mapping[tuple[int, Hashable], int]
    outputs: tuple[Hashable, ...]
    steps: float
    words: float
    tested: int
    disagreement: tuple[Hashable, ...] | None
    complete: bool
    residual: float
    cost: int

    def __len__(self) -> int:
        return len(self.outputs)

    def run(self, word: Sequence[Hashable]) -> list[Hashable]:
        """Return the automaton's output after each symbol.

        Raises:
            NameUnknownError: the alphabet has no such symbol.
        """
        state, outputs = 0, []
        for symbol in word:
            if symbol not in self.symbols:
                raise NameUnknownError(f"no symbol {symbol!r} in this automaton: it reads {self.symbols}")
            state = self.delta[state, symbol]
            outputs.append(self.outputs[state])
        return outputs

    def rows(self) -> Sequence[Row]:
        """Return one row per state and symbol."""
        return [
            {"state": state, "output": str(self.outputs[state]), "symbol": str(symbol), "next": after}
            for (state, symbol), after in self.delta.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON; symbols and outputs as text."""
        own = {name: getattr(self, name) for name in ("steps", "words", "tested", "complete", "residual", "cost")}
        wrong = None if self.disagreement is None else list(map(str, self.disagreement))
        outputs = list(map(str, self.outputs))
        return {**own, "disagreement": wrong, "outputs": outputs, "transitions": self.rows()}

    def __str__(self) -> str:
        lines = [
            [str(state), str(output), *(str(self.delta[state, symbol]) for symbol in self.symbols)]
            for state, output in enumerate(self.outputs)
        ]
        summary = (
            f"{len(self)} states. Over {self.tested:,} fresh random words, it agrees with the LSTM\nat "
            f"{self.steps:.2%} of the steps, and at all steps of {self.words:.2%} of the words."
        )
        if self.disagreement is not None:
            summary += f" They differ on: {' '.join(map(str, self.disagreement))}"
        if not self.complete:
            summary += "\nLearning stopped at the maximum number of states; the LSTM distinguishes more."
        return table(["state", "says", *map(str, self.symbols)], lines, "ll") + "\n" + summary

    def _draw(self, axes: Any) -> None:
        """Draw the states on a circle, with an arrow for each symbol."""
        axes.figure.set_size_inches(5.5, 5.5)
        count = min(len(self), MOST_DRAWN)
        at = [(math.sin(2 * math.pi * k / count), math.cos(2 * math.pi * k / count)) for k in range(count)]
        labels: dict[tuple[int, int], list[str]] = {}
        for (state, symbol), after in self.delta.items():
            if state < count and after < count:
                labels.setdefault((state, after), []).append(str(symbol))
        for (state, after), symbols in labels.items():
            (x, y), (u, v) = at[state], at[after]
            label = ",".join(symbols)
            if state == after:
                axes.text(1.25 * x, 1.25 * y, f"↺ {label}", fontsize=8, ha="center", va="center", parse_math=False)
                continue
            bent = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15", "shrinkA": 16, "shrinkB": 16}
            axes.annotate("", (u, v), (x, y), arrowprops={**bent, "color": "#555555"})
            axes.text(0.6 * x + 0.4 * u, 0.6 * y + 0.4 * v, label, fontsize=8, color="#0072b2", parse_math=False)
        for state in range(count):
            label = f"{state}\n{self.outputs[state]}"
            box = {"boxstyle": "circle,pad=0.3", "facecolor": "white", "edgecolor": "#333333"}
            axes.text(*at[state], label, fontsize=8, ha="center", va="center", bbox=box, parse_math=False)
        axes.set_xlim(-1.5, 1.5)
        axes.set_ylim(-1.5, 1.5)
        axes.set_axis_off()


def automaton(
    model: Layer,
    alphabet: Mapping[Any, Tensor],
    *,
    output: Output | None = None,
    head: nn.Linear | Head | None = None,
    labels: Sequence[str] | None = None,
    states: int = 50,
    length: int = 20,
    tests: int = 2000,
    seed: int = 0,
) -> LearnedAutomaton:
    """Learn a finite automaton that produces the same outputs as the LSTM for words over an alphabet.

    The L* algorithm queries the LSTM (Angluin 1987; Weiss, Goldberg & Yahav 2018 used it to extract automata from
    networks); each hypothesis is tested on random words until no counterexample is found. That is not a proof, so the
    agreement on fresh words is measured and shown.

    Args:
        model: a unidirectional `LSTM`, `GRU` or `RNN`.
        alphabet: maps each symbol to its input vector ``[C]``.
        output: takes hidden states of the last layer ``[N, P]`` and returns the LSTM's output for each, such as a
            label. By default, the label of the largest of several outputs of ``head``.
        head: the linear layer that reads the LSTM's outputs.
        labels: the head's labels.
        states: the maximum number of states; learning stops there.
        length: the length of the random words.
        tests: the number of fresh random words on which the agreement is measured.
        seed: the seed of all random words.

    Raises:
        MissingDependencyError: AALpy is not installed.
        ArgumentError, ArgumentTypeError, ShapeError: an argument is invalid, or learning would take more than 5 million
            row-steps.
    """
    if not isinstance(model, Layer):
        raise ArgumentTypeError(
            f"automaton takes an hs.LSTM, hs.GRU or hs.RNN, got {readable_name(type(model))} (hs.convert converts "
            "torch's layers)"
        )
    if model.bidirectional:
        raise ArgumentError("an automaton reads forward: give a layer that is not bidirectional")
    numbers = {"states": states, "length": length, "tests": tests}
    most, long, count = (check_at_least(name, value, 1) for name, value in numbers.items())
    if long * count > MOST_ROW_STEPS:
        raise ArgumentError(
            f"{count:,} random words of {long:,} symbols are more than {MOST_ROW_STEPS:,} row-steps: lower tests= or "
            "length="
        )
    asked = _Queries(model, _checked(alphabet, model), _output_function(model, output, head, labels))
    draw = random.Random(check_seed(seed))
    return _learned(asked, draw, most, long, count)


def _checked(alphabet: object, model: Layer) -> dict[Hashable, Tensor]:
    if not isinstance(alphabet, Mapping) or not alphabet or not all(isinstance(v, Tensor) for v in alphabet.values()):
        raise ArgumentTypeError("alphabet must be a mapping from symbols to input vectors, with at least one symbol")
    for symbol, vector in alphabet.items():
        if vector.shape != (model.input_size,):
            raise ShapeError(f"the input of {symbol!r} must be [{model.input_size}], got {list(vector.shape)}")
        check_memory(check_plain_tensor(vector, f"the input of {symbol!r}"), f"the input of {symbol!r}")
    return dict(alphabet)


def _output_function(
    model: Layer, output: Output | None, head: nn.Linear | Head | None, labels: Sequence[str] | None
) -> Output:
    if (output is None) == (head is None):
        raise ArgumentError("give either output= or head=, which define the LSTM's output in a state")
    if output is not None:
        if not callable(output):
            raise ArgumentTypeError(f"output must be a function of hidden states, got {type(output).__name__}")
        return output
    like = model._like()
    reader = subject(model, like.new_zeros(1, 1, model.input_size), head=head, labels=labels).head
    assert reader is not None
    if len(reader.weight) == 1:
        raise ArgumentError("head= has one output, so its largest is always the same: give output=, such as its sign")
    return lambda h: [reader.labels[k] for k in reader.logits(h).argmax(-1).tolist()]


class _Queries:
    """Queries an LSTM and counts row-steps."""

    def __init__(self, lstm: Layer, alphabet: dict[Hashable, Tensor], output: Output) -> None:
        self.symbols = tuple(alphabet)
        self._subject = subject(lstm, lstm._like().new_zeros(1, 1, lstm.input_size).transpose(0, 1))
        self._vectors = {symbol: vector.to(lstm._like()) for symbol, vector in alphabet.items()}
        self._output = output
        self.cost = 0

    def start(self) -> Hashable:
        """Return the LSTM's output before the first symbol."""
        h0, *_ = self._subject.sizes.kind.parts_of(self._subject.initial)
        return self._outputs_at(h0[-1])[0]

    @torch.no_grad()
    def words(self, words: Sequence[Word]) -> list[list[Hashable]]:
        """Return the LSTM's outputs at each step of words of equal length."""
        x = torch.stack([torch.stack([self._vectors[symbol] for symbol in word]) for word in words], dim=1)
        self.cost += x.shape[0] * x.shape[1]
        if self.cost > MOST_ROW_STEPS:
            raise ArgumentError(
                f"learning took more than {MOST_ROW_STEPS:,} row-steps: this LSTM distinguishes too many words; "
                "lower states=, or give a coarser output="
            )
        out = self._subject.run(x).out
        answers = self._outputs_at(out.flatten(0, 1))
        return [list(answers[n :: len(words)]) for n in range(len(words))]

    def _outputs_at(self, h: Tensor) -> Sequence[Hashable]:
        outputs = self._output(h)
        if not isinstance(outputs, Sequence):
            raise ArgumentTypeError(f"output must return a list of outputs, got {type(outputs).__name__}")
        if len(outputs) != len(h):
            raise ShapeError(f"output must return one item for each of {len(h)} hidden states, got {len(outputs)}")
        return outputs


def _learned(asked: _Queries, draw: random.Random, most: int, length: int, tests: int) -> LearnedAutomaton:
    base = optional_package("aalpy.base", "automata", "learning an automaton")
    learn = optional_package("aalpy.learning_algs", "automata", "learning an automaton").run_Lstar
    full: list[bool] = []

    class Sul(base.SUL):  # type: ignore[misc, name-defined]
        """The system that AALpy queries, with whole words at once."""

        def pre(self) -> None:
            """Nothing is carried from word to word."""

        def post(self) -> None:
            """Nothing is carried from word to word."""

        def step(self, letter: Hashable) -> Hashable:
            """Return the first output, because only the empty word is queried step by step."""
            return asked.start()

        def query(self, word: Word) -> list[Hashable]:
            """Return the LSTM's output at each step."""
            self.num_queries += 1
            self.num_steps += len(word)
            return asked.words([tuple(word)])[0] if word else [asked.start()]

    class RandomWords(base.Oracle):  # type: ignore[misc, name-defined]
        """Tests a hypothesis on random words, many in one call."""

        def find_cex(self, hypothesis: Any) -> Word | None:
            """Return the shortest prefix on which the two differ, or None."""
            if len(hypothesis.states) >= most:
                full.append(True)
                return None
            delta, outputs = _table(hypothesis, asked.symbols)
            return _first_difference(asked, delta, outputs, _random_words(draw, asked.symbols, length, TESTS_A_ROUND))[
                2
            ]

    sul = Sul()
    hypothesis = learn(list(asked.symbols), sul, RandomWords(list(asked.symbols), sul), "moore", print_level=0)
    delta, outputs = _table(hypothesis, asked.symbols)
    words = _random_words(draw, asked.symbols, length, tests)
    steps, agreed, wrong = _first_difference(asked, delta, outputs, words)
    return LearnedAutomaton(
        symbols=asked.symbols,
        delta=delta,
        outputs=outputs,
        steps=steps,
        words=agreed,
        tested=tests,
        disagreement=wrong,
        complete=not full,
        residual=1 - steps,
        cost=asked.cost,
    )


def _table(machine: Any, symbols: Sequence[Hashable]) -> tuple[dict[tuple[int, Hashable], int], tuple[Hashable, ...]]:
    """Return the transitions and outputs of AALpy's machine, with states numbered in the order of discovery."""
    numbers = {machine.initial_state: 0}
    order, delta = [machine.initial_state], {}
    for state in order:  # grows during the loop
        for symbol in symbols:
            after = state.transitions[symbol]
            if after not in numbers:
                numbers[after] = len(order)
                order.append(after)
            delta[numbers[state], symbol] = numbers[after]
    return delta, tuple(state.output for state in order)


def _random_words(draw: random.Random, symbols: Sequence[Hashable], length: int, count: int) -> list[Word]:
    return [tuple(draw.choices(symbols, k=length)) for _ in range(count)]


def _first_difference(
    asked: _Queries, delta: Mapping[tuple[int, Hashable], int], outputs: Sequence[Hashable], words: Sequence[Word]
) -> tuple[float, float, Word | None]:
    """Return the share of steps and of words on which both agree, and the shortest prefix on which they differ."""
    same, whole_words, shortest = 0, 0, None
    for word, answers in zip(words, asked.words(words), strict=True):
        state, right = 0, 0
        for t, symbol in enumerate(word):
            state = delta[state, symbol]
            if outputs[state] == answers[t]:
                right += 1
            elif shortest is None or t + 1 < len(shortest):
                shortest = word[: t + 1]
        same, whole_words = same + right, whole_words + (right == len(word))
    return same / (len(words) * len(words[0])), whole_words / len(words), shortest
