"""Make a tagger to start training from, whose word vectors encode the neighbours of each word in untagged text.

    python examples/start_from_neighbours.py --config CONFIG.toml --untagged wikitext-2:train more.txt --out neighbours
    hiddenstate train tagger --config CONFIG.toml --start neighbours --out tagger

Words with the same neighbours tend to have the same parts of speech, so a word that is missing from the treebank, or
occurs there only once, is not quite unknown. For each word, it counts how often each of the most frequent words occurs
at each of four positions: two before, one before, one after, two after. Counts become positive pointwise mutual
information, and its largest singular vectors the vectors (Levy and Goldberg 2014, "Neural word embedding as implicit
matrix factorization"). Everything else is as in any new tagger.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hiddenstate as hs
from hiddenstate.models import TAGGER_RUN, Tagger
from hiddenstate.text import UNKNOWN, Vocabulary, corpus_path, read_conllu, read_untagged
from hiddenstate.training import read_run_file

PLACES = {-2: 0.5, -1: 1.0, 1: 1.0, 2: 0.5}  # and how much each counts
FIRST = UNKNOWN + 1  # the first id that is a word
SMOOTHED = 0.75  # frequent neighbours count as less frequent than they are


def row_of(sentences: Sequence[Sequence[str]], words: Vocabulary) -> NDArray[np.int64]:
    """Put all words' ids in one row, with a border (the next free id) twice between sentences."""
    border = [len(words)] * 2
    rows = [[*border, *words.ids([word.lower() for word in sentence])] for sentence in sentences]
    return np.array([number for row in [*rows, border] for number in row], dtype=np.int64)


def information(row: NDArray[np.int64], words: int, contexts: int) -> NDArray[np.float32]:
    """Return the positive pointwise mutual information of words and of the most frequent words at each place."""
    frequent = np.argsort(-np.bincount(row, minlength=words + 1), kind="stable")[:contexts]
    columns = np.full(words + 1, -1)
    columns[frequent] = np.arange(len(frequent))
    parts = []
    middle = np.arange(2, len(row) - 2)
    for place, weight in PLACES.items():
        word, column = row[middle], columns[row[middle + place]]
        counted = (word < words) & (column >= 0)
        cells = word[counted] * len(frequent) + column[counted]
        counts = np.bincount(cells, minlength=words * len(frequent)).reshape(words, -1).astype(np.float32)
        expected = counts.sum(0) ** SMOOTHED
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1) / np.maximum(expected / expected.sum(), 1e-12)
        parts.append(np.log(np.maximum(shares, 1)) * np.float32(weight))
    return np.concatenate(parts, axis=1)


def vectors_of(seen: NDArray[np.float32], size: int, spread: float) -> Tensor:
    """Return the rows as vectors of this many numbers, all of the same length: their root mean square is ``spread``."""
    left, values, _ = torch.svd_lowrank(torch.from_numpy(seen), q=min(size + 16, *seen.shape), niter=3)
    vectors = (left * values.sqrt())[:, :size]
    unit: Tensor = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return unit * spread * math.sqrt(size)


def main() -> None:
    """Write the tagger that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=Path, help="as for hiddenstate train tagger: sizes, data, seed")
    parser.add_argument("--untagged", required=True, nargs="+", metavar="FILE", help="text, or corpora's parts")
    parser.add_argument("--contexts", type=int, default=2000, help="how many neighbours are told apart")
    parser.add_argument("--spread", type=float, default=0.3, help="root mean square of a vector's numbers")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    options = parser.parse_args()
    wanted = read_run_file(options.config, TAGGER_RUN)
    tagged = read_conllu(corpus_path(wanted.files["train"]))
    more = [words for path in options.untagged for words in read_untagged(corpus_path(path))]
    torch.manual_seed(wanted.settings.seed)
    tagger = Tagger.build(wanted.settings, tagged, untagged=more)
    words = tagger.encoder.words
    row = row_of([*(sentence.forms for sentence in tagged), *more], words)
    vectors = vectors_of(information(row, len(words), options.contexts), wanted.settings.word_size, options.spread)
    with torch.no_grad():
        tagger.word_embedding.weight[FIRST:, : vectors.shape[1]] = vectors[FIRST:]
    hs.save(tagger, options.out)
    print(f"{len(words) - FIRST:,} words with vectors of {vectors.shape[1]} numbers in {options.out}")


if __name__ == "__main__":
    main()
