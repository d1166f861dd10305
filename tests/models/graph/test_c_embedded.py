"""An exported C file passes its test on an emulated Cortex-M4 (`make c-embedded`)."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import hiddenstate as hs
from exported_c import Denoiser
from models.graph.test_c_file import WARNINGS

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing), reason=f"not installed: {' and '.join(missing)}"),
]

HERE = Path(__file__).parent / "embedded"
TARGET = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O2", "-ffunction-sections")
# A tick of the system's timer is 40 ns; with -icount shift=0 an instruction is 1 ns.
COUNTING = """
#include <stdio.h>
#define STEPS 10
int main(void)
{
    static NAME_state s;
    static float x[512], out[4][512];
    volatile uint32_t *timer = (volatile uint32_t *)0xE000E010u;
    NAME_init(&s);
    timer[1] = 0xFFFFFF, timer[2] = 0, timer[0] = 5;
    const uint32_t before = timer[2];
    for (int k = 0; k < STEPS; ++k) NAME_step(&s, x, RESULTS);
    printf("%lu instructions\\n", (unsigned long)((before - timer[2]) & 0xFFFFFF) * 40 / STEPS);
    return 0;
}
"""


def on_the_device(source: Path, *options: str) -> str:
    """Compile a program for the device, run it there, and return what it prints."""
    program = source.with_suffix(".elf")
    linked = ("--specs=rdimon.specs", "-T", str(HERE / "mps2.ld"), "-Wl,--gc-sections")
    command = [COMPILER, *TARGET, *WARNINGS[:-1], *options, str(source), str(HERE / "start.c")]
    result = subprocess.run([*command, *linked, "-o", str(program), "-lm"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr, result.stderr
    machine = (
        EMULATOR,
        "-M",
        "mps2-an386",
        "-nographic",
        "-semihosting",
        "-icount",
        "shift=0",
        "-kernel",
        str(program),
    )
    result = subprocess.run(machine, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result
    return result.stdout


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "denoiser": (Denoiser, (1, 5, 42), "out[0]"),
    "silero": (lambda: nn.LSTM(128, 128), (5, 1, 128), "out[0], out[1], out[2]"),
    "silero_int8": (lambda: hs.LSTM(128, 128).quantize(), (5, 1, 128), "out[0], out[1], out[2]"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_passes_its_test_on_a_cortex_m4(name: str, tmp_path: Path) -> None:
    make, shape, results = MODELS[name]
    path = tmp_path / f"{name}.c"
    print(hs.export_c(make().eval(), path, args=(torch.randn(shape),)))
    on_the_device(path, f"-D{name.upper()}_SELFTEST")
    count = tmp_path / "count.c"
    count.write_text(f'#include "{name}.c"\n' + COUNTING.replace("NAME", name).replace("RESULTS", results))
    printed = on_the_device(count)
    print(printed)
    instructions = re.search(r"(\d+) instructions", printed)
    assert instructions is not None
    assert int(instructions[1]) > 1000
