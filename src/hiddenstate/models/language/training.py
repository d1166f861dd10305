"""Trains a language model on plain text, whose rows carry the state from batch to batch, but no gradient."""

import hashlib
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.errors import ArgumentError
from hiddenstate.models.language.config import LanguageConfig, defaults_for
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.scoring import Tally, measure
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
from hiddenstate.text.batches import Rows, Span, spans
from hiddenstate.text.tokens import LEVELS, UNKNOWN_TOKEN, Ids, learn
from hiddenstate.training.checkpoint import RunFolder
from hiddenstate.training.settings import RunFile, StrPath, read_run_file
from hiddenstate.training.task import Loss, OnProgress, Result, Score

KIND = "lm"
# The files and settings allowed in a language model's run file, by level.
RUN_FILES = {
    level: RunFile(
        KIND,
        defaults_for(level),
        files={"train": "", "dev": "", "test": "", "out": ""},
        about={"command": "", "about_data": "", "licence": ""},
    )
    for level in LEVELS
}


class LanguageTraining(Result[Tally]):
    """The result of training a language model: ``dev`` and ``test`` are the surprise of these texts."""


def train_language_model(
    train: StrPath,
    dev: StrPath,
    out: StrPath,
    config: LanguageConfig | None = None,
    *,
    test: StrPath | None = None,
    run: StrPath | None = None,
    command: str = "",
    about_data: str = "",
    licence: str = "",
    on_progress: OnProgress = lambda progress: None,
) -> LanguageTraining:
    """Train a language model on plain text and keep the model of the epoch that predicts the dev text best.

    The folder always holds the best model so far, and the run's folder a checkpoint to resume from, so an interruption
    loses nothing (KeyboardInterrupt is passed on): see `resume_language_model`. The state of torch's global random
    generator is the same afterwards as before.

    Args:
        train: text to learn from.
        dev: text for choosing the epoch.
        out: the model's folder; an earlier model there is replaced when the first epoch is done.
        config: sizes, rates and seed; None for the defaults for characters, see `defaults_for`.
        test: text to measure the finished model on.
        run: folder for checkpoints and metrics; by default the model's, with ``.run`` appended.
        command: for the card, the command line.
        about_data: for the card, a description of the data.
        licence: for the card, the licence of the weights.
        on_progress: called after every batch with a `Step` and after every epoch with an `Epoch`.

    Raises:
        FileFormatError: a file is empty, or not UTF-8.
        ArgumentError: a text is shorter than a batch, ``out`` holds something other than a model, ``run`` holds an
            unfinished run, or the loss became NaN or infinite.
        RunInUseError: another process trains in the run's folder.
        FileWriteError: a file cannot be written.
        OSError: a file cannot be read.
    """
    files = {"train": train, "dev": dev, "test": test, "out": out}
    about = {"command": command, "about_data": about_data, "licence": licence}
    wanted = RunFile.of(KIND, config or LanguageConfig(), files, about)
    return run_task(LanguageTask, wanted, run, on_progress=on_progress)


def resume_language_model(run: StrPath, *, on_progress: OnProgress = lambda progress: None) -> LanguageTraining:
    """Resume an interrupted run from its last checkpoint; the final model is exactly the same.

    Args:
        run: the run's folder.
        on_progress: as for `train_language_model`.

    Raises:
        FileFormatError: there is no such run, or its checkpoint is damaged.
        ArgumentError: the data has changed in the meantime.
        RunInUseError: another process trains in the run's folder.
        FileWriteError: a file cannot be written.
        OSError: a file cannot be read.
    """
    wanted = read_run_file(RunFolder(run).check(), RUN_FILES["char"])  # the run file names every setting
    return run_task(LanguageTask, wanted, run, resume=True, on_progress=on_progress)


_LIMITS = """\
- It imitates its training text and knows nothing else: what it writes is not fact, and may be offensive if the training
  text is.
- Perplexities of word-level models can be compared only if their vocabularies are the same: the more words are `<unk>`,
  the easier a text is to predict.
- It predicts text in another language, or from another field, badly."""


def write_language_card(name: str, model: LanguageModel, origin: Origin, outcome: Outcome[Tally]) -> str:
    """Write the card in Markdown; ``name`` is its heading."""
    config = model.config
    what = "character" if config.level == "char" else "word"
    end = "" if config.level == "char" else ", and `<eos>` for the end of a line"
    reads = f"each {what} from those {'after' if config.backward else 'before'} it"
    sections = {
        "What it is": f"A language model: it predicts {reads}. Its vocabulary has {len(model.tokens):,} {what}s; "
        f"among them, `<unk>` stands for all others{end}. Made with hiddenstate; load it with "
        "`hiddenstate.load`.",
        "Architecture": _architecture(model),
        "Data": data_section(origin),
        "Training": training_section(config, origin, outcome),
        "How well it predicts": _results(config, outcome),
        "Licence": origin.licence or "Not stated.",
        "Limits": _LIMITS,
    }
    return page(name, sections)


def _architecture(model: LanguageModel) -> str:
    config, cell = model.config, model.lstm.sizes.kind.label
    count = sum(parameter.numel() for parameter in model.parameters())
    clusters = f"an adaptive softmax with clusters from ids {', '.join(map(str, config.cutoffs))}"
    tied = " that shares its weights with the embeddings" if config.tied else ""
    return f"""\
- embeddings of size {config.embedding_size}
- {cell}, {config.num_layers} layer{"s" if config.num_layers > 1 else ""} of {config.hidden_size} units
- {clusters if config.cutoffs else "a linear layer and softmax"}{tied}

{count:,} parameters, stored as {config.weights_dtype}, computed in float32."""


def _results(config: LanguageConfig, outcome: Outcome[Tally]) -> str:
    rows = [f"| {name} | {_cells(config, t)} |" for name, t in (("dev", outcome.dev), ("test", outcome.test)) if t]
    how = f"as stored in {config.weights_dtype}" if outcome.finished else "before they are rounded to their stored type"
    head = (
        "characters | unknown | nats per character | bits per character"
        if config.level == "char"
        else "words | unknown | perplexity | perplexity of the known words"
    )
    text = (
        f"Measured on all tokens of each text, cut into {config.dev_rows} pieces that are read in parallel, with the "
        f"weights {how}."
    )
    return table(text, f"| data | {head} |", rows)


def _cells(config: LanguageConfig, tally: Tally) -> str:
    counts = f"{tally.tokens:,} | {100 * tally.unknown_share:.2f} %"
    if config.level == "char":
        return f"{counts} | {tally.mean:.4f} | {tally.bits_per_character:.4f}"
    return f"{counts} | {tally.perplexity:.2f} | {tally.known_perplexity:.2f}"


class LanguageTask(ModelTask[LanguageConfig, LanguageModel, Tally, LanguageTraining]):
    """A language model with its training and dev data: a `hiddenstate.training.task.Task`."""

    higher_is_better = False

    def __init__(self, wanted: RunFile[LanguageConfig]) -> None:
        super().__init__(wanted, write_language_card, LanguageTraining)
        self.unit = "characters" if self.config.level == "char" else "words"
        tokens, ids = learn(wanted.files["train"], self.config.level, self.config.minimum, self.config.vocabulary_size)
        if len(tokens) == 1:
            raise ArgumentError(
                f"{wanted.files['train']}: all {self.unit} would be {UNKNOWN_TOKEN}; lower minimum, or raise "
                "vocabulary_size (0: any number)"
            )
        parts = {part: wanted.files[part] for part in ("dev", "test") if wanted.files[part]}
        self.ids = {part: self._turned(tokens.read(path)) for part, path in parts.items()}
        texts = ids, *self.ids.values()
        self.fingerprint = hashlib.sha256(b"".join(text.tobytes() for text in texts)).hexdigest()
        try:
            self.rows = Rows(self._turned(ids), self.config.rows, tokens.start)
        except ArgumentError as error:
            raise ArgumentError(f"{wanted.files['train']}: {error}") from error
        self.model = LanguageModel.build(self.config, tokens)
        self.hx: AnyState | None = None

    def _turned(self, ids: Ids) -> Ids:
        """Return a text in the order in which the model reads it."""
        return ids[::-1].copy() if self.config.backward else ids

    def plan(self, epoch: int) -> list[Span]:
        """Cut the time steps into spans."""
        generator = torch.Generator().manual_seed(self.config.seed + epoch - 1) if self.config.random_steps else None
        return spans(self.rows.length, self.config.steps, generator)

    def size(self, epoch: int) -> int:
        """Count the tokens."""
        return self.rows.length * self.config.rows

    def loss(self, item: Span) -> Loss:
        """Compute the surprise in nats per token, starting from the state of the previous batch."""
        device = next(self.model.parameters()).device
        inputs, targets = (ids.to(device) for ids in self.rows.read(item))
        loss, state = self.model.loss(inputs, targets, self.hx)
        self.hx = map_state(Tensor.detach, state)
        return Loss(loss.mean, targets.numel(), loss.surprise.detach())

    def state(self) -> Mapping[str, Tensor]:
        """Return the state."""
        kind = self.model.lstm.sizes.kind
        return {} if self.hx is None else dict(zip(kind.carried, kind.parts_of(self.hx), strict=True))

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state, which is empty at the beginning of the text."""
        device = next(self.model.parameters()).device
        kind = self.model.lstm.sizes.kind
        self.hx = kind.as_given([state[name].to(device) for name in kind.carried]) if state else None

    def evaluate(self) -> Score:
        """Measure the surprise of the dev text."""
        self.dev = measure(self.model, self.ids["dev"], self.config.dev_rows)
        details = {"nats": self.dev.mean, "perplexity": self.dev.perplexity, "unknown_share": self.dev.unknown_share}
        return Score(self.dev.mean, describe_tally(self.dev, self.config.level), details)

    def measure(self, model: LanguageModel, part: str) -> Tally | None:
        """Measure the surprise of a text."""
        return measure(model, self.ids[part], self.config.dev_rows) if part in self.ids else None


# Executes a run file: the run's folder, if it is not the default one, and whether to resume, may be given.
run_language_model = partial(run_task, LanguageTask)


def describe_tally(tally: Tally, level: str) -> str:
    """Describe how well a text was predicted, in the usual measure for characters or words."""
    if level == "char":
        text = f"{tally.mean:.4f} nats, {tally.bits_per_character:.4f} bits a character"
        return f"{text}, {100 * tally.unknown_share:.2f} % unknown" if tally.unknown else text
    return f"perplexity {tally.perplexity:.2f}, {100 * tally.unknown_share:.1f} % unknown"
