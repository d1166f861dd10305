"""The cost of explanations: of one sentence in milliseconds, and relative to plain runs of as many rows.

    python benchmarks/explanations.py [--seconds S] [--threads K]

Figures are medians of turns, as in run.py.
"""

import argparse
import resource
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import hiddenstate as hs
import machine
from contestants import Contestant, itself
from hiddenstate.explain.subject.target import resolve_target
from hiddenstate.explain.sweep.run import slopes
from hiddenstate.models.model_folder import load_tagger, shipped
from measure import Pace, medians
from report import print_figures

SENTENCE = "The old man who sold us the house could not remember why he had left the city last year ."
UNITS, LAYERS, FEATURES, STEPS, SWEPT = 256, 2, 64, 16, 20
ROWS = 1024  # of the plain run, which many rows make no faster
LONG, SHORT = Pace(turn=1.0, pause=0.05), Pace()


def sentence(seconds: float) -> None:
    """Milliseconds for a sentence of 20 words, read by the shipped tagger; the text is read again each time."""
    tagger, words = load_tagger(shipped()), SENTENCE.split()
    assert len(words) == 20
    verb = hs.explain.logit("VERB", word="left", against="NOUN")
    attribute = partial(hs.explain.attribute, tagger, words, of=verb)
    jobs: dict[str, Callable[[], object]] = {
        "ledger of a unit": partial(hs.explain.ledger, tagger, words, place="l1.c[125]"),
        "ledger of all units": partial(hs.explain.ledger, tagger, words, place="l1.c"),
        "ledger of a logit": partial(hs.explain.ledger, tagger, words, place=verb),
        "frozen, alone": partial(attribute, method="frozen", occlusion=False),
        "frozen, occlusion beside": partial(attribute, method="frozen"),
        "contextual decomposition": partial(attribute, method="cd", occlusion=False),
        "gradient": partial(attribute, method="gradient", occlusion=False),
        "occlusion": partial(attribute, method="occlusion"),
    }
    runs = [Contestant(name, run, itself) for name, run in jobs.items()]
    _tell("a sentence of 20 words, ms", runs, [1000 * each for each in medians(runs, seconds, SHORT)])


def exact_shapley(seconds: float) -> None:
    """Exact Shapley values of 16 steps beside plain runs of as many row-steps, and the memory that they take."""
    torch.manual_seed(0)
    lstm, head = hs.LSTM(FEATURES, UNITS, LAYERS).eval(), nn.Linear(UNITS, 4)
    subject = hs.explain.subject(lstm, torch.randn(STEPS, FEATURES), head=head)
    shapley = partial(hs.explain.attribute, subject, of=hs.explain.logit("1"), occlusion=False)
    hs.explain.attribute(subject, of=hs.explain.logit("1", word=3))  # everything is loaded
    before = _most_memory()
    cost = shapley().cost
    taken = _most_memory() - before
    plain = partial(_plain, lstm, torch.randn(STEPS, ROWS, FEATURES), cost)
    runs = [Contestant("exact Shapley values", shapley, itself), Contestant("plain runs", plain, itself)]
    times = medians(runs, seconds, LONG)
    _tell(f"{cost:,} row-steps of {LAYERS} layers of {UNITS} units, s", runs, times)
    print(f"  {'ratio':<28}{times[0] / times[1]:>12.2f}\n  {'memory more than before, MB':<28}{taken:>12.0f}")


def sweep(seconds: float) -> None:
    """A sweep of c and h beside plain runs of as many rows, and its estimate beside a training step."""
    torch.manual_seed(0)
    lstm = hs.LSTM(UNITS, UNITS, LAYERS).eval()
    clean, corrupt = torch.randn(2, SWEPT, 1, UNITS)
    of = f"l{LAYERS - 1}.h[3]@{SWEPT - 1}"
    rows = 2 * LAYERS * UNITS * SWEPT
    swept = partial(hs.explain.sweep, lstm, clean, corrupt, of=of)
    plain = partial(_plain, lstm, torch.randn(SWEPT, ROWS, UNITS), rows * SWEPT)
    runs = [Contestant("sweep", swept, itself), Contestant("plain runs", plain, itself)]
    times = medians(runs, seconds, LONG)
    _tell(f"{rows:,} patches of {SWEPT} steps, {LAYERS} layers of {UNITS} units, s", runs, times)
    print(f"  {'ratio':<28}{times[0] / times[1]:>12.2f}")
    subject = hs.explain.subject(lstm, clean)
    target = resolve_target(of, subject)
    runs = [
        Contestant("slopes of all values", partial(slopes, subject, target), itself),
        Contestant("forward and backward", partial(_trained, lstm, clean), itself),
    ]
    times = [1000 * each for each in medians(runs, seconds, SHORT)]
    _tell("the estimate of all patches, ms", runs, times)
    print(f"  {'ratio':<28}{times[0] / times[1]:>12.2f}")


def _trained(lstm: hs.LSTM, x: Tensor) -> None:
    lstm.zero_grad()
    lstm(x)[0][-1, 0, 3].backward()


def _plain(lstm: hs.LSTM, x: Tensor, row_steps: int) -> None:
    with torch.no_grad():
        for _ in range(round(row_steps / (x.shape[0] * x.shape[1]))):
            lstm(x)


def _most_memory() -> float:
    """The peak memory of this process so far, in MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _tell(title: str, runs: list[Contestant], figures: list[float]) -> None:
    print_figures(title, dict(zip((run.name for run in runs), figures, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="measuring time of each table")
    parser.add_argument("--threads", type=int, help="threads that compute; as many as torch takes without")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print("\n".join(machine.described()))
    watch = machine.Watch()
    sentence(options.seconds)
    exact_shapley(options.seconds)
    sweep(options.seconds)
    if warning := watch.warning():
        print(f"\nMeanwhile {warning}")


if __name__ == "__main__":
    main()
