"""Make text for training the character models that give a tagger contextual word vectors.

    python examples/text_for_contexts.py --sentences TRAIN.conllu --more wikitext-2:train --out contexts.txt

Such a model reads a sentence from its beginning, words with blanks between, so the text has one sentence per line,
shuffled: those of the treebank (several times, since they are few), those of a larger text with blanks between its
words, and lines that are already sentences, from text_of_packages.py.
"""

import argparse
import random
import re
from pathlib import Path

from hiddenstate.text import corpus_path, read_conllu, read_text

# WikiText's marks: a joined hyphen, comma or point, and a word that was left out.
JOINED, LEFT_OUT = re.compile(r" @([-,.])@ "), "<unk>"
SENTENCE_END = re.compile(r'(?<= [.?!]) (?=[A-Z"])')


def sentences_of(text: str) -> list[str]:
    """Split text with blanks between words into sentences; its headings are left out."""
    found: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("="):
            found += SENTENCE_END.split(JOINED.sub(r"\1", line).replace(LEFT_OUT, "unk"))
    return found


def main() -> None:
    """Write the text that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", required=True, metavar="FILE", help="CoNLL-U, or a corpus's part")
    parser.add_argument("--more", metavar="FILE", help="text, or a corpus's part")
    parser.add_argument("--lines", metavar="FILE", help="text with a sentence a line, and blanks between its words")
    parser.add_argument("--times", type=int, default=3, help="how often the sentences of the first file are in it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    options = parser.parse_args()
    lines = sentences_of(read_text(corpus_path(options.more))) if options.more else []
    lines += read_text(corpus_path(options.lines)).splitlines() if options.lines else []
    lines += [" ".join(sentence.forms) for sentence in read_conllu(corpus_path(options.sentences))] * options.times
    random.Random(options.seed).shuffle(lines)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines):,} sentences in {options.out}")


if __name__ == "__main__":
    main()
