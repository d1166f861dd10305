r"""The grammar of queries.

A query is a pattern of steps, and conditions around it::

    l1.c[125] > .5                                unit 125 of l1.c is above 0.5
    l1.c[125] > .5 for 3..                        in spans of at least 3 steps (for 3: exactly 3; for 2..5)
    l1.c[125] > .5, l0.i[7] < .1                  both at the same steps
    l1.c[125] > .5 for 3.., l0.i[7] < .1 before   the second at the step before the span
    l0.h[3] > 0, label = VERB after 1..5          a verb at some step, 1 to 5 after the span
    not (token = "the" or token = "a")            tokens and labels; and, or, not, brackets
    rain == 0 and month in (6, 7)                 columns of a series, and its dates
    "snow depth" > 2, date >= "2015-06"           names with spaces, and dates, in quotes

Comparisons are ``> >= < <=``, of values as float32. Spans are as long as possible, and stay within a sequence.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError

LONGEST = 2000  # maximum number of characters in a query
MOST_CONDITIONS = 32
MOST_STEPS = 1 << 22


@dataclass(frozen=True)
class UnitCondition:
    """A unit compared with a number."""

    place: str
    unit: int
    op: str
    number: float

    def __str__(self) -> str:
        return f"{self.place}[{self.unit}] {self.op} {self.number:g}"


@dataclass(frozen=True)
class Named:
    """The token or label of a step compared with a text."""

    kind: str
    is_equal: bool
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {'=' if self.is_equal else '!='} {self.text!r}"


@dataclass(frozen=True)
class Formula:
    """``and``, ``or`` or ``not`` of other conditions."""

    kind: str
    parts: "tuple[Condition, ...]"

    def __str__(self) -> str:
        if self.kind == "not":
            return f"not {self.parts[0]}"
        return f"({f' {self.kind} '.join(map(str, self.parts))})"


@dataclass(frozen=True)
class ColumnCondition:
    """A column of a series, or a part of its dates, compared with numbers or dates."""

    name: str
    op: str  # ``in``, or a comparison
    values: "tuple[float | str, ...]"

    def __str__(self) -> str:
        values = ", ".join(f"{value:g}" if isinstance(value, float) else f'"{value}"' for value in self.values)
        return f"{self.name} {self.op} {f'({values})' if self.op == 'in' else values}"


Condition = UnitCondition | Named | ColumnCondition | Formula


@dataclass(frozen=True)
class Around:
    """A condition that holds at some step before or after a span, ``near`` to ``far`` steps from it."""

    condition: Condition
    where: str
    near: int
    far: int

    def __str__(self) -> str:
        steps = "" if (self.near, self.far) == (1, 1) else f" {self.near}..{'' if self.far == MOST_STEPS else self.far}"
        return f"{self.condition} {self.where}{steps}"


@dataclass(frozen=True)
class Query:
    """A parsed query: conditions at every step of a span, its least and greatest length, and conditions around it."""

    at: tuple[Condition, ...]
    shortest: int
    longest: int
    around: tuple[Around, ...]

    @property
    def clauses(self) -> "tuple[Condition | Around, ...]":
        """The parts of the query, in order."""
        return (*self.at, *self.around)

    def values(self) -> list[UnitCondition]:
        """Return every comparison of a unit."""
        return [condition for condition in self._simple() if isinstance(condition, UnitCondition)]

    def columns(self) -> list[ColumnCondition]:
        """Return every comparison of a column."""
        return [condition for condition in self._simple() if isinstance(condition, ColumnCondition)]

    def _simple(self) -> "list[Condition]":
        """Return every condition that has no parts."""
        left: list[Condition] = [*self.at, *(around.condition for around in self.around)]
        simple: list[Condition] = []
        while left:
            condition = left.pop(0)
            if isinstance(condition, Formula):
                left += condition.parts
            else:
                simple.append(condition)
        return simple


def parse_query(text: str) -> Query:
    """Parse a query. Needs lark (``pip install 'hiddenstate[corpus]'``)."""
    if not isinstance(text, str):
        raise ArgumentTypeError(f"a query must be a string, got {type(text).__name__}")
    if len(text) > LONGEST or text.count("(") > MOST_CONDITIONS or text.count("not") > 2 * MOST_CONDITIONS:
        raise ArgumentError(f"a query has at most {LONGEST:,} characters and {MOST_CONDITIONS} conditions")
    lark = optional_package("lark", "corpus", "a search")
    try:
        tree = _parser().parse(text)
    except lark.exceptions.UnexpectedInput as error:
        at = -1 if getattr(getattr(error, "token", None), "type", "") == "$END" else error.pos_in_stream
        where = "at its end" if at is None or at < 0 else f"from {text[at : at + 30]!r} on"
        raise ArgumentError(
            f"cannot read the query {text!r:.200} {where}: write conditions such as 'l1.c[125] > .5 for 3..', "
            "'l0.i[7] < .1 before', 'token = \"the\"', 'label = VERB' or, of a series, 'rain == 0', separated by commas"
        ) from error
    query = _query(tree)
    count = len(query.values()) + len(query.columns())
    if count > MOST_CONDITIONS:
        raise ArgumentError(f"a query has at most {MOST_CONDITIONS} conditions, got {count}")
    return query


@cache
def _parser() -> Any:
    lark = optional_package("lark", "corpus", "a search")
    return lark.Lark.open("grammar.lark", rel_to=__file__, start="query", parser="lalr", maybe_placeholders=True)


def _query(tree: Any) -> Query:
    first, span, *parts = tree.children
    at, around = [_condition(first)], list[Around]()
    shortest, longest = (1, MOST_STEPS) if span is None else _range(span)
    for part in parts:
        condition, side = _condition(part.children[0]), part.children[1]
        if side is None:
            at.append(condition)
        else:
            where, steps = side.children
            near, far = (1, 1) if steps is None else _range(steps)
            around.append(Around(condition, str(where), near, far))
    return Query(tuple(at), shortest, longest, tuple(around))


def _condition(tree: Any) -> Condition:
    if tree.data == "value":
        place, unit, op, number = map(str, tree.children)
        return UnitCondition(place, int(unit), op, float(number))
    if tree.data == "named":
        kind, equal, text = tree.children
        return Named(str(kind), str(equal) != "!=", _text(str(text.children[0])))
    if tree.data in ("column", "member"):
        name, *rest = tree.children
        op = "in" if tree.data == "member" else str(rest.pop(0)).replace("==", "=")
        operands = [str(part.children[0]) for part in rest]
        values = tuple(_text(text) if text.startswith('"') else float(text) for text in operands)
        return ColumnCondition(_text(str(name.children[0])), op, values)
    names = {"any": "or", "all": "and", "inverse": "not"}
    parts = tuple(_condition(child) for child in tree.children)
    return parts[0] if len(parts) == 1 and tree.data != "inverse" else Formula(names[tree.data], parts)


def _range(tree: Any) -> tuple[int, int]:
    words = [str(child) for child in tree.children if child is not None]
    numbers = [int(word) for word in words if word != ".."]
    if ".." not in words:
        low = high = numbers[0]
    elif words[0] == "..":
        low, high = 1, numbers[0]
    else:
        low, high = numbers[0], numbers[1] if len(numbers) > 1 else MOST_STEPS
    if low > MOST_STEPS:
        raise ArgumentError(f"a sequence has at most {MOST_STEPS:,} steps, got {''.join(words)}")
    if not 1 <= low <= high:
        raise ArgumentError(f"a number of steps must be at least 1, and a range must ascend, got {''.join(words)}")
    return low, high


def _text(text: str) -> str:
    if not text.startswith('"'):
        return text
    escapes = {"n": "\n", "t": "\t"}
    out, rest = list[str](), iter(text[1:-1])
    for character in rest:
        if character == "\\":
            after = next(rest, "")
            out.append(escapes.get(after, after))
        else:
            out.append(character)
    return "".join(out)
