"""Trains a tagger on CoNLL-U files; the same seed, data, machine and number of threads give the same model."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import FILES, find_complete_folder, find_folder, load_language_model
from hiddenstate.models.tagger.accuracy import Report, Reports, distinct_words, evaluate, fitted_temperatures
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.syllabus import Lesson, Syllabus, Variant, make_variants, select_like, started, taught_by
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.training_run import (
    ModelTask,
    Origin,
    Outcome,
    data_section,
    page,
    run_task,
    table,
    training_section,
)
from hiddenstate.text.conllu import Sentence, read_conllu
from hiddenstate.text.passages import read_untagged
from hiddenstate.training.checkpoint import RunFolder
from hiddenstate.training.settings import RunFile, StrPath, read_run_file
from hiddenstate.training.task import Epoch, Loss, OnProgress, Result, Score, Step

__all__ = ["Epoch", "Score", "Step", "Training", "resume_tagger", "train_tagger"]

# Folders of the language models that provide contextual vectors.
CONTEXT = ("forward_model", "backward_model")
MODEL_FILES = (*CONTEXT, "start")
MODELS = (*MODEL_FILES, "teacher")  # files of a run that are model folders
# The files and settings allowed in a tagger's run file.
TAGGER_RUN = RunFile(
    Tagger.kind,
    TaggerConfig(),
    files=dict.fromkeys(("train", "dev", "test", "out", *MODEL_FILES), ""),
    about={"command": "", "about_data": "", "licence": ""},
    lists={"teacher": (), "untagged": ()},
)


class Training(Result[Reports]):
    """The result of training a tagger: ``dev`` and ``test`` are by column, with calibrated confidence."""


def train_tagger(
    train: StrPath,
    dev: StrPath,
    out: StrPath,
    config: TaggerConfig | None = None,
    *,
    test: StrPath | None = None,
    context: tuple[StrPath, StrPath] | None = None,
    teachers: Sequence[StrPath] = (),
    untagged: Sequence[StrPath] = (),
    start: StrPath | None = None,
    run: StrPath | None = None,
    command: str = "",
    about_data: str = "",
    licence: str = "",
    on_progress: OnProgress = lambda progress: None,
) -> Training:
    """Train a tagger on CoNLL-U files and keep the model of the epoch that is best on the dev data.

    The folder always holds the best model so far, and the run's folder a checkpoint to resume from, so an interruption
    loses nothing (KeyboardInterrupt is passed on): see `resume_tagger`. Training ends early if the dev accuracy has not
    risen for ``config.patience`` epochs. The state of torch's global random generator is the same afterwards as before.

    Args:
        train: CoNLL-U to learn from.
        dev: CoNLL-U for choosing the epoch.
        out: the model's folder; an earlier model there is replaced when the first epoch is done.
        config: sizes, rates and seed; None for the defaults.
        test: CoNLL-U to measure the finished model on.
        context: folders of a forward and a backward character model, whose states are a further input (see
            `ContextualVectors`); they become part of the tagger.
        teachers: folders of trained taggers, whose mean probabilities are learnt in addition to the tags, see
            ``config.teacher_share``.
        untagged: more text, CoNLL-U or plain (see `read_untagged`), which the teachers tag.
        start: folder of a trained tagger from which training starts, see
            `hiddenstate.models.tagger.syllabus.started`.
        run: folder for checkpoints and metrics; by default the model's, with ``.run`` appended.
        command: for the card, the command line.
        about_data: for the card, a description of the data.
        licence: for the card, the licence of the weights.
        on_progress: called after every batch with a `Step` and after every epoch with an `Epoch`.

    Raises:
        FileFormatError: a file is not CoNLL-U, or has no tags.
        ArgumentError: ``out`` holds something other than a model, ``run`` holds an unfinished run, a teacher or
            ``start`` has different tags, ``start`` has different sizes, there is untagged text but no teacher, or the
            loss became NaN or infinite.
        RunInUseError: another process trains in the run's folder.
        FileWriteError: a file cannot be written.
        OSError: a file cannot be read.
    """
    models = dict(zip(MODEL_FILES, (*(context or ("", "")), start), strict=True))
    files = {"train": train, "dev": dev, "test": test, "out": out}
    files |= {name: model and find_folder(model) for name, model in models.items()}
    about = {"command": command, "about_data": about_data, "licence": licence}
    lists = {"teacher": [find_folder(teacher) for teacher in teachers], "untagged": untagged}
    wanted = RunFile.of(Tagger.kind, config or TaggerConfig(), files, about, lists)
    return run_task(TaggerTask, wanted, run, on_progress=on_progress)


def resume_tagger(run: StrPath, *, on_progress: OnProgress = lambda progress: None) -> Training:
    """Resume an interrupted run from its last checkpoint; the final model is exactly the same.

    Args:
        run: the run's folder.
        on_progress: as for `train_tagger`.

    Raises:
        HiddenStateError, OSError: as for `resume_language_model`.
    """
    wanted = read_run_file(RunFolder(run).check(), TAGGER_RUN)
    return run_task(TaggerTask, wanted, run, resume=True, on_progress=on_progress)


_COLUMNS = {
    "upos": "universal part-of-speech tags (UPOS)",
    "xpos": "language-specific part-of-speech tags (XPOS)",
    "feats": "morphological features (FEATS)",
}
_LISTED = 60  # maximum tags listed

_LIMITS = """\
- It was trained and measured on text tokenised as in its data; with another tokenisation or other conventions, expect
  more errors.
- Expect more errors on other kinds of text than it was trained on, and nothing useful in another language.
- The probabilities were calibrated on the dev data; on other kinds of text they are likely to be too high.
- The word vectors contain the associations of the training texts, including unwanted ones."""


def write_card(name: str, tagger: Tagger, origin: Origin, outcome: Outcome[Reports]) -> str:
    """Write the card in Markdown; ``name`` is its heading."""
    config = tagger.config
    sections = {
        "What it is": _what(tagger),
        "Architecture": _architecture(tagger, origin),
        "Data": data_section(origin),
        "Training": training_section(config, origin, outcome),
        "Accuracy": _accuracy(config, outcome),
        "Confidence": _confidence(tagger, outcome),
        "Licence": origin.licence or "Not stated.",
        "Limits": _LIMITS,
    }
    return page(name, sections)


def _what(tagger: Tagger) -> str:
    kinds = [_COLUMNS.get(column, f"column {column.upper()} of CoNLL-U") for column in tagger.columns]
    listed = [
        f"{len(names)} of {column.upper()} ({' '.join(names) if len(names) <= _LISTED else 'see `vocabulary.json`'})"
        for column, names in tagger.columns.items()
    ]
    return (
        f"A tagger for {' and '.join(kinds)}: it gives each word of a sentence a probability for each tag. Tags: "
        f"{'; '.join(listed)}. Made with hiddenstate; load it with `hiddenstate.load`."
    )


def _which_words(config: TaggerConfig, origin: Origin) -> str:
    if origin.start:
        return f" (the vocabulary of `{origin.start}`)"
    more = f" ({config.untagged_minimum} with the untagged text)" if origin.untagged else ""
    return f" seen at least {config.word_minimum} times{more}"


def _architecture(tagger: Tagger, origin: Origin) -> str:
    config, encoder, cell = tagger.config, tagger.encoder, tagger.lstm.sizes.kind.label
    count = sum(parameter.numel() for parameter in tagger.parameters())
    return f"""\
- word embeddings of size {config.word_size}: one for each of {len(encoder.words.tokens):,} \
{"lower-cased " if config.lower_case else ""}words{_which_words(config, origin)}, and one for all other words
{_spelling(tagger)}{_context_models(tagger)}\
- sentence: {"bidirectional " if config.bidirectional else ""}{cell}, {config.num_layers} layers of \
{config.hidden_size} units{" per direction" if config.bidirectional else ""}
- a linear layer and {"a linear chain" if config.crf else "softmax"} over the tags

{count:,} parameters, stored as {config.weights_dtype}, computed in float32."""


def _spelling(tagger: Tagger) -> str:
    config, cell = tagger.config, tagger.lstm.sizes.kind.label
    if not config.char_hidden_size:
        return ""
    return (
        f"- spelling: the final states of a bidirectional {cell} of {config.char_hidden_size} units per direction, "
        f"over embeddings of size {config.char_size} of {len(tagger.encoder.chars.tokens):,} characters\n"
    )


def _context_models(tagger: Tagger) -> str:
    if tagger.context is None:
        return ""
    units = [model.config.hidden_size for model in (tagger.context.forward_model, tagger.context.backward_model)]
    return f"- context: states of two character language models, {units[0]} units forward and {units[1]} backward\n"


def _accuracy(config: TaggerConfig, outcome: Outcome[Reports]) -> str:
    rows = []
    for name, column, report in _measured(outcome):
        accuracy = report.accuracy
        unknown = f"{100 * accuracy.unknown_share:.2f} %" if accuracy.unknown_words else ""
        counts = f"{accuracy.words:,} | {100 * accuracy.share:.2f} % | {accuracy.unknown_words:,} | {unknown}"
        rows.append(f"| {name} | {column.upper()} | {counts} |")
    how = f"as stored in {config.weights_dtype}" if outcome.finished else "before they are rounded to their stored type"
    text = (
        f"Share of words tagged correctly, measured with the weights {how}. Unknown words are those that do not occur "
        "in the tagged training data."
    )
    return table(text, "| data | column | words | correct | unknown words | correct |", rows)


def _confidence(tagger: Tagger, outcome: Outcome[Reports]) -> str:
    """Describe how well the probability of a chosen tag predicts how often it is right."""
    rows = [
        f"| {name} | {column.upper()} | {tagger.temperatures[column]:.3f} | {100 * report.uncalibrated.error:.2f} % "
        f"| {100 * report.calibration.error:.2f} % |"
        for name, column, report in _measured(outcome)
    ]
    text = (
        "Expected calibration error: words are grouped by the probability of the chosen tag; the error is the "
        "difference between that probability and the share of words tagged correctly, averaged over words. The "
        "temperature rescales the probabilities; it is fitted on the dev data at the end of training, and is 1 until "
        "then."
    )
    return table(text, "| data | column | temperature | error without it | error with it |", rows)


def _measured(outcome: Outcome[Reports]) -> list[tuple[str, str, Report]]:
    parts = [(name, reports) for name, reports in (("dev", outcome.dev), ("test", outcome.test)) if reports]
    return [(name, column, report) for name, reports in parts for column, report in reports.items()]


class TaggerTask(ModelTask[TaggerConfig, Tagger, Reports, Training]):
    """A tagger with its training and dev data: a `hiddenstate.training.task.Task`."""

    unit = "words"
    higher_is_better = True

    def __init__(self, wanted: RunFile[TaggerConfig]) -> None:
        super().__init__(wanted, write_card, Training)
        files, columns = wanted.files, self.config.columns
        teachers, untagged = (wanted.lists.get(name, ()) for name in ("teacher", "untagged"))
        _check_teaching(self.config, teachers, untagged)
        self.parts = {part: _tagged(files[part], columns) for part in ("train", "dev", "test") if files[part]}
        tagged = self.parts["train"]
        self.known = distinct_words(tagged)
        models = [files[name] for name in MODEL_FILES if files[name]]
        self.fingerprint = _hash([files["train"], files["dev"], *untagged], [*models, *teachers], files["test"])
        more = [words for path in untagged for words in read_untagged(path)]
        context = _context(files)
        if files["start"]:
            self.model = started(files["start"], self.config, tagged)
        else:
            self.model = Tagger.build(self.config, tagged, context, more)
        forms = [*(sentence.forms for sentence in tagged), *more]
        none = [(None,) * len(words) for words in more]
        tags = {column: [*(sentence.tags(column) for sentence in tagged), *none] for column in columns}
        variants = make_variants(forms, self.config.seed) if self.config.varied else []
        varied = {column: [*rows, *select_like(variants, rows)] for column, rows in tags.items()}
        self.encoded = self.taught = self.model.encode([*forms, *(variant.words for variant in variants)], varied)
        if teachers:
            taught = taught_by(teachers, forms, self.model.columns, self.config.precision)
            self.taught = replace(self.encoded, taught=_with_variants(taught, forms, variants))
        lengths, count = [len(words) for words in forms], len(tagged)
        others = [len(variant.words) for variant in variants]
        self.syllabus = Syllabus(self.config, lengths[:count], lengths[count:], bool(teachers), others)

    def plan(self, epoch: int) -> list[Lesson]:
        """Group the positions of sentences of similar length into batches."""
        return self.syllabus.lessons(epoch)

    def size(self, epoch: int) -> int:
        """Count the words."""
        return self.syllabus.size(epoch)

    def loss(self, item: Lesson) -> Loss:
        """Compute the mean surprise of the tags per word, in nats."""
        encoded = self.taught if item.taught else self.encoded
        batch = encoded.batch(item.positions).to(self.model.head.weight.device)
        return Loss(self.model.loss(batch), int(batch.lengths.sum()))

    def evaluate(self) -> Score:
        """Measure the mean accuracy over the columns on the dev data."""
        self.dev = evaluate(self.model, self.parts["dev"], self.known)
        details: dict[str, float] = {}
        for column, report in self.dev.items():
            details |= {column: report.accuracy.share, f"{column}_unknown": report.accuracy.unknown_share}
        shares = [report.accuracy.share for report in self.dev.values()]
        return Score(sum(shares) / len(shares), _describe(self.dev), details)

    def calibrate(self, model: Tagger) -> None:
        """Fit the temperatures."""
        model.calibrate(fitted_temperatures(model, self.parts["dev"]))

    def measure(self, model: Tagger, part: str) -> Reports | None:
        """Measure the accuracy on a file."""
        return evaluate(model, self.parts[part], self.known) if part in self.parts else None


# Executes a run file: the run's folder, if it is not the default one, and whether to resume, may be given.
run_tagger = partial(run_task, TaggerTask)


def _describe(reports: Reports) -> str:
    """Write accuracies in one line: for several columns, only their shares."""
    if len(reports) == 1:
        return str(*reports.values())
    return ", ".join(f"{column.upper()} {100 * report.accuracy.share:.2f} %" for column, report in reports.items())


def _check_teaching(config: TaggerConfig, teachers: Sequence[str], untagged: Sequence[str]) -> None:
    """Reject settings that rule out learning from teachers."""
    if untagged and not teachers:
        raise ArgumentError("untagged text needs a teacher to tag it: give the folder of at least one trained tagger")
    if teachers and config.crf:
        raise ArgumentError("a CRF can't learn from teachers, which give probabilities for single words; set crf=false")
    if teachers and config.tagged_epochs >= config.epochs:
        raise ArgumentError(
            "tagged_epochs must be below epochs, or the teachers are never used; got "
            f"{config.tagged_epochs} of {config.epochs}"
        )


def _with_variants(
    taught: Mapping[str, Tensor], forms: Sequence[Sequence[str]], variants: Sequence[Variant]
) -> dict[str, Tensor]:
    """Give the words of variants the probabilities of the words that they replace."""
    lengths = torch.tensor([len(words) for words in forms])
    starts = (lengths.cumsum(0) - lengths).tolist()
    rows = select_like(variants, [range(k, k + len(words)) for k, words in zip(starts, forms, strict=True)])
    places = torch.tensor([place for row in rows for place in row], dtype=torch.int64)
    return {column: torch.cat([shares, shares[places]]) for column, shares in taught.items()}


def _context(files: Mapping[str, str]) -> ContextualVectors | None:
    """Read the two language models for contextual vectors, if any."""
    folders = [files[name] for name in CONTEXT if files[name]]
    if folders and files["start"]:
        raise ArgumentError(
            "the tagger to start from determines the language models: give either language models or a start, not both"
        )
    if not folders:
        return None
    if len(folders) < len(CONTEXT):
        raise ArgumentError(f"contextual vectors need two language models, {' and '.join(CONTEXT)}, got one")
    return ContextualVectors(*(load_language_model(path) for path in folders))


def _tagged(path: StrPath, columns: Sequence[str]) -> list[Sentence]:
    """Read the file's sentences that have at least one tag (a batch without tags has no loss)."""
    sentences, tagged = read_conllu(path), set[int]()
    for column in columns:
        rows = [sentence.tags(column) for sentence in sentences]
        # In FEATS, _ is a tag; but if it is the only one, the column is not tagged.
        if {tag for tags in rows for tag in tags} <= {None, "_"}:
            raise FileFormatError(f"{path}: no word has a tag in column {column.upper()}; give a tagged CoNLL-U file")
        tagged |= {k for k, tags in enumerate(rows) if any(tag is not None for tag in tags)}
    return [sentence for k, sentence in enumerate(sentences) if k in tagged]


def _hash(files: Iterable[str], models: Iterable[str], test: str) -> str:
    """Return the hash of all input files and models, which must not have changed when a run is resumed."""
    of_models = [find_complete_folder(model) / name for model in models for name in FILES]
    digest = hashlib.sha256()
    for file in (*map(Path, files), *of_models):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    if test:
        digest.update(b"test" + hashlib.sha256(Path(test).read_bytes()).digest())
    return digest.hexdigest()
