"""Assembles the JavaScript package in build/js: the studio's runtime with relative imports, its types, and native.wasm.

Building native.wasm needs Clang with the linker and the C++ library for WebAssembly: on Debian and Ubuntu, the packages
clang, lld, libc++-dev-wasm32 and libclang-rt-dev-wasm32. Without them, the package has no native engine.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "build_backend"))
import studio_page  # noqa: E402

WEB = ROOT / "web"
NATIVE = ROOT / "native"
COMPILERS = ("clang++", *(f"clang++-{version}" for version in range(25, 15, -1)))
OPTIONS = (
    *("--target=wasm32-wasi", "-std=c++17", "-O3", "-msimd128", "-fno-exceptions", "-ffp-contract=fast"),
    *(f"-I{NATIVE / 'runtime/wasm'}", f"-I{NATIVE}"),
)
# The headers of the kinds of cells, and how many scans each has: every, or few, without int8.
KINDS = dict(re.findall(r" (\w+), (every|few),", (NATIVE / "kernel/kinds.h").read_text(encoding="utf-8")))
SCANS = [("scan", cell) for cell in KINDS] + [("scan_int8", cell) for cell, sets in KINDS.items() if sets == "every"]
DEFINED = ("INFERENCE", "ISA=generic", "BYTES=16")
LINKING = ("-mexec-model=reactor", "-Wl,--gc-sections", "-Wl,-s", "-Wl,-z,stack-size=1048576")
_MODULE = re.compile(r'"studio/([^"]+)"')


def write(target: Path) -> None:
    """Write the package to a folder, replacing it.

    Raises:
        studio_page.PageError: Node or npm's packages can't be had, or the sources are wrong.
    """
    shutil.rmtree(target, ignore_errors=True)
    studio_page.run("build.mjs", "--package", str(target.absolute()))
    with tempfile.TemporaryDirectory() as types:
        studio_page.run("node_modules/typescript/bin/tsc", "-p", str(HERE), "--outDir", types)
        for folder in (Path(types, "web"), Path(types, "runtime", "js")):
            shutil.copytree(folder, target, dirs_exist_ok=True)
    for path in [*target.rglob("*.js"), *target.rglob("*.d.ts")]:
        up = "./" + "../" * (len(path.relative_to(target).parts) - 1)
        path.write_text(_MODULE.sub(lambda match, up=up: f'"{up}{match[1]}"', path.read_text()))
    for path in (HERE / "package.json", HERE / "README.md", ROOT / "LICENSE"):
        shutil.copy(path, target)
    shutil.copy(WEB / "node_modules/@noble/hashes/LICENSE", target / "LICENSE-noble-hashes")


def compile_native(target: Path) -> str | None:
    """Compile native.wasm into a folder, or return why that is impossible."""
    why = "there is no Clang"
    for name in [os.environ["WASM_CXX"]] if "WASM_CXX" in os.environ else COMPILERS:
        compiler = shutil.which(name)
        if compiler is None:
            continue
        why = _what_lacks(compiler)
        if why is None:
            _compile_with(compiler, target / "native.wasm")
            return None
    return why


def _what_lacks(compiler: str) -> str | None:
    """Return what this compiler lacks for WebAssembly, or None if it can compile and link a program."""
    with tempfile.TemporaryDirectory() as folder:
        program = [*OPTIONS, *LINKING, "-x", "c++", "-", "-o", str(Path(folder) / "program.wasm")]
        source = "#include <vector>\nint size(int n) { return int(std::vector<int>(n).size()); }\n"
        done = subprocess.run([compiler, *program], input=source, capture_output=True, text=True)
    return f"{compiler}: {done.stderr.strip().partition(chr(10))[0]}" if done.returncode else None


def _compile_with(compiler: str, target: Path) -> None:
    run = partial(subprocess.run, check=True)
    with tempfile.TemporaryDirectory() as folder:
        scans = [str(Path(folder) / f"{source}_{cell}.o") for source, cell in SCANS]
        for (source, cell), scan in zip(SCANS, scans, strict=True):
            precision = ["PRECISION=F32"] if source == "scan" else []
            defined = [f"-DHIDDENSTATE_{name}" for name in (*DEFINED, *precision, f"CELL={cell}")]
            run([compiler, *OPTIONS, *defined, "-c", str(NATIVE / f"kernel/{source}.cpp"), "-o", scan])
        sources = [str(NATIVE / name) for name in ("runtime/wasm/layer.cpp", "platform/caches.cpp")]
        run([compiler, *OPTIONS, *sources, *scans, *LINKING, "-o", str(target)])


if __name__ == "__main__":
    write(ROOT / "build" / "js")
    if (why := compile_native(ROOT / "build" / "js")) is not None:
        print(f"The package has no native engine, so layers run 4 to 8 times slower: {why}")
