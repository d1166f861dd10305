"""Writes a language model's card in Markdown: its architecture, data, training and quality."""

from hiddenstate.models.card_data import Origin, Outcome, data_section, page, training_section
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.perplexity import Tally

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
    return "\n".join([
        f"Measured on all tokens of each text, cut into {config.dev_rows} pieces that are read in parallel, with the "
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
