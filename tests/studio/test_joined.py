"""The page's modules as one script."""

import re

import pytest

from hiddenstate.studio import assets
from hiddenstate.studio.joined import joined

MODULES = {
    "main.js": 'import { two as second } from "studio/b.js";\nimport * as a from "studio/a.js";\nrun(a.one, second);\n',
    "b.js": 'import {\n  one,\n} from "studio/a.js";\nconst two = one + 1;\nexport { two };\n',
    "a.js": "export const one = 1;\nexport async function* more() {}\nexport const [X, Y] = [1, 2];\n",
}


def test_a_module_runs_after_those_that_it_imports() -> None:
    assert joined(MODULES).split("\n") == [
        "const studio0 = (() => { // a.js",
        "const one = 1;",
        "async function* more() {}",
        "const [X, Y] = [1, 2];",
        "",
        "return { one, more, X, Y };",
        "})();",
        "const studio1 = (() => { // b.js",
        "const {",
        "  one,",
        "} = studio0;",
        "const two = one + 1;",
        "",
        "",
        "return { two };",
        "})();",
        "const studio2 = (() => { // main.js",
        "const { two: second } = studio1;",
        "const a = studio0;",
        "run(a.one, second);",
        "",
        "return {  };",
        "})();",
    ]


def test_every_module_is_in_it_once() -> None:
    names = assets.names(".js")
    script = joined({name: assets.text(name) for name in names})
    assert sorted(re.findall(r"^const studio\d+ = \(\(\) => \{ // (.*)$", script, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (
            {"a.js": 'import { b } from "studio/b.js";\n', "b.js": 'import { a } from "studio/a.js";\n'},
            "in a cycle: a.js b.js a.js",
        ),
        ({"a.js": "export default 3;\n"}, "a.js: cannot join 'export default 3;'"),
        ({"a.js": 'import b from "studio/b.js";\n'}, "cannot join 'import b"),
        ({"a.js": "export let b = 3;\n"}, "cannot join 'export let"),
    ],
)
def test_what_cannot_be_joined_is_refused(modules: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        joined(modules)
