"""``hiddenstate explain attribute``: shows which words decided."""

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.cli.explain_options import AgainstOption, LabelOption, OfOption, WordOption
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.attribution.result import Attribution
    from hiddenstate.explain.subject.subject import Subject

DEFAULT_SAMPLES = 200  # of `hiddenstate.explain.attribute`

_SPAN = re.compile(r"(\d+)(?:-(\d+))?")


class Method(str, Enum):
    """The attribution method."""

    shapley = "shapley"
    integrated_gradients = "integrated_gradients"
    frozen = "frozen"
    cd = "cd"
    occlusion = "occlusion"
    gradient = "gradient"


class By(str, Enum):
    """The units that are replaced together."""

    auto = "auto"
    step = "step"
    word = "word"


def attribute(
    read: "Read",
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
    of: OfOption = None,
    method: Annotated[Method, typer.Option(help="Attribution method.")] = Method.shapley,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="What replaces a word: zero, mean or unk; repeat the option to compare several. Default: the "
            "model's own baseline.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    spans: Annotated[
        str | None,
        typer.Option(
            help="Spans of words that are replaced together, such as 0-1,2: each span by itself, and in pairs.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        By,
        typer.Option(
            help="For character models: replace single characters (step) or whole words; auto: words in long texts."
        ),
    ] = By.auto,
    state: Annotated[
        bool, typer.Option("--state", help="Also treat the initial state as a player, which can be replaced.")
    ] = False,
    samples: Annotated[
        int, typer.Option(help="Number of orders to draw when Shapley values are sampled.")
    ] = DEFAULT_SAMPLES,
) -> "Attribution":
    """Show which words decided the result.

    For a tagger: why it chose this tag and not the next best. For a language model: why this token comes next. Each
    method is shown beside occlusion, the loss when one word is replaced, and disagreements are marked.

    Example: hiddenstate explain attribute "The old man the boats." --word man
    """
    from hiddenstate.explain.attribution import run as attributions

    if of is not None and (word, label, against) != (None, None, None):
        raise ArgumentError("--of names the whole target; drop --word, --label and --against")
    linear = method in (Method.frozen, Method.cd)
    target: Any = of or read.target(word, label, against, linear=linear)
    if spans is not None:
        chosen: list[tuple[int, int]] | None = _read_spans(spans)
    else:
        chosen = _words(read.subject) if _in_words(read, by) else None
    return attributions.attribute(
        read.subject,
        of=target,
        method=method.value,
        baseline=baseline or None,
        spans=chosen,
        state="player" if state else "baseline",
        samples=samples,
    )


def _read_spans(text: str) -> list[tuple[int, int]]:
    found = []
    for part in text.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise ArgumentError(f"--spans takes word numbers and ranges, such as 0-1,2; got {text!r}")
        first = int(match[1])
        found.append((first, int(match[2] or first) + 1))
    return found


def _in_words(read: "Read", by: By) -> bool:
    from hiddenstate.explain.attribution.shapley import EXACT_STEPS
    from hiddenstate.models.language.language_model import LanguageModel

    if not isinstance(read.model, LanguageModel) or read.model.config.level != "char":
        return False
    return by is By.word or (by is By.auto and read.subject.T > EXACT_STEPS)


def _words(read: "Subject") -> list[tuple[int, int]]:
    """Group characters into words, each with the white space before it."""
    characters = read.words()
    ends = [t for t in range(1, read.T) if characters[t].isspace() and not characters[t - 1].isspace()]
    starts = [0, *ends]
    return list(zip(starts, [*starts[1:], len(characters)], strict=True))
