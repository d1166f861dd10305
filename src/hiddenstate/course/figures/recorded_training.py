"""A recorded training run: a small network that learns to choose *are* or *is*, and its drawing at each moment."""

from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hiddenstate.base.scoped import lasting
from hiddenstate.course.figures.drawing import svg, text
from hiddenstate.course.files import keys_sentences
from hiddenstate.nn.lstm import LSTM

DISTANCES = {1: 2, 4: 5, 11: 12}  # from the noun to its verb: the verb's place
BEGIN, UPDATES, EVERY = "the keys that she left", 480, 24
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 24, 330, 120  # of the curve, in pixels
_BARS = 450


class Moment(NamedTuple):
    """The measurements after some number of updates."""

    updates: int
    loss: float  # of the next word, in nats
    right: tuple[float, ...]  # the fraction of verbs that are right, at each distance
    sample: str


class _Writer(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.embed, self.lstm, self.linear = nn.Embedding(words, 8), LSTM(8, 16), nn.Linear(16, words)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.lstm(self.embed(ids))[0])
        return scores


@cache
def run() -> tuple[Moment, ...]:
    """Train the network, and return its moments."""
    sentences = keys_sentences()
    words = sorted({word for sentence in sentences for word in sentence})
    ids = torch.tensor([[words.index(word) for word in sentence] for sentence in sentences]).T
    moments = []
    # With a network this small, more threads only wait for each other.
    alone = lasting(partial(torch.set_num_threads, 1), partial(torch.set_num_threads, torch.get_num_threads()))
    with alone, torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        order = torch.randperm(len(sentences))
        learn, held = order[: 3 * len(sentences) // 4], order[3 * len(sentences) // 4 :]
        model = _Writer(len(words))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for update in range(UPDATES + 1):
            if update % EVERY == 0:
                moments.append(_moment(update, model, ids, held, words))
            some = learn[torch.randint(len(learn), (32,))]
            loss = nn.functional.cross_entropy(model(ids[:-1, some]).flatten(0, 1), ids[1:, some].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return tuple(moments)


@torch.no_grad()
def _moment(update: int, model: _Writer, ids: Tensor, held: Tensor, words: list[str]) -> Moment:
    scores = model(ids[:-1, held])
    loss = nn.functional.cross_entropy(scores.flatten(0, 1), ids[1:, held].flatten()).item()
    right = []
    for kind, place in enumerate(DISTANCES.values()):
        chosen = held % 3 == kind
        verbs = scores[place - 1, chosen][:, [words.index("are"), words.index("is")]].argmax(-1)
        right.append((verbs == (ids[place, held[chosen]] == words.index("is"))).float().mean().item())
    written = [words.index(word) for word in BEGIN.split()]
    generator = torch.Generator().manual_seed(4)
    while len(written) < len(ids):
        p = (model(torch.tensor(written)[:, None])[-1, 0] / 0.5).softmax(-1)
        written.append(int(torch.multinomial(p, 1, generator=generator)))
    return Moment(update, loss, tuple(right), " ".join(words[k] for k in written))


def draw() -> str:
    """Draw all moments, one of which `js/view-training.js` shows at a time; the first frame shows the last one."""
    moments = run()
    highest = max(moment.loss for moment in moments)
    places = [
        (_LEFT + _WIDTH * moment.updates / UPDATES, _TOP + _HEIGHT * (1 - moment.loss / highest)) for moment in moments
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    foot = _TOP + _HEIGHT
    inside = [
        text(_LEFT, 14, "loss of the next word"),
        text(_BARS, 14, "right verbs, by distance to noun"),
        text(20, _TOP + 10, f"{highest:.1f}"),
        text(30, foot + 4, "0"),
        text(_LEFT, foot + 18, "0 updates"),
        text(_LEFT + _WIDTH - 80, foot + 18, f"{UPDATES} updates"),
        f'<path d="M{_LEFT},{_TOP} V{foot} H{_LEFT + _WIDTH}" class="course-axis" fill="none"/>',
        f'<polyline points="{line}" class="course-line course-line-g"/>',
        *(text(_BARS, 40 + 36 * k, f"{n} word{'s' * (n > 1)}") for k, n in enumerate(DISTANCES)),
    ]
    for number, (moment, (x, y)) in enumerate(zip(moments, places, strict=True)):
        parts = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="course-dot"/>']
        for k, share in enumerate(moment.right):
            parts += [
                f'<rect x="{_BARS + 80}" y="{27 + 36 * k}" width="{120 * share:.1f}" height="18" class="course-bar"/>',
                text(_BARS + 206, 41 + 36 * k, f"{share:.2f}"),
            ]
        parts.append(text(4, foot + 46, f"It writes: {moment.sample}"))
        values = " ".join(f"{value:.6f}" for value in (moment.loss, *moment.right))
        about = f'data-frame="{number}" data-values="{values}" data-updates="{moment.updates}"'
        shut = "" if moment is moments[-1] else ' visibility="hidden"'
        inside.append(f"<g {about}{shut}>{''.join(parts)}</g>")
    return svg(
        720, foot + 58, "The loss, the right verbs and a sample at one moment of a recorded training run", inside
    )
