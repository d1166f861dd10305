"""Writes a tagger's card in Markdown: its architecture, data, training and quality."""

from collections.abc import Sequence

from hiddenstate.models.card_data import Origin, Outcome, data_section, page, training_section
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.evaluation.accuracy import Accuracy, Report, Reports
from hiddenstate.models.tagger.tagger import Tagger

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
    tags = "; ".join(_tags(column, names) for column, names in tagger.columns.items())
    return (
        f"A tagger for {' and '.join(kinds)}: it gives each word of a sentence a probability for each tag. Tags: "
        f"{tags}. Made with hiddenstate; load it with `hiddenstate.load`."
    )


def _tags(column: str, names: Sequence[str]) -> str:
    listed = " ".join(names) if len(names) <= _LISTED else "see `vocabulary.json`"
    return f"{len(names)} of {column.upper()} ({listed})"


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
{_spelling(tagger)}{_context(tagger)}\
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


def _context(tagger: Tagger) -> str:
    if tagger.context is None:
        return ""
    units = [model.config.hidden_size for model in (tagger.context.forward_model, tagger.context.backward_model)]
    return f"- context: states of two character language models, {units[0]} units forward and {units[1]} backward\n"


def _accuracy(config: TaggerConfig, outcome: Outcome[Reports]) -> str:
    rows = [f"| {name} | {column.upper()} | {_cells(report.accuracy)} |" for name, column, report in _measured(outcome)]
    how = f"as stored in {config.weights_dtype}" if outcome.finished else "before they are rounded to their stored type"
    return "\n".join([
        f"Share of words tagged correctly, measured with the weights {how}. Unknown words are those that do not occur "
        "in the tagged training data.",
        "",
        "| data | column | words | correct | unknown words | correct |",
        "|---|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


def _cells(accuracy: Accuracy) -> str:
    unknown = f"{accuracy.unknown_words:,} | {100 * accuracy.unknown_share:.2f} %"
    return f"{accuracy.words:,} | {100 * accuracy.share:.2f} % | {unknown if accuracy.unknown_words else '0 | '}"


def _confidence(tagger: Tagger, outcome: Outcome[Reports]) -> str:
    """Describe how well the probability of a chosen tag predicts how often it is right."""
    rows = [
        f"| {name} | {column.upper()} | {tagger.temperatures[column]:.3f} | {100 * report.uncalibrated.error:.2f} % "
        f"| {100 * report.calibration.error:.2f} % |"
        for name, column, report in _measured(outcome)
    ]
    return "\n".join([
        "Expected calibration error: words are grouped by the probability of the chosen tag; the error is the "
        "difference between that probability and the share of words tagged correctly, averaged over words. The "
        "temperature rescales the probabilities; it is fitted on the dev data at the end of training, and is 1 until "
        "then.",
        "",
        "| data | column | temperature | error without it | error with it |",
        "|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


def _measured(outcome: Outcome[Reports]) -> list[tuple[str, str, Report]]:
    parts = [(name, reports) for name, reports in (("dev", outcome.dev), ("test", outcome.test)) if reports]
    return [(name, column, report) for name, reports in parts for column, report in reports.items()]
