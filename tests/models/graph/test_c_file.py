"""An exported C file compiles without a warning, passes its test, and refuses what a single step can't compute."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from exported_c import Denoiser
from hiddenstate.engine import kernels
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.graph.c_file import _identifier
from hiddenstate.models.graph.file import graph_of, run_graph, run_torch
from models.graph.random_modules import Random
from models.graph.test_capture import Loop, Silero
from support import draws

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
# Sums in float, as elsewhere: x87's have more digits, which a norm of a single feature multiplies by 300.
FLOATS_32 = ("-m32", "-msse2", "-mfpmath=sse")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]


@functools.cache
def is_32_bit_possible(compiler: str) -> bool:
    """Whether a compiler has the libraries of 32-bit programs, as with Debian's gcc-multilib."""
    program = "#include <math.h>\nint main(int n, char **a) { (void)a; return sqrtf((float)n) != 1; }"
    command = [compiler, "-m32", "-x", "c", "-", "-o", os.devnull, "-lm"]
    return subprocess.run(command, input=program, text=True, capture_output=True, check=False).returncode == 0


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def compiled(path: Path, *options: str, compiler: str = "gcc") -> Path:
    """Compile a file's test, and return the program."""
    program = path.with_suffix(".out")
    selftest = f"-D{path.stem.upper()}_SELFTEST"
    command = [compiler, *WARNINGS, *options, selftest, str(path), "-o", str(program), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return program


def passes(path: Path, *options: str, compiler: str = "gcc") -> None:
    result = subprocess.run([compiled(path, *options, compiler=compiler)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, (path, options, result.returncode, result.stderr)


def sweep(seeds: Sequence[int], folder: Path) -> None:
    for seed in seeds:
        model, path = Random(seed, streams=True, int8=seed % 5 == 0), folder / f"c{seed}.c"
        hs.export_c(model, path, args=(model.example(),))
        for compiler in COMPILERS:
            passes(path, *SANITIZED, compiler=compiler)
            passes(path, "-O3", *FLOATS_32 * is_32_bit_possible(compiler), compiler=compiler)


@needs_gcc
def test_random_modules_compile_and_pass_their_tests(tmp_path: Path) -> None:
    sweep((5,), tmp_path)


@pytest.mark.slow
@needs_gcc
def test_many_random_modules_compile_and_pass_their_tests(tmp_path: Path) -> None:
    sweep(range(8, 8 + draws(10)), tmp_path)


@needs_gcc
def test_what_a_file_needs_is_told_and_true(tmp_path: Path) -> None:
    path = tmp_path / "denoiser.c"
    described = hs.export_c(Denoiser().eval(), path, args=(torch.randn(1, 9, 42),))
    weights = sum(value.numel() for value in Denoiser().parameters())
    assert described.flash == 4 * weights
    assert described.multiplications == 42 * 24 + 3 * 2 * 24 * 72 + 24 * 22
    assert f"RAM: {described.ram} bytes" in path.read_text()
    assert f"{described.ram:,} bytes of RAM" in repr(described)
    main = tmp_path / "size.c"
    main.write_text(
        f'#define DENOISER_DECLARATIONS\n#include "denoiser.c"\n'
        f"int main(void) {{ return sizeof(denoiser_state) == {described.ram} ? 0 : 1; }}\n"
    )
    passes(main)
    passes(path, "-O2")
    text = path.read_text().partition("#ifdef DENOISER_SELFTEST")[0]
    assert not re.search(r"^static (?!const|void|inline|float)|malloc|long|double", text, re.M)


@needs_gcc
def test_a_file_of_one_number_of_steps_has_calls_and_no_steps(tmp_path: Path) -> None:
    frame = (torch.randn(1, 80), (torch.randn(1, 12), torch.randn(1, 12)))
    hs.export_c(Silero().eval(), tmp_path / "vad.c", args=frame)
    passes(tmp_path / "vad.c", *SANITIZED)
    described = hs.export_c(Loop().eval(), tmp_path / "loop.c", args=(torch.randn(2, 5, 4),))
    passes(tmp_path / "loop.c", *SANITIZED)
    assert not described.is_step
    assert "a call, which takes all of x [1, 5, 4] and carries nothing" in repr(described)
    text = (tmp_path / "loop.c").read_text()
    assert "loop_call(" in text
    assert "loop_step" not in text


@needs_gcc
def test_a_wrong_constant_fails_the_files_own_test(tmp_path: Path) -> None:
    path = tmp_path / "denoiser.c"
    hs.export_c(Denoiser().eval(), path, args=(torch.randn(1, 3, 42),))
    text = path.read_text()
    begin = text.index("{\n", text.index("denoiser_w0["))
    path.write_text(text[:begin] + re.sub(r"(-?[\d.]+)", "0.5", text[begin : begin + 40], count=1) + text[begin + 40 :])
    assert subprocess.run([compiled(path)], check=False).returncode == 1


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.gru = nn.Embedding(7, 4), hs.GRU(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.gru(self.words(x))[0]


@needs_gcc
def test_an_index_out_of_range_is_refused_before_anything_changes(tmp_path: Path) -> None:
    hs.export_c(Words().eval(), tmp_path / "words.c", args=(torch.tensor([[1, 2, 3]]),))
    main = tmp_path / "main.c"
    main.write_text(
        '#include "words.c"\nint main(void) { words_state s, t; float y[3]; int32_t bad = 7, low = -1, good = 6;\n'
        "words_init(&s); words_init(&t);\n"
        "if (words_step(&s, &bad, y) != -1 || words_step(&s, &low, y) != -1 || memcmp(&s, &t, sizeof s)) return 1;\n"
        "return words_step(&s, &good, y); }\n"
    )
    passes(main, *SANITIZED)


def named(name: str) -> nn.Module:
    """Return a module whose argument has this name."""
    scope: dict[str, Any] = {}
    exec(f"def forward(self, {name}):\n    return self.head(self.gru({name}.sigmoid())[0])", scope)

    class Named(nn.Module):
        forward = scope["forward"]

        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2)

    return Named().eval()


@needs_gcc
@pytest.mark.parametrize("name", ["t", "i2", "long", "this", "memcpy", "sigmoid", "matrix", "m_w0"])
def test_arguments_may_have_any_name(name: str, tmp_path: Path) -> None:
    hs.export_c(named(name), tmp_path / "m.c", args=(torch.randn(1, 4, 2),))
    passes(tmp_path / "m.c")


@needs_gcc
def test_arguments_of_one_name_in_c_are_two() -> None:
    assert [_identifier("é", 0, ("m",)), _identifier("ü", 1, ("m", "_"))] == ["_", "in1__"]


@needs_gcc
def test_one_program_has_several_files_and_cpp_reads_them_as_headers(tmp_path: Path) -> None:
    hs.export_c(named("x"), tmp_path / "one.c", args=(torch.randn(1, 4, 2),))
    hs.export_c(Denoiser().eval(), tmp_path / "an-other.c", args=(torch.randn(1, 3, 42),))
    both = tmp_path / "both.c"
    both.write_text('#include "one.c"\n#include "an-other.c"\nint main(void) { return sizeof(an_other_state) == 0; }\n')
    passes(both)
    if shutil.which("g++"):
        main, program = tmp_path / "main.cpp", tmp_path / "main"
        main.write_text(
            '#define ONE_DECLARATIONS\n#include "one.c"\n'
            "int main() { one_state s; one_init(&s); const float x[2] = {1, 2}; float y[2];\n"
            "return one_step(&s, x, y); }\n"
        )
        subprocess.run(["gcc", "-std=c99", "-c", tmp_path / "one.c", "-o", tmp_path / "one.o"], check=True)
        subprocess.run(
            ["g++", "-Wall", "-Wextra", "-Werror", main, tmp_path / "one.o", "-lm", "-o", program], check=True
        )
        subprocess.run([program], check=True)
        command = ["g++", "-c", str(tmp_path / "one.c"), "-o", os.devnull]
        errors = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        assert "compile this file as C" in errors
        assert errors.count("error:") == 1


@needs_gcc
def test_a_files_test_allows_the_modules_own_rounding_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "c143.c"
    sweep((143,), tmp_path)  # its float32 results are 4.4e-6 off those in float64
    text = path.read_text()
    (bound,) = {float(found) for found in re.findall(r"compare\(out0, \w+, 3, ([\d.e-]+)f", text)}
    assert 1e-5 < bound < 3e-5
    path.write_text(re.sub(r"(_y1_0\[3\] = \{\s*)(-?[\d.]+)", lambda m: f"{m[1]}{float(m[2]) + 2 * bound}", text))
    assert subprocess.run([compiled(path)], check=False).returncode == 1


@needs_gcc
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_int8_layers_round_as_converted_ones_do(kind: type[nn.LSTM | nn.GRU], tmp_path: Path) -> None:
    torch.manual_seed(0)
    # 33 units: numbers of gates and inputs that no four divide.
    model, x, path = hs.convert(kind(7, 33, 2).eval(), weights="int8"), torch.randn(4, 1, 7), tmp_path / "m.c"
    hs.export_c(model, path, args=(x,))
    text, bounds = path.read_text(), re.compile(r"(compare\(\w+, \w+, \d+, )([\d.e-]+)f")
    assert max(float(bound) for _, bound in bounds.findall(text)) > 1e-4  # how far off float products would be
    path.write_text(bounds.sub(r"\g<1>0.0f", text))
    passes(path, *SANITIZED)
    if kernels.int8() is not None:
        graph, tensors, _ = graph_of(model, (x,))
        results, _ = run_graph(graph, [x.numpy()], tensors, rounds=True)
        for got, want in zip(results, run_torch(model, (x,)), strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_what_a_step_cannot_compute_fails(tmp_path: Path) -> None:
    path, ids, x = tmp_path / "model.c", torch.tensor([[1, 2], [3, 4]]), torch.randn(3, 2, 4)
    cases: tuple[tuple[nn.Module, Any, str], ...] = (
        (nn.Sequential(Words(), Mean()), (ids,), "mean.* needs all time steps at once: return what it is taken of"),
        (Both(), (ids,), "bidirectional, .*: hiddenstate.save writes it for whole"),
        (nn.GRU(4, 3), (x, torch.zeros(1, 2, 3)), "takes its state from an argument: a cell may"),
    )
    for model, args, message in cases:
        with pytest.raises(ArgumentError, match=message):
            hs.export_c(model.eval(), path, args=args)
    for bad in (None, 3):
        with pytest.raises(ArgumentTypeError):
            hs.export_c(Words(), bad, args=(torch.tensor([[1, 2]]),))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Both(Words):
    def __init__(self) -> None:
        super().__init__()
        self.gru = hs.GRU(4, 3, batch_first=True, bidirectional=True)
