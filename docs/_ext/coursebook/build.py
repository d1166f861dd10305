"""The course's part of the site's build: its script, the runtime, the models, and proofs on its pages.

The parts that need torch, which are the models and `hiddenstate.course.figures`, are left out if the setting
``course_computed`` is False.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from coursebook import folds, pages
from coursebook.directives import CLAIM, PREDICT
from coursebook.html_nodes import label, raw
from hiddenstate.studio import assets

FOLDER = "course"
RECALL = "Recall"
JS = Path(__file__).parent / "js"
_FIRST = ("core.js", "controls.js", "answers.js")  # what the others use


def script() -> str:
    """Return the course's only script."""
    files = [JS / name for name in _FIRST]
    files += sorted(path for path in JS.glob("*.js") if path.name not in (*_FIRST, "start.js"))
    return "".join(path.read_text(encoding="utf-8") for path in [*files, JS / "start.js"])


def models_used(folder: Path) -> set[str]:
    """Return the models that figures of the course show."""
    lives = [block for page in folder.glob("[!_]*.md") for block in pages.blocks_of(page) if block.language == "live"]
    used = {name for block in lives for name in pages.directive(block).options.get("model", "").split()}
    return used | {"unit"}  # it computes the answers to questions about a unit


def _write_scripts(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    made = Path(app.doctreedir) / "scripts"
    folder = made / "course"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "course.js").write_text(script(), encoding="utf-8")
    (folder / "runtime.js").write_text(assets.text(assets.FIGURES), encoding="utf-8")
    if app.config.course_computed:
        from hiddenstate.course.figures import marks

        for name in sorted(models_used(Path(app.srcdir) / FOLDER)):
            (folder / f"model-{name}.js").write_text(marks.script(name), encoding="utf-8")
    app.config.html_static_path = [*app.config.html_static_path, str(made)]


def _add_script(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if pagename == app.config.root_doc or pagename.startswith(f"{FOLDER}/"):  # whose figures are live
        app.add_js_file("course/course.js", loading_method="defer")


def _compute_parts(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if app.config.course_computed and "body" in context:
        from hiddenstate.course.figures.marks import fill

        context["body"] = fill(context["body"])


def _show_proofs(app: Sphinx, doctree: nodes.document) -> None:
    """Replace the line that says what a cell proves with an anchor."""
    if not app.env.docname.startswith(f"{FOLDER}/"):
        return
    for block in list(doctree.findall(nodes.literal_block)):
        code, names = pages.without_proofs(block.astext())
        if names:
            block.children = [nodes.Text(code)]
            block.rawsource = code
            anchors = "".join(f'<span id="proof-{name}" class="course-proof"></span>' for name in names)
            block.parent.insert(block.parent.index(block), raw(anchors))


def _keep_marks_with_their_words(app: Sphinx, doctree: nodes.document) -> None:
    """Keep a claim's mark on the line of its word, with a non-breaking blank."""
    for mark in doctree.findall(nodes.raw):
        if mark.astext().startswith(CLAIM):
            before = mark.parent.children[mark.parent.index(mark) - 1]
            if isinstance(before, nodes.Text) and before.astext()[-1:].isspace():
                mark.parent.replace(before, nodes.Text(f"{before.astext().rstrip()}\N{NO-BREAK SPACE}"))


def _call_recall_so(app: Sphinx, doctree: nodes.document) -> None:
    """Label questions in a recall section as recall rather than predictions."""
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title)
        if title is not None and title.astext() == RECALL:
            for node in list(section.findall(nodes.raw)):
                if node.astext() == label(PREDICT).astext():
                    node.replace_self(label(RECALL))


def _fold_what_answers(app: Sphinx, doctree: nodes.document) -> None:
    """Fold whatever answers a question until it is answered; a recall question is answered in its own box."""
    if app.env.docname.startswith(f"{FOLDER}/"):
        for section in doctree.findall(nodes.section):
            title = section.next_node(nodes.title)
            if title is not None and title.astext() != RECALL:
                folds.fold(section)


def register(app: Sphinx) -> None:
    """Connect them."""
    app.add_config_value("course_computed", True, "html")
    app.connect("builder-inited", _write_scripts)
    app.connect("html-page-context", _add_script)
    app.connect("html-page-context", _compute_parts)
    app.connect("doctree-read", _show_proofs)
    app.connect("doctree-read", _keep_marks_with_their_words)
    app.connect("doctree-read", _call_recall_so)
    app.connect("doctree-read", _fold_what_answers)
