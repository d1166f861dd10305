"""The studio's page in Chromium: its first sight, frames while steps are scrubbed, and memory after 1,000 steps.

    python benchmarks/page_speed.py [--chromium FILE] [--turns 4]

For 10,000 steps of 8 series, and for a sentence. A frame of a screen with 60 frames a second takes 16.7 ms.
"""

import argparse
import time
from itertools import product
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import hiddenstate as hs
import machine

STEPS, FEATURES = 10_000, 8
SIZES = (1440, 900), (390, 844)
SENTENCE = "She said the old man who sold us the house could not remember why he had left the city ."
SEEN = "() => document.querySelector('.heat-value')?.textContent.includes('=')"
# Presses an arrow key at each frame; returns the median and the 95th percentile of the times between frames.
SCRUB = """async (count) => {
  const times = [];
  let last = performance.now();
  for (let k = 0; k < count; k++) {
    const key = k % 40 < 20 ? "ArrowRight" : "ArrowLeft";
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  times.sort((a, b) => a - b);
  return [times[count >> 1], times[Math.floor(0.95 * count)]];
}"""


class Forecaster(nn.Module):
    """A layer that reads numbers, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.linear = nn.LSTM(FEATURES, 64, batch_first=True), nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.linear(self.rnn(x)[0])
        return values


def series() -> Any:
    """A studio with a forecaster and the series that it reads."""
    names = [f"series {k}" for k in range(FEATURES)]
    numbers = np.random.default_rng(0).normal(size=(STEPS, FEATURES)).cumsum(axis=0) / 50
    frame = pd.DataFrame(numbers, columns=names, index=pd.date_range("2020-01-01", periods=STEPS, freq="h"))
    return hs.studio(hs.series_model(Forecaster(), names, names[:1]), x=frame)


def first_sight(browser: Any, size: tuple[int, int], address: str, seen: str) -> tuple[Any, float]:
    """Open a page in a new tab; return the tab, and the seconds until a function of JavaScript says that it is seen."""
    tab = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    tab.goto("about:blank")
    tab.wait_for_timeout(2000)  # the browser itself starts
    began = time.perf_counter()
    tab.goto(address)
    tab.wait_for_function(seen)
    return tab, time.perf_counter() - began


def heap(tab: Any) -> float:
    """MB of JavaScript's heap after a collection."""
    session = tab.context.new_cdp_session(tab)
    session.send("HeapProfiler.collectGarbage")
    size: float = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    return size


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", help="the browser, if not playwright's own")
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    print("\n".join(machine.described()))
    studios = {"series": series(), "sentence": hs.studio("tagger-en", text=SENTENCE)}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=options.chromium)
        for (name, studio), size in product(studios.items(), SIZES):
            sights, frames, sizes = [], [], []
            with studio.start() as started:
                for _ in range(options.turns):
                    tab, seconds = first_sight(browser, size, f"{started.url}#page=read", SEEN)
                    sights.append(seconds)
                    before = heap(tab)
                    frames.append(tab.evaluate(SCRUB, 240))
                    tab.evaluate(SCRUB, 1000)
                    sizes.append((before, heap(tab)))
                    tab.close()
            (middle, late), (before, after) = (map(median, zip(*pairs, strict=True)) for pairs in (frames, sizes))
            sight = f"first sight {sights[0]:.2f} s, then {median(sights[1:] or sights):.2f} s"
            frame = f"a frame {middle:.1f} ms, 95th percentile {late:.1f} ms"
            memory = f"heap {before:.1f} MB, after 1,000 steps more {after:.1f} MB"
            print(f"{name}, {size[0]} px: {sight}; {frame}; {memory}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
