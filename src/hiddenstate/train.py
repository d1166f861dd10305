"""Training: one plain loop, the best model kept as a folder.

The same seed, data, machine and number of threads give the same model.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models import folder
from hiddenstate.models.accuracy import Accuracy, evaluate, words_of
from hiddenstate.models.card import Origin, Outcome, write_card
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.tagger import Tagger, tags_of
from hiddenstate.text.batches import IGNORED_TAG, Batch, plan_batches
from hiddenstate.text.conllu import Sentence, read_conllu

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Step:
    """How far an epoch is after one more batch.

    Attributes:
        epoch: from 1.
        words: words of this epoch trained on so far.
        words_total: words in an epoch.
        loss: mean cross entropy of this epoch's words so far, in nats.
        words_per_second: of this epoch so far.
    """

    epoch: int
    words: int
    words_total: int
    loss: float
    words_per_second: float


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data; ``last`` is its last step, ``dev`` the accuracy after it."""

    last: Step
    dev: Accuracy


@dataclass(frozen=True)
class Training:
    """What a training run came to.

    Attributes:
        history: every epoch, in order.
        best: the epoch whose model was kept.
        dev: accuracy of the kept model, read back from its folder, on the dev data.
        test: the same on the test data, None without any.
    """

    history: tuple[Epoch, ...]
    best: Epoch
    dev: Accuracy
    test: Accuracy | None


OnProgress = Callable[[Step | Epoch], None]


@dataclass(frozen=True)
class _Data:
    train: list[Sentence]
    dev: list[Sentence]
    test: list[Sentence] | None
    known: frozenset[str]


def train_tagger(
    train: StrPath,
    dev: StrPath,
    out: StrPath,
    config: TaggerConfig | None = None,
    *,
    test: StrPath | None = None,
    command: str = "",
    about_data: str = "",
    licence: str = "",
    on_progress: OnProgress = lambda progress: None,
) -> Training:
    """Train a tagger on CoNLL-U files and keep the model of the epoch that is best on the dev data.

    The folder always holds the best model so far, so an interruption (KeyboardInterrupt goes through) costs only
    what came after it. Training ends early when the dev accuracy has not risen for ``config.patience`` epochs.
    The state of torch's global random generator is the same afterwards as before.

    Args:
        train: CoNLL-U to learn from.
        dev: CoNLL-U that chooses the epoch.
        out: the model's folder; an earlier model there is replaced when the first epoch is done.
        config: sizes, rates and seed; the defaults without one.
        test: CoNLL-U to measure the finished model on.
        command: for the card, the command line.
        about_data: for the card, what the data is.
        licence: for the card, the terms of the weights.
        on_progress: called after every batch with a `Step` and after every epoch with an `Epoch`.

    Raises:
        FileFormatError: a file is not CoNLL-U, or has no tags.
        ArgumentError: ``out`` holds something else than a model, or the loss stopped being a number.
        OSError: a file cannot be read or written.
    """
    config = config or TaggerConfig()
    folder.check_target(out)
    test_name = None if test is None else Path(test).name
    origin = Origin(Path(train).name, Path(dev).name, test_name, command, about_data, licence)
    data = _read(train, dev, test, config.column)

    def keep(tagger: Tagger, outcome: Outcome) -> None:
        folder.save(tagger, out, write_card(Path(out).resolve().name, tagger, origin, outcome))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        history, best = _keep_best(Tagger.build(config, data.train), data, keep, on_progress)
    # What is on disk was rounded, so it is measured again.
    stored = folder.load(out)
    accuracy = evaluate(stored, data.dev, data.known)
    test_accuracy = None if data.test is None else evaluate(stored, data.test, data.known)
    keep(stored, Outcome(best.last.epoch, len(history), True, accuracy, test_accuracy))
    return Training(tuple(history), best, accuracy, test_accuracy)


def _keep_best(
    tagger: Tagger, data: _Data, keep: Callable[[Tagger, Outcome], None], on_progress: OnProgress
) -> tuple[list[Epoch], Epoch]:
    """Train epoch by epoch, keep each that is better than all before; returns all of them and the best."""
    history: list[Epoch] = []
    for steps in _epochs(tagger, data.train):
        for step in steps:
            on_progress(step)
        epoch = Epoch(step, evaluate(tagger, data.dev, data.known))
        history.append(epoch)
        best = max(history, key=lambda each: each.dev.correct)
        if best is epoch:
            keep(tagger, Outcome(step.epoch, len(history), False, epoch.dev))
        on_progress(epoch)
        if step.epoch - best.last.epoch >= tagger.config.patience:
            break
    return history, best


def _epochs(tagger: Tagger, sentences: Sequence[Sentence]) -> Iterator[Iterator[Step]]:
    """Yield the steps of each epoch; the work is done as they are taken."""
    config = tagger.config
    generator = torch.Generator().manual_seed(config.seed)
    lengths = [len(sentence) for sentence in sentences]
    total = config.epochs * len(plan_batches(lengths, config.batch_words))
    optimizer = AdamW(tagger.parameters(), config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    schedule = LambdaLR(optimizer, lambda step: _share_of_rate(step, config.warmup_steps, total))
    for number in range(1, config.epochs + 1):
        plan = plan_batches(lengths, config.batch_words, generator)
        batches = ([sentences[position] for position in positions] for positions in plan)
        yield _steps(number, sum(lengths), tagger, batches, optimizer, schedule)


def _share_of_rate(step: int, warmup: int, total: int) -> float:
    """Linear from 0 to 1 over the warm-up, then half a cosine down to 0 at the end."""
    return min(1.0, (step + 1) / (warmup + 1)) * (1 + math.cos(math.pi * step / total)) / 2


def _steps(
    number: int,
    words_total: int,
    tagger: Tagger,
    batches: Iterator[list[Sentence]],
    optimizer: AdamW,
    schedule: LambdaLR,
) -> Iterator[Step]:
    """One epoch: learn from each batch in turn."""
    tagger.train()
    start, words, loss_sum = time.perf_counter(), 0, 0.0
    for sentences in batches:
        batch = tagger.encoder.batch(
            [s.forms for s in sentences], [tags_of(s, tagger.config.column) for s in sentences]
        )
        count = sum(len(sentence) for sentence in sentences)
        loss = _learn(tagger, batch, optimizer)
        if not math.isfinite(loss):
            raise ArgumentError(f"training diverged: loss {loss} in epoch {number}; lower the learning rate")
        schedule.step()
        words, loss_sum = words + count, loss_sum + count * loss
        yield Step(number, words, words_total, loss_sum / words, words / (time.perf_counter() - start))


def _learn(tagger: Tagger, batch: Batch, optimizer: AdamW) -> float:
    """One step down the gradient; the loss before it, in nats a word."""
    assert batch.tags is not None
    loss = cross_entropy(
        tagger(batch).flatten(0, 1),
        batch.tags.flatten(),
        ignore_index=IGNORED_TAG,
        label_smoothing=tagger.config.label_smoothing,
    )
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(tagger.parameters(), tagger.config.clip_norm)
    optimizer.step()
    return loss.item()


def _read(train: StrPath, dev: StrPath, test: StrPath | None, column: str) -> _Data:
    sentences = _tagged(train, column)
    test_sentences = None if test is None else _tagged(test, column)
    return _Data(sentences, _tagged(dev, column), test_sentences, words_of(sentences))


def _tagged(path: StrPath, column: str) -> list[Sentence]:
    """Read the file's sentences that have a tag at all (a batch without any has no loss)."""
    sentences = [s for s in read_conllu(path) if any(tag is not None for tag in tags_of(s, column))]
    if not sentences:
        raise FileFormatError(f"{path}: no word has a tag in column {column.upper()}; give a tagged CoNLL-U file")
    return sentences
