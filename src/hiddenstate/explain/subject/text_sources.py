"""Subjects of taggers and language models, which read text."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate.base.modes import eval_twin
from hiddenstate.engine.call import zero_state
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.explain.subject.head import Head, softmax_head
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.models.language.language_model import LanguageModel, Softmax
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.batches import Batch
from hiddenstate.text.tokenise import sentences, tokenise
from hiddenstate.text.tokens import UNKNOWN_ID
from hiddenstate.text.vocabulary import UNKNOWN

SPELT_TOGETHER = 4096  # words per batch; larger batches are no faster


@torch.no_grad()
def tagger_subject(tagger: Tagger, text: object) -> Subject:
    """Return the subject of a tagger's word-level LSTM: its steps are words, its labels the tags."""
    rows = _rows(text)
    batch = tagger.encode(rows).batch(range(len(rows))).to(tagger.head.weight.device)
    x = eval_twin(tagger).embed(batch)
    return Subject(
        tagger.lstm,
        x,
        tagger.lstm.sizes.kind.as_given(zero_state(x, tagger.lstm.sizes)),
        _tagger_head(tagger),
        tokens=tuple(tuple(words) for words in rows),
        lengths=batch.lengths if len(rows) > 1 else None,
        vectors={"unk": lambda: _unknown_word(tagger), "mean": lambda: _mean_word(tagger)},
        baseline="unk",
        path="lstm",
    )


def _rows(text: object) -> list[list[str]]:
    if isinstance(text, str):
        rows = [words for line in sentences(text) if (words := tokenise(line))]
        if len(rows) != 1:
            raise ArgumentError(
                f"only one sentence can be explained at a time, got {len(rows)} in {text!r:.200}: give one, or "
                "several as lists of words"
            )
        return rows
    if isinstance(text, Sequence) and text:
        if all(isinstance(word, str) for word in text):
            return [list(text)]
        if all(isinstance(words, Sequence) and words for words in text):
            return [list(words) for words in text]
    raise ArgumentTypeError(
        f"a tagger reads a sentence, as text or as a list of words, or a list of such lists; got {text!r:.200}"
    )


def _tagger_head(tagger: Tagger) -> Head:
    columns = tagger.columns
    several = len(columns) > 1
    labels = [f"{column}:{tag}" if several else tag for column, tags in columns.items() for tag in tags]
    weight, bias = tagger.head.weight, tagger.head.bias
    if tagger.config.crf:  # with a CRF, a word's scores depend on the whole sentence
        return Head(weight.detach(), bias.detach(), tuple(labels))
    temperatures = [tagger.temperatures[column] for column in columns]
    return softmax_head(weight, bias, labels, [len(tags) for tags in columns.values()], temperatures)


@torch.no_grad()
def _mean_word(tagger: Tagger) -> Tensor:
    """Return the mean input ``[C]`` over the vocabulary, by frequency, without a context."""
    words = tagger.encoder.words
    counts = torch.tensor(words.counts, dtype=torch.float64)
    total = torch.zeros(tagger.lstm.input_size, dtype=torch.float64)
    for k in range(0, len(words.tokens), SPELT_TOGETHER):
        part = words.tokens[k : k + SPELT_TOGETHER]
        x = _plain(tagger, tagger.encoder.encode([[word] for word in part]).batch(range(len(part))))[0]
        total[: x.shape[1]] += counts[k : k + SPELT_TOGETHER] @ x.double().cpu()
    return (total / counts.sum()).to(tagger.head.weight)


@torch.no_grad()
def _unknown_word(tagger: Tagger) -> Tensor:
    """Return the input ``[C]`` of a word not in the vocabulary, spelt with one unknown character, without context."""
    unknown = torch.tensor([[UNKNOWN]])
    batch = Batch(unknown, torch.tensor([1]), unknown, torch.tensor([1]), torch.zeros_like(unknown))
    x = _plain(tagger, batch)[0, 0]
    return torch.cat([x, x.new_zeros(tagger.lstm.input_size - len(x))])


def _plain(tagger: Tagger, batch: Batch) -> Tensor:
    """Return word and spelling vectors ``[T, N, C]`` of a batch, without dropout and without context vectors."""
    return eval_twin(tagger).embed(batch.to(tagger.head.weight.device))


@torch.no_grad()
def language_model_subject(model: LanguageModel, text: object) -> Subject:
    """Return the subject of a language model, which reads a newline as its first step."""
    if not isinstance(text, str):
        raise ArgumentTypeError(f"a language model reads a text, got {type(text).__name__}")
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning; give one that reads forward")
    tokens = model.tokens
    ids = torch.cat([torch.tensor([tokens.start]), torch.from_numpy(tokens.encode(text)).long()])
    x = eval_twin(model).embed(ids[:, None].to(next(model.parameters()).device))
    return Subject(
        model.lstm,
        x,
        model.lstm.sizes.kind.as_given(zero_state(x, model.lstm.sizes)),
        _language_head(model),
        tokens=(tuple(tokens.tokens[k] for k in ids.tolist()),),
        vectors={"mean": lambda: _mean_token(model), "unk": lambda: _embedded(model, torch.tensor([UNKNOWN_ID]))[0]},
        baseline="mean",
        foretells=True,
        path="lstm",
    )


def _language_head(model: LanguageModel) -> Head:
    """Return the head, multiplied by the projection before it, if any."""
    head, labels = model.head, model.tokens.tokens
    if isinstance(head, Softmax):
        weight, bias = head.weight.detach(), head.bias.detach()
    else:  # in an adaptive softmax, only frequent tokens have a logit of their own
        first = head.shortlist_size
        weight, bias = head.head.weight[:first].detach(), head.head.bias[:first].detach()
    if model.project is not None:
        weight = weight @ model.project.weight.detach()

    def log_probabilities(out: Tensor) -> Tensor:
        flat: Tensor = head.log_probabilities(model.features(out))
        return flat.view(*out.shape[:-1], -1)

    return Head(weight, bias, labels, log_probabilities)


@torch.no_grad()
def _mean_token(model: LanguageModel) -> Tensor:
    """Return the mean vector over all tokens, weighted by frequency in training."""
    counts = torch.tensor(model.tokens.counts, dtype=torch.float64)
    vectors = _embedded(model, torch.arange(len(counts))).double().cpu()
    return ((counts @ vectors) / counts.sum()).to(next(model.parameters()))


@torch.no_grad()
def _embedded(model: LanguageModel, ids: Tensor) -> Tensor:
    ids = ids.to(next(model.parameters()).device)
    return model.head.embed(ids) if model.embedding is None else model.embedding(ids)
