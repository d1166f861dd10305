"""Writes a language model's card in Markdown: its architecture, data, training and quality."""

from hiddenstate.models.card_data import Origin, Outcome, data_section, page, training_section
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.perplexity import Tally

_LIMITS = """\
- It continues text in the manner of what it was trained on, and knows nothing else: what it writes is not true, and
  may be offensive where the training text is.
- Perplexities of word-level models can be compared only where the vocabularies are the same: a text is the easier to
  predict the more of its words are `<unk>`.
- Text in another language, or from another field, is predicted badly."""


def write_language_card(name: str, model: LanguageModel, origin: Origin, outcome: Outcome[Tally]) -> str:
    """Write the card in Markdown; ``name`` is its heading."""
    config = model.config
    what = "character" if config.level == "char" else "word"
    end = "" if config.level == "char" else " (a line's end, `<eos>`, is one)"
    reads = f"each {what} from those {'after' if config.backward else 'before'} it"
    sections = {
        "What it is": f"A language model: it predicts {reads}, among {len(model.tokens):,} {what}s{end}. `<unk>` is "
        "one of them and stands for all others. Made with hiddenstate, which reads it with "
        "`hiddenstate.models.folder.model_folder.load_language_model`.",
        "Architecture": _architecture(model),
        "Data": data_section(origin),
        "Training": training_section(config, origin, outcome),
        "How well it predicts": _results(config, outcome),
        "Licence": origin.licence or "Not stated by whoever trained it.",
        "Limits": _LIMITS,
    }
    return page(name, sections)


def _architecture(model: LanguageModel) -> str:
    config, cell = model.config, model.lstm.sizes.kind.label
    count = sum(parameter.numel() for parameter in model.parameters())
    clusters = f"an adaptive softmax with clusters from ids {', '.join(map(str, config.cutoffs))}"
    return f"""\
- vectors of {config.embedding_size} numbers
- {cell}, {config.num_layers} layer{"s" if config.num_layers > 1 else ""} of {config.hidden_size} units
- {clusters if config.cutoffs else "a linear layer and softmax"}{" with the same vectors" if config.tied else ""}

{count:,} parameters, stored as {config.weights_dtype}, computed as float32."""


def _results(config: LanguageConfig, outcome: Outcome[Tally]) -> str:
    rows = [f"| {name} | {_cells(config, t)} |" for name, t in (("dev", outcome.dev), ("test", outcome.test)) if t]
    how = f"read back from {config.weights_dtype}" if outcome.finished else "before rounding to their stored form"
    head = (
        "characters | unknown | nats each | bits each"
        if config.level == "char"
        else "words | unknown | perplexity | perplexity of the known words"
    )
    return "\n".join([
        f"Measured over every token of a text, cut into {config.dev_rows} pieces that are read side by side, with the "
        f"weights {how}.",
        "",
        f"| data | {head} |",
        "|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


def _cells(config: LanguageConfig, done: Tally) -> str:
    counts = f"{done.tokens:,} | {100 * done.unknown_share:.2f} %"
    if config.level == "char":
        return f"{counts} | {done.mean:.4f} | {done.bits_per_character:.4f}"
    return f"{counts} | {done.perplexity:.2f} | {done.known_perplexity:.2f}"
