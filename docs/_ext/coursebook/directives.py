"""The directives and roles of the course: they produce complete HTML, which `js/` makes interactive."""

import html
import json
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from coursebook import pages
from coursebook.html_nodes import attributes, details, element, label, python, raw
from coursebook.pages import Section
from coursebook.rules import RULES
from hiddenstate.doctor.misconceptions import idea_behind

_SHOW = re.compile(r"(.+?)\s*<(?:([\w-]+)#)?([\w-]+)((?:\s+[\w@-]+=[^\s>]+)*)>", re.DOTALL)
PREDICT = "Predict"
CLAIM = '<a class="course-claim"'
DIFFICULTIES = range(1, 6)


class _Part(SphinxDirective):
    has_content = True
    required_arguments = 1
    options_known: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.option_spec = dict.fromkeys(cls.options_known, directives.unchanged)

    def parts(self) -> tuple[str, tuple[Section, ...]]:
        """Return the text above the first section, and the sections."""
        return pages.sections_of("\n".join(self.content))

    def markdown(self, text: str) -> list[nodes.Node]:
        """Parse Markdown."""
        return self.parse_text_to_nodes(text) if text else []

    def hint(self, section: Section) -> list[nodes.Node]:
        """Show a hint, shut."""
        return details("Hint", {"class": "course-hint"}, self.markdown(section.text))

    def flag(self, name: str) -> bool:
        """Whether an option is present, with or without a value."""
        return name in self.options

    def need(self, holds: bool, what: str) -> None:
        """Stop the build if a page is written incorrectly."""
        if not holds:
            raise self.error(f"{self.name} {self.arguments[0]}: {what}")


class Predict(_Part):
    """A question with choices, each with its reason; the answer is folded until one is chosen."""

    options_known = ("unmarked", "review", "id-of", "same-as")

    def run(self) -> list[nodes.Node]:
        """Show the question, its choices and the folded answer."""
        text, sections = self.parts()
        made = pages.Directive(self.name, self.arguments[0], text, self.options, sections)
        folder = Path(self.env.srcdir) / "course"
        made = pages.asked(made, folder)
        if "same-as" in self.options or self.flag("review"):
            for page in folder.glob("[!_]*.md"):
                self.env.note_dependency(str(page))
        text, sections = made.text, made.sections
        question, choices = pages.choices_of(text)
        self.need(sum(choice.right for choice in choices) == 1, "one choice must be right")
        self.need(all(choice.because for choice in choices), "every choice needs its reason below it")
        right = next(choice for choice in choices if choice.right)
        given = {
            "class": "course-box course-predict",
            "id": f"predict-{self.arguments[0]}",
            "data-id": self.arguments[0],
            "data-of": self.options.get("id-of"),
            "data-unmarked": self.flag("unmarked"),
            "data-review": self.flag("review"),
        }
        refuted = pages.refuted_in(folder) if self.flag("review") else {}
        rows = [row for choice in choices for row in self._choice(choice, refuted.get(choice.about, ""))]
        answer = [*self.markdown(f"**{right.text}.**"), *self.markdown(right.because)]
        answer += self.markdown("\n".join(section.text for section in sections if section.name == "reveal"))
        inside = [label("Question" if self.flag("review") else PREDICT), *self.markdown(question)]
        inside += element("ol", {"class": "course-choices"}, rows)
        if not self.flag("unmarked"):
            inside += details("Answer", {"class": "course-reveal"}, answer)
        return element("section", given, inside)

    def _choice(self, choice: pages.Choice, refuted: str) -> list[nodes.Node]:
        """Show a choice, its reason and, if a page is named, a link to its section about the idea behind the choice."""
        inside = element("div", {"class": "course-choice"}, self.markdown(choice.text))
        if not self.flag("unmarked"):
            because = self.markdown(choice.because)
            if refuted:
                chapter = int(refuted[:2])
                because.append(
                    raw(f'<p><a href="{refuted}.html#idea-{choice.about}">Chapter {chapter} on this idea</a></p>')
                )
            inside += details("Why?", {"class": "course-because"}, because)
        return element("li", {"data-right": choice.right, "data-about": choice.about}, inside)


class Live(_Part):
    """A figure that a model draws in the page; a still figure without a script."""

    options_known = ("model", "view", "state", "after", "notebook")

    def run(self) -> list[nodes.Node]:
        """Show the task, the still figure, and a description of it."""
        text, sections = self.parts()
        name, view = self.arguments[0], self.options.get("view", "")
        still = "\n".join(section.text for section in sections if section.name == "still")
        self.need(bool(still), "a section 'still' must say in words what the figure shows")
        given = {"class": "course-box course-live", "id": f"live-{name}", "data-id": name}
        given |= {f"data-{key}": self.options.get(key) for key in ("model", "view", "state", "after")}
        frame = raw(f"<!--course-still {view} {self.options.get('model', '')}-->")
        stage = element("div", {"class": "course-stage"}, [frame])
        words = details("The figure in words", {"class": "course-words"}, self.markdown(still))
        return element("section", given, [label("Live figure"), *self.markdown(text), *stage, *words])


class Exercise(_Part):
    """A task with hints and a solution; it is checked in the notebook or, if it asks for numbers, in the page."""

    options_known = ("title", "difficulty", "minutes", "answer", "keep")

    def run(self) -> list[nodes.Node]:
        """Show heading, task, questions or starting code, hints, solution."""
        text, sections = self.parts()
        number = self.arguments[0]
        asks = [section for section in sections if section.name == "ask"]
        self.need(bool(asks) != ("answer" in self.options), "it has 'ask' sections or an :answer:")
        inside = [self._head(number), *self.markdown(text)]
        for k, section in enumerate(asks):
            inside += self._ask(section, f"{number}.{k}")
        for section in sections:
            if section.name == "start":
                inside += [python(f"{section.text}\n\ncheck({number!r}, {self.options['answer']})".replace("'", '"'))]
            elif section.name == "hint":
                inside += self.hint(section)
            elif section.name == "solution":
                after = [section for section in sections if section.name == "after"]
                shown = [python(section.text), *(node for each in after for node in self.markdown(each.text))]
                inside += details("Solution", {"class": "course-solution"}, shown)
        return element("section", {"class": "course-box course-exercise", "id": f"exercise-{number}"}, inside)

    def _head(self, number: str) -> nodes.Node:
        difficulty, minutes = self.options.get("difficulty", ""), self.options.get("minutes", "")
        self.need(difficulty.isdigit() and int(difficulty) in DIFFICULTIES, "difficulty is 1 to 5")
        self.need(minutes.isdigit(), "it needs minutes")
        dots = "●" * int(difficulty) + "○" * (len(DIFFICULTIES) - int(difficulty))
        said = f"Difficulty {difficulty} of {len(DIFFICULTIES)}"
        title = html.escape(self.options.get("title", ""))
        return raw(
            f'<p class="course-label">Exercise {number} · {title} '
            f'<span class="course-dots" role="img" aria-label="{said}">{dots}</span> {minutes} min</p>'
        )

    def _ask(self, section: Section, name: str) -> list[nodes.Node]:
        kind, _, given = section.argument.partition(" ")
        asked = json.loads(given)
        question, choices = pages.choices_of(section.text)
        head = {"class": "course-ask", "data-id": name, "data-kind": kind, "data-given": given}
        wrong: list[nodes.Node] = []
        for choice in choices:
            said = [*self.markdown(choice.because), raw(" "), *self.markdown(idea_behind(choice.about))]
            wrong += element("li", {"data-value": choice.text, "data-about": choice.about}, said)
        inside = self.markdown(question)
        right = raw(f"<p><!--course-answer {kind} {given}--></p>")
        inside += details("Answer", {"class": "course-reveal"}, [right])
        rule = self.markdown(RULES[kind](asked))
        inside += element("div", {"class": "course-rule", "hidden": True}, rule)
        return element("div", head, [*inside, *element("ul", {"class": "course-wrong", "hidden": True}, wrong)])


class Parsons(_Part):
    """Lines of a program to put in order, with buttons."""

    options_known = ("title", "minutes")

    def run(self) -> list[nodes.Node]:
        """Show the shuffled lines, and the folded solution."""
        text, sections = self.parts()
        number = self.arguments[0]
        lines = next(section.text for section in sections if section.name == "lines").split("\n")
        rows: list[tuple[str, dict[str, object], str]] = [
            (line, {"data-line": k + 1}, "") for k, line in enumerate(lines)
        ]
        for section in sections:
            if section.name == "extra":
                line, _, why = section.text.partition("\n")
                rows.append((line, {"data-about": section.argument.split()[0]}, why))
        minutes = self.options.get("minutes", "")
        self.need(minutes.isdigit(), "it needs minutes")
        title = html.escape(self.options.get("title", ""))
        head = raw(f'<p class="course-label">Exercise {number} · {title} · {minutes} min</p>')
        inside = [head, *self.markdown(text)]
        listed: list[nodes.Node] = []
        for line, given, why in pages.shuffled(rows):
            shown = [
                raw(f"<code>{html.escape(line)}</code>"),
                *element("div", {"class": "course-why"}, self.markdown(why)),
            ]
            listed += element("li", given, shown)
        inside += element("ol", {"class": "course-lines"}, listed)
        inside += [node for section in sections if section.name == "hint" for node in self.hint(section)]
        inside += details("Solution", {"class": "course-solution"}, [python("\n".join(lines))])
        given = {"class": "course-box course-parsons", "id": f"exercise-{number}", "data-id": number}
        return element("section", given, inside)


class Review(_Part):
    """The questions of this page that are due again; empty without a script."""

    required_arguments = 0
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the place for the script's text."""
        return [raw('<section class="course-review" aria-live="polite"></section>')]


class Claim(SphinxRole):
    """A mark at a statement: a link to the cell that checks it, or to its source."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Show it."""
        name, _, source = (part.strip() for part in self.text.partition("|"))
        if source:
            return [raw(f'<span class="course-source">({html.escape(source)})</span>')], []
        said = html.escape(f"Checked by a cell of this page: {name}")
        link = f'{CLAIM} href="#proof-{name}" title="{said}" aria-label="{said}">✓</a>'
        return [raw(link)], []


class Idea(SphinxRole):
    """The misconception that a refutation is about: an anchor to link to."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the anchor, which is invisible."""
        return [raw(f'<span class="course-idea" id="idea-{html.escape(self.text)}"></span>')], []


class Minutes(SphinxRole):
    """How long a page takes; a test compares the number with its words, questions and exercises."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Show the number."""
        return [nodes.Text(self.text)], []


class Show(SphinxRole):
    """A link that puts a figure into the state that the sentence is about: ``text <page#figure key=value>``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Show it."""
        match = _SHOW.fullmatch(self.text)
        if match is None:
            raise ValueError(f"{self.text!r} must be: text <figure key=value>")
        text, page, figure, state = match.groups()
        query = "&".join([f"figure={figure}", *state.split()])
        href = f"{page}.html?{query}#live-{figure}" if page else f"#live-{figure}"
        given = {
            "class": "course-show",
            "href": href,
            "data-figure": None if page else figure,
            "data-state": state.strip(),
        }
        return [raw(f"<a{attributes(given)}>{html.escape(text)}</a>")], []


def register(app: Sphinx) -> None:
    """Add the directives and roles."""
    for name, made in {"predict": Predict, "live": Live, "exercise": Exercise, "parsons": Parsons}.items():
        app.add_directive(name, made)
    app.add_directive("review", Review)
    app.add_role("claim", Claim())
    app.add_role("idea", Idea())
    app.add_role("minutes", Minutes())
    app.add_role("show", Show())
