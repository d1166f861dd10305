"""The standing attack: damaged files, resource bombs, unwritable places, killed training, bad clients.

``python tests/attack.py --count 1000`` reads a thousand damaged files of each format, breaks ten runs of each kind and
sends the studio's server a thousand requests that no browser sends. It also makes a thousand random calls, of layers
and cells of every kind, and as many of each other kind of attempt in `attacks.state`. To repeat a single one, such as
``trace 17``, use ``--only trace --first 17 --count 1``. ``--files 1000000`` reads that many damaged files, of all
formats together, and does nothing else; ``--seconds`` ends it earlier.
"""

import argparse
import sys
from typing import Any

import torch
import torch._dynamo  # by whom trains or captures: here, or in each process anew

from attacks.bombs import BOMBS
from attacks.clients import attack_server
from attacks.files import blow_up
from attacks.formats import FORMATS
from attacks.hdf5 import hurry
from attacks.many import read_format, read_many
from attacks.processes import done
from attacks.runs import KINDS, break_runs
from attacks.state import CHECKS, attack
from attacks.writes import MORE_THINGS, THINGS, write_badly, write_nowhere


def main() -> None:
    """Run the requested attacks, and print the results."""
    hurry()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damaged files of each format, and bad requests")
    parser.add_argument("--runs", type=int, default=10, help="runs of each kind of model that are broken")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--files", type=int, help="damaged files of all formats together, and nothing else")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="the most that --files may take")
    kinds = ["bombs", "server", "writes", "read-only"]
    every = (*kinds, *CHECKS, *FORMATS, *(f"{kind}-runs" for kind in KINDS))
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=every, default=every)
    options = parser.parse_args()
    torch.set_num_threads(1)
    first, count = options.first, options.count
    if options.files:
        sys.exit(not read_many(options.files, first, options.seconds))
    jobs: dict[str, tuple[Any, ...]] = {
        **{f"bomb {name}": ("bombs", blow_up, name) for name in BOMBS},
        **{f"{kind}-runs": (f"{kind}-runs", break_runs, kind, first, options.runs) for kind in KINDS},
        "writes": ("writes", write_badly, first, count),
        **{f"read-only {name}": ("read-only", write_nowhere, name) for name in (*THINGS, *MORE_THINGS)},
        "server": ("server", attack_server, first, count),
    }
    only = options.only
    well = [read_format(name, first, count) for name in FORMATS if name in only]
    well += [done(name, *work) for name, (of, *work) in jobs.items() if of in only]
    # Layers' calls need processes with threads of their own, which a forked one may not start.
    ways = {name: "fork" if name.startswith("index") else "spawn" for name in CHECKS}
    well += [done(name, attack, name, first, count, way=way) for name, way in ways.items() if name in only]
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
