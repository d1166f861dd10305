"""`hiddenstate tag` beside `tagger.tag` on the same sentences: the cost of parsing, formatting and writing.

    python benchmarks/tag_command.py --text FILE.conllu [--turns N] [--jobs 1 2]

Speeds are those of the command relative to `tagger.tag`, in turns of one run, without starting the interpreter and the
workers. CPU seconds are those of this process, so they are not counted for a command with several jobs.
"""

import argparse
import io
import time
from collections.abc import Callable
from statistics import median

import machine
from hiddenstate.cli.tag_stream import Batches, Workers, feed
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.text.conllu import read_conllu


def command(file: str, workers: Workers) -> str:
    """Return the output of the command."""
    written = io.StringIO()
    batches = Batches(workers, written, lambda count: None, "conllu", None)
    feed(file, None, batches)
    batches.flush()
    return written.getvalue()


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def speeds(file: str, model: str, jobs: int, turns: int) -> tuple[float, float]:
    """The speed of the command over that of `Tagger.tag`, by the clock and by CPU seconds; medians of turns."""
    tagger, texts = load_tagger(model), [sentence.forms for sentence in read_conllu(file)]
    ratios = list[tuple[float, float]]()
    with Workers(model, "fp32", jobs) as workers:
        command(file, workers)
        tagger.tag(texts)
        for _ in range(turns):
            theirs, ours = timed(lambda: tagger.tag(texts)), timed(lambda: command(file, workers))
            ratios.append((theirs[0] / ours[0], theirs[1] / ours[1]))
    clock, cpu = zip(*ratios, strict=True)
    return median(clock), median(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, metavar="FILE", help="CoNLL-U to tag")
    parser.add_argument("--model", default="tagger-en", help="folder or name of a tagger")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], metavar="N")
    options = parser.parse_args()
    print("\n".join(machine.described()))
    watch = machine.Watch()
    for jobs in options.jobs:
        clock, cpu = speeds(options.text, options.model, jobs, options.turns)
        by_cpu = f", {cpu:.2f} by CPU seconds" if jobs == 1 else ""
        print(f"--jobs {jobs}: {clock:.2f} times the speed of tagger.tag{by_cpu}")
    if warning := watch.warning():
        print(f"\nMeanwhile {warning}")


if __name__ == "__main__":
    main()
