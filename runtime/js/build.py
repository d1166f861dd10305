"""Assembles the JavaScript package in build/js: index.js, the studio's runtime with relative imports, and native.wasm.

native.wasm needs Clang with WebAssembly's linker and C++ library: on Debian and Ubuntu clang, lld, libc++-dev-wasm32 and
libclang-rt-dev-wasm32. Without them the package has no native engine.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STATIC = ROOT / "src" / "hiddenstate" / "studio" / "static"
COMPILERS = ("clang++", *(f"clang++-{version}" for version in range(25, 15, -1)))
CELLS = ("lstm", "gru", "rnn")
OPTIONS = ("--target=wasm32-wasi", "-std=c++17", "-O3", "-msimd128", "-fno-exceptions", "-ffp-contract=fast")
LINKING = ("-mexec-model=reactor", "-Wl,--gc-sections", "-Wl,-s", "-Wl,-z,stack-size=1048576")
_MODULE = re.compile(r'"studio/([^"]+)"')


def write(target: Path) -> None:
    """Write the package to a folder, replacing it."""
    shutil.rmtree(target, ignore_errors=True)
    sources = {source.relative_to(STATIC): source for source in (STATIC / "runtime").rglob("*.js")}
    for name, source in {**sources, Path("types.js"): STATIC / "types.js", Path("index.js"): HERE / "index.js"}.items():
        up = "./" + "../" * (len(name.parts) - 1)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(_MODULE.sub(lambda match, up=up: f'"{up}{match[1]}"', source.read_text()))
    for path in (HERE / "package.json", HERE / "README.md", HERE / "tsconfig.json", ROOT / "LICENSE"):
        shutil.copy(path, target)


def compile_native(target: Path) -> str | None:
    """Compile native.wasm into a folder; return why there is none."""
    native = ROOT / "native"
    wasm = native / "runtime" / "wasm"
    named = os.environ.get("WASM_CXX")
    found = [named] if named else [path for name in COMPILERS if (path := shutil.which(name))]
    options = [*OPTIONS, f"-I{wasm}", f"-I{native}"]
    scan = ["-DHIDDENSTATE_INFERENCE", "-DHIDDENSTATE_PRECISION=F32", "-DHIDDENSTATE_ISA=generic", "-DHIDDENSTATE_BYTES=16"]
    why = "there is no Clang"
    with tempfile.TemporaryDirectory() as folder:
        parts = [str(Path(folder) / f"{name}.o") for name in ("layer", *CELLS)]
        for compiler in found:
            layer, *scans = ([compiler, *options, "-c", "-o", part] for part in parts)
            commands = [[*layer, str(wasm / "layer.cpp")]]
            for cell, command in zip(CELLS, scans, strict=True):
                commands.append([*command, *scan, f"-DHIDDENSTATE_CELL={cell}", str(native / "kernel" / "scan.cpp")])
            commands.append([compiler, *OPTIONS, *LINKING, *parts, "-o", str(target / "native.wasm")])
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    why = f"{compiler}: {done.stderr.strip().splitlines()[0]}"
                    break
            else:
                return None
    return why


if __name__ == "__main__":
    write(ROOT / "build" / "js")
    if (why := compile_native(ROOT / "build" / "js")) is not None:
        print(f"The package has no native engine, so layers run some ten times slower: {why}")
