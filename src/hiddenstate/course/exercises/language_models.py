"""Small language models with known predictions, and the texts that typical errors of a sampler write with them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import Typical, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

State = tuple[Tensor, ...] | None
DRAWS = 600
CHANCE = 5 * (0.25 / DRAWS) ** 0.5  # by how much shares may differ from probabilities
SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0])  # of a coin's four characters


def _read(ids: Tensor) -> Tensor:
    """Return a model's input, after rejecting shapes other than [T, 1]."""
    if not isinstance(ids, Tensor):
        raise wrong(f"The model was given x of type {type(ids).__name__}, but it reads a tensor [T, 1].")
    if ids.dim() != 2 or ids.shape[1] != 1 or not len(ids):
        shapes = f"The model was given x of shape {list(ids.shape)}, but it reads [T, 1], with at least one step."
        raise wrong(f"{shapes} `ids` is [n]: `ids[:, None]` is [n, 1].")
    return ids


class Reader(nn.Module):
    """A small language model with a memory: its prediction depends on everything that it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.linear = nn.Embedding(6, 8), LSTM(8, 12), nn.Linear(12, 6)
        with torch.no_grad():
            self.lstm.get_parameter("weight_hh_l0").mul_(5)  # so that the state matters as much as the input

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the scores of the next character at every step, and the state."""
        out, after = self.lstm(self.embed(_read(ids)), state)
        scores = self.linear(out)
        best, worst = (nn.functional.one_hot(place, 6) for place in (scores.argmax(-1), scores.argmin(-1)))
        return 4.0 * (best - worst), after  # so that the others are far less probable, and exp of them is finite


class Coin(nn.Module):
    """A model without a memory, which makes the same prediction at every step."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the scores of the next character at every step, and the state."""
        return self.scores.expand(*_read(ids).shape, -1), state


class Strides(nn.Module):
    """A model whose next character is the last one plus a stride, by default the first that it ever read, or more.

    If there are several choices, all are equally likely.
    """

    def __init__(self, choices: int = 1, stride: int | None = None) -> None:
        super().__init__()
        self.choices, self.stride = choices, stride

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the scores of the next character at every step, and the state."""
        first = _read(ids)[:1].clone() if state is None else state[0]
        stride = first if self.stride is None else self.stride
        chosen = torch.stack([nn.functional.one_hot((ids + stride + k) % 5, 5) for k in range(self.choices)])
        return 50 * chosen.sum(0).float(), (first, first)


def greedy(
    model: nn.Module, prompt: Tensor, count: int, *, carry: bool = True, place: int = -1, sign: int = 1
) -> list[int]:
    """Write greedily; the options are typical errors: no state carried, the first step's scores, the least probable."""
    written: list[int] = []
    x, state = prompt[:, None], None
    for _ in range(count):
        scores, after = model(x, state)
        state = after if carry else None
        written.append(int((sign * scores[place, 0]).argmax()))
        x = torch.tensor([[written[-1]]])
    return written


def typical_texts(count: int, model: nn.Module, prompt: Tensor) -> Iterator[Typical]:
    """Yield the texts that typical errors of a sampler write greedily."""
    right = greedy(model, prompt, count + 1)
    yield Typical(
        "Every character is chosen from a new state, so the model has forgotten what it wrote.",
        greedy(model, prompt, count, carry=False),
        "M1",
    )
    late = greedy(model, prompt[-1:], count)
    yield Typical("It reads only the last character of the prompt, but should read all of them.", late)
    yield Typical(
        "It reads only the first character of the prompt, but should read all of them.",
        greedy(model, prompt[:1], count),
    )
    forgets = greedy(model, prompt[-1:], count, carry=False)
    yield Typical("The prompt is read character by character, each from a new state: carry the state.", forgets, "M1")
    yield Typical(
        "The first character should come from the scores of the prompt's last step only, scores[-1].",
        greedy(model, prompt, count, place=0),
    )
    yield Typical(
        "The prompt's last character is written first. Write only what the model chooses after the prompt.",
        [int(prompt[-1]), *right[: count - 1]],
    )
    yield Typical("The first character after the prompt is missing.", right[1 : count + 1])
    again = greedy(model, torch.cat([prompt, prompt[-1:]]), count)
    yield Typical("The prompt's last character is read twice: its scores already predict the first character.", again)
    yield Typical("It chooses the least probable character.", greedy(model, prompt, count, sign=-1))
    yield Typical("The text is in reverse order.", right[count - 1 :: -1])
    yield Typical(
        "It reads the whole text again at every step and carries the state as well. Do one of the two.",
        _reread(model, prompt, count),
    )
    stuck = list(_feeding(model, prompt, count))
    yield Typical("The prompt is read again at every step: what it writes must be its next input.", stuck)


def other_texts(
    results: list[list[int]], right: list[list[int]], model: nn.Module, prompts: list[Tensor]
) -> AnswerError:
    """Explain texts that are not the most probable ones: an error that gives all of them, or the first difference."""
    by_prompt = (typical_texts(len(text), model, prompt) for text, prompt in zip(results, prompts, strict=True))
    for errors in zip(*by_prompt, strict=True):
        texts = [error.result for error in errors]
        if texts == results and texts != right:
            return wrong(errors[0].sentence, errors[0].about)
    if all(len(set(text)) == 1 for text in results):
        return wrong("It repeats one character: what it writes must be its next input, after the prompt.")
    result, text, prompt = next((a, b, p) for a, b, p in zip(results, right, prompts, strict=True) if a != b)
    place = next(k for k, (a, b) in enumerate(zip(result, text, strict=True)) if a != b)
    begins = f"After the prompt {prompt.tolist()} it should write {text}, but it wrote {result}"
    return wrong(f"{begins}: the first {place} are right." if place else f"{begins}: the first is wrong already.")


def _reread(model: nn.Module, prompt: Tensor, count: int) -> list[int]:
    text, state = prompt[:, None], None
    for _ in range(count):
        scores, state = model(text, state)
        text = torch.cat([text, scores[-1:, 0].argmax(-1, keepdim=True)])
    return [int(k) for k in text[len(prompt) :, 0]]


def _feeding(model: nn.Module, prompt: Tensor, count: int) -> Iterator[int]:
    state = None
    for _ in range(count):
        scores, state = model(prompt[:, None], state)
        yield int(scores[-1, 0].argmax())
