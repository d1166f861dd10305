import gc
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from hiddenstate.errors import MissingDependencyError
from hiddenstate.studio import assets

# What is imported and collected stays to the end: to search it for garbage, over and over, took a third of it.
gc.disable()

# NumPy's matrices are small, too; this is read when it is imported, here and in the programs that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A separate program, which needs atheris and has no tests.
collect_ignore = ["attacks/fuzz.py"]

# A shell starts background jobs with Ctrl-C ignored, and the programs that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times; a slow example is not a failure, and failures must be reproducible.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=40, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("ci"), max_examples=15)  # for `make test`
hypothesis.settings.register_profile("many", hypothesis.settings.get_profile("ci"), max_examples=1200)
hypothesis.settings.load_profile("ci")

TESTS = Path(__file__).parent
# The files that take longest, of the slow tests and of the others. If one of them began last, one process would be busy
# with it and the others idle.
DEAREST = (
    "course/test_subjects.py",
    "course/test_mutants.py",
    "studio/test_compare.py",
    "studio/test_microscope.py",
    "test_docs.py",
    "test_attack.py",
    "doctor/test_planted.py",
    "course/test_notebooks.py",
    "engine/test_operator.py",
    "interop/onnx/test_attempts.py",
    "interop/keras/test_accelerate.py",
    "studio/test_page_models.py",
    "studio/test_page_read.py",
    "course/test_site.py",
    "studio/test_edits.py",
    "studio/test_explain_page.py",
    "test_installation.py",
    "interop/torch/test_accelerate.py",
    "engine/test_native.py",
    "studio/test_tour.py",
    "test_examples.py",
    "runtime/test_javascript.py",
    "runtime/test_c.py",
    "test_native.py",
)


# Files that share compilers, exporters, frameworks, pages or a browser, whose first use takes seconds: one process
# runs them all.
GROUPS = {
    "torch's compilers": tuple(
        f"tests/{name}.py"
        for name in (
            "engine/test_operator",
            "engine/test_border_states",
            "engine/test_recomputed_gates",
            "nn/test_kinds",
        )
    ),
    "the page Read": tuple(
        f"tests/studio/test_{name}.py" for name in ("microscope", "page_models", "page_read", "edits")
    ),
    "the studio's other pages": tuple(
        f"tests/studio/test_{name}.py"
        for name in (
            *("compare", "explain_page", "tour", "tour_statements", "structure_page", "hosts", "corpus_pages"),
            *("series_page", "other_cells", "page_core", "browser"),
        )
    ),
    "the studio's runtime": ("tests/studio/runtime/",),
    "the course's pages": ("tests/course/test_site.py", "tests/course/test_folds.py"),
    "the C library": tuple(
        f"tests/runtime/test_{name}.py" for name in ("c", "c_graph", "graph_states", "hostile_models", "linking")
    ),
    "ONNX": ("tests/interop/onnx/", "tests/interop/test_kinds.py"),
    "Keras and JAX": (
        "tests/interop/keras/",
        "tests/interop/test_export_arrays.py",
        "tests/interop/test_jax_arrays.py",
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays in one process (`--dist loadfile`), and so do the files of a group."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((name for name, files in GROUPS.items() if file.startswith(files)), file)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process more than there are processors, since tests wait for browsers and for programs that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True, scope="module")
def _own_environment() -> Generator[None]:
    """Forget what a library set: Dask's workers set variables here, which programs of later tests would be given."""
    before = dict(os.environ)
    yield
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name in before:
            os.environ[name] = before[name]
        else:
            del os.environ[name]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Use one thread: tensors are small, and threads that wait for each other are slow on a busy machine."""
    if session.config.getoption("numprocesses", None) is None:  # else this process only hands out tests, without torch
        import torch

        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the dearest files first, in which order they are given to the processes."""
    addresses = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addresses:  # they differ between processes, and xdist would run nothing
        raise pytest.UsageError(f"an address is no name of a test: {addresses[0]}")
    places = {TESTS / name: place for place, name in enumerate(DEAREST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Search only what tests make for garbage, from here on."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Skip a test that needs the studio's page if that could not be built here, unless it must be."""
    try:
        return (yield)
    except MissingDependencyError as error:
        if (assets.PAGE / assets.SCRIPT).exists() or os.environ.get("HIDDENSTATE_REQUIRE_PAGES") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import torch

    torch.default_generator.manual_seed(0)  # `torch.manual_seed` also writes a traceback, for devices not in use


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with real corpora, if there is one beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip("no corpora beside this checkout")
    return folder
