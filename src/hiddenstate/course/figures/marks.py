"""What is computed when the course is opened, because it needs torch: what replaces the pages' marks, and the models.

The models of the live figures are classic scripts, which a page opened from disk is allowed to load.
"""

import base64
import json
import re
from collections.abc import Callable

from torch import nn

from hiddenstate.course.figures.numeric_answers import compute, written
from hiddenstate.course.figures.stills import STILLS, tiny, weather
from hiddenstate.models.model_folder import shipped
from hiddenstate.nn.lstm import LSTM
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.modules import Numbers, bundle_layer
from hiddenstate.studio.bundles.opening import bundle_folder
from hiddenstate.studio.bundles.series import bundle_series

_MARK = re.compile(r"<!--course-(still|answer) (\w+) (.*?)-->")
WORDS = ("first", "second", "third", "fourth", "fifth")


def fill(html: str) -> str:
    """Replace every mark of a page with the first frame or the answer that it stands for.

    ``<!--course-still VIEW MODELS-->`` is the first frame of a figure, and ``<!--course-answer KIND JSON-->`` the
    answer to a question with these numbers; `docs/_ext/coursebook/directives.py` writes them.
    """
    return _MARK.sub(_part, html)


def _part(mark: re.Match[str]) -> str:
    part, name, argument = mark.groups()
    if part == "still":
        return STILLS[name]()
    answer = written(compute(name, argument))
    return f'<code class="docutils literal notranslate"><span class="pre">{answer}</span></code>'


def _tiny() -> Bundle:
    lstm, x, state = tiny()
    return bundle_layer(lstm, "tiny", Numbers(x, state, WORDS))


def _unit() -> Bundle:
    """Bundle a one-unit LSTM with zero weights, so that its gates have exactly the values to which they are set."""
    lstm = LSTM(1, 1)
    for weight in lstm.parameters():
        nn.init.zeros_(weight)
    return bundle_layer(lstm, "unit")


MODELS: dict[str, Callable[[], Bundle]] = {
    "tiny": _tiny,
    "unit": _unit,
    "tagger": lambda: bundle_folder(shipped()),
    "weather": lambda: bundle_series(*weather()),
    "shakespeare": lambda: bundle_folder(shipped("shakespeare")),
}


def script(name: str) -> str:
    """Return a classic script that puts a model into ``window.courseModels``."""
    bundle = MODELS[name]()
    weights = base64.b64encode(bundle.weights).decode()
    data = json.dumps({"head": bundle.head(), "weights": weights}, ensure_ascii=True)
    return f"(window.courseModels ??= {{}})[{json.dumps(name)}] = {data};\n"
