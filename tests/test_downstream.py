"""The command that runs other people's test suites, and the table that it writes in DOWNSTREAM.md."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from suites import outcomes, surroundings
from suites.outcomes import Outcome, Run
from suites.suite import Suite, read

PAGE = (Path(__file__).parent / "DOWNSTREAM.md").read_text(encoding="utf-8")
JUNIT = """<testsuites><testsuite>
<testcase classname="a.B" name="good"/>
<testcase classname="a.B" name="bad"><failure message="no"/></testcase>
<testcase classname="a.B" name="broken"><error message="no"/></testcase>
<testcase classname="a.B" name="left"><skipped message="no"/></testcase>
</testsuite></testsuites>"""


def test_the_page_has_the_table_of_what_was_kept() -> None:
    suites, kept = read(), outcomes.kept()
    assert kept.keys() <= suites.keys()
    assert outcomes.into_page(PAGE, outcomes.table(suites, kept)) == PAGE


def test_every_suite_that_passes_less_on_ours_says_why() -> None:
    assert outcomes.unexplained(read(), outcomes.kept()) == []


def test_with_accelerate_every_suite_is_as_it_is() -> None:
    worse = {name: outcome.runs["accelerate"].worse for name, outcome in outcomes.kept().items() if outcome.runs}
    assert worse
    assert not any(worse.values())


def test_outcomes_are_read_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT, encoding="utf-8")
    tests = outcomes.read_tests(path)
    assert tests == {"a.B::good": "passed", "a.B::bad": "failed", "a.B::broken": "failed", "a.B::left": "skipped"}
    plain = {"a.B::good": "passed", "a.B::bad": "passed", "a.B::broken": "failed", "a.B::gone": "passed"}
    run = outcomes.run_of(tests, plain, {"served": {"fast": 3, "native": 2}, "left": {"too odd": 1}})
    assert run == Run(1, 2, ("a.B::bad", "a.B::gone"), 5, {"too odd": 1})


def test_what_is_kept_comes_back_and_what_is_not_explained_is_said(tmp_path: Path) -> None:
    path, plain, worse = tmp_path / "outcomes.json", Run(3, 0), Run(2, 1, ("a",))
    some = Outcome(
        "1.0", "2.13", "2026-01-01", {"as it is": plain, "accelerate": plain, "convert": worse, "class": worse}
    )
    outcomes.keep({"one": some}, path)
    outcomes.keep({"two": Outcome(missing="no network")}, path)
    kept = outcomes.kept(path)
    assert (kept["one"], kept["two"].missing) == (some, "no network")
    suites = {name: Suite(name, why={"convert": "it asks for the class"}) for name in kept}
    assert outcomes.unexplained(suites, kept) == ["one, class"]
    table = outcomes.table(suites, kept)
    assert "| one 1.0, 2026-01-01 | 3 / 0 | 3 / 0 | none made | 2 / 1 | 2 / 1 | it asks for the class |" in table
    assert "| two | | | | | | not run: no network |" in table.replace("|  |  |  |  |  |", "| | | | | |")


@pytest.mark.parametrize(
    ("way", "package"),
    [
        ("as it is", "torch"),
        pytest.param("accelerate", "torch", marks=pytest.mark.slow),
        ("convert", "hiddenstate"),
        pytest.param("class", "hiddenstate", marks=pytest.mark.slow),
    ],
)
def test_each_way_puts_ours_in_torchs_place(way: str, package: str, tmp_path: Path) -> None:
    kinds = "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"
    code = (
        "import hiddenstate_downstream as plugin, torch\n"
        "class Own(torch.nn.LSTM):\n    pass\n"
        f"made = [getattr(torch.nn, kind)(4, 3) for kind in {kinds}]\n"
        "[one(torch.zeros(2, 1, 4)) for one in made[:3]], [one(torch.zeros(1, 4)) for one in made[3:]], Own(4, 3)\n"
        "torch.jit.script(torch.nn.Sequential(*made[:1]))\n"
        "print(*(f'{type(one).__module__.split(chr(46))[0]}.{type(one).__name__}' for one in made))\n"
        "plugin.pytest_sessionfinish()\n"
        "print(open(plugin.os.environ['HIDDENSTATE_REPORT']).read())\n"
    )
    environment = surroundings.environment(way, tmp_path / "report.json")
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    # The short way and the steps of cells need torch's table of functions.
    if hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        accelerated = '{"served": {"fast": 3, "cell": 3}, "left": {}}'
    else:
        lacks = "this version of torch lacks the function table by which native code reads tensors"
        accelerated = f'{{"served": {{"native": 3}}, "left": {{"{lacks}": 3}}}}'
    report = {
        "accelerate": accelerated,
        "convert": '{"converted": 6, "kept": 0}',
    }
    assert done.stdout.splitlines() == [" ".join(f"{package}.{kind}" for kind in kinds), report.get(way, "{}")]


def test_a_reason_for_two_ways_is_said_once() -> None:
    suite = Suite("one", why={"convert": "it asks", "class": "it asks", "calls": "some are float16"})
    good, bad = Run(2, 0), Run(1, 1, ("a",))
    runs = {"as it is": good, "accelerate": good, "convert": bad, "class": bad}
    assert outcomes.table({"one": suite}, {"one": Outcome("1.0", runs=runs)}).endswith("| it asks; some are float16 |")


def test_what_a_library_was_told_is_said_where_all_passes() -> None:
    suite = Suite("one", recipe="examples/opacus_lstm.py", why={"convert": "it asks", "recipe": "it was told"})
    good, bad = Run(2, 0), Run(1, 1, ("a",))
    for convert, said in ((good, "it was told"), (bad, "it asks")):
        runs = {"as it is": good, "accelerate": good, "convert": convert, "class": good}
        assert outcomes.table({"one": suite}, {"one": Outcome("1.0", runs=runs)}).endswith(f" {said} |")
    assert Path(surroundings.environment("convert", Path("r"), suite.recipe)["HIDDENSTATE_RECIPE"]).is_file()
    assert "HIDDENSTATE_RECIPE" not in surroundings.environment("class", Path("r"))


def test_a_recipe_is_followed_before_tests_are_read(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text("import torch\ndef register() -> None:\n    print(type(torch.nn.LSTM(4, 3)).__module__)\n")
    environment = surroundings.environment("convert", tmp_path / "report.json", str(recipe))
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], *sys.path])
    command = [sys.executable, "-c", "import hiddenstate_downstream"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "hiddenstate.nn.lstm"


def test_a_suite_that_can_not_be_fetched_says_so(tmp_path: Path) -> None:
    suite = Suite("none", source=str(tmp_path / "nowhere"), tag="v1")
    with pytest.raises(surroundings.NotFetchedError, match="git could not clone"):
        surroundings.prepare(suite, tmp_path, None)


def test_an_unknown_suite_is_refused() -> None:
    command = [sys.executable, str(Path(__file__).with_name("downstream.py")), "nonesuch"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no suite 'nonesuch'" in done.stderr
