"""Checks of chapter 3: part-of-speech tagging."""

import copy
import itertools
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set

import torch

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    case,
    difference,
    number,
    same,
    seeded,
    wrong,
)
from hiddenstate.course.exercises.training_loops import padded_batch, refuse_other_loops
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

Tagged = list[list[tuple[str, str]]]
TAGS = ("NOUN", "VERB", "ADJ")
DRAWN = ((41, 15), (147, 12), (68, 11))  # seeds of drawn texts, and their numbers of words
LENGTHS = ((5, 2, 3), (4, 4), (1, 6, 2))  # of the sentences of three batches


def baseline(answer: object) -> str:
    """Check exercise 3.2: the accuracy of each word's most frequent tag."""
    texts = [_drawn(seed, words) for seed, words in DRAWN]
    right = [_share(train, held) for train, held in texts]
    results = [number(_called_with_unknown(answer, train, held)) for train, held in texts]
    if not all(map(same, results, right)):
        with case(f"On a drawn text with {sum(map(len, texts[0][1]))} held-out words"):
            raise _other_shares(answer, results, right, texts)
    return "Held-out words are tagged using counts of the training part. On the course's text this is right for 85 %."


def _called_with_unknown(answer: object, train: Tagged, held: Tagged) -> object:
    """Call an answer; if it raises an error because of words that do not occur in train, say so."""
    try:
        return called(answer, copy.deepcopy(train), copy.deepcopy(held))
    except AnswerError as error:
        cause = error.__cause__
        if isinstance(cause, IndexError | KeyError):
            called(answer, copy.deepcopy(train), copy.deepcopy(train))  # without unknown words
            sentence = "That is an unknown word, which has no counts: give it the most frequent tag of all."
            raise wrong(f"{error} {sentence}") from cause
        raise


def _drawn(seed: int, words: int) -> tuple[Tagged, Tagged]:
    """Draw words, each with one tag that is more frequent than the others; some occur only in the held-out part.

    One tag is the most frequent because of a single word; most words have a different one.
    """
    with seeded(seed):
        orders = [torch.randperm(3).tolist() for _ in range(words + 3)]  # each word's tags, the most frequent one last
        for k in range(0, words, 2):
            orders[k].append(orders[k].pop(orders[k].index((seed + 1) % 3)))
        train = [("w0", TAGS[seed % 3])] * 4 * words
        for k in range(words):
            for count, tag in zip((1, 2, 4), orders[k], strict=True):
                train += [(f"w{k}", TAGS[tag])] * count
        train = [train[int(k)] for k in torch.randperm(len(train))]
        places = torch.multinomial(torch.tensor([0.15, 0.25, 0.6]), 97, replacement=True).tolist()
        drawn = zip(torch.randint(words + 3, (97,)).tolist(), places, strict=True)
        held = [(f"w{word}", TAGS[orders[word][place]]) for word, place in drawn]
    return [train[k : k + 7] for k in range(0, len(train), 7)], [held[k : k + 6] for k in range(0, len(held), 6)]


def _counts(sentences: Tagged) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Count the tags of each word, and of all words."""
    by_word: dict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in (pair for sentence in sentences for pair in sentence):
        by_word[word][tag] += 1
    return by_word, sum(by_word.values(), Counter[str]())


def _share(train: Tagged, held: Tagged, unknown: str | None = None, count_unknown: bool = True) -> float:
    """Return the accuracy of the most frequent tag, with several ways to treat unknown words."""
    by_word, over_all = _counts(train)
    tags = {word: counter.most_common(1)[0][0] for word, counter in by_word.items()}
    return _accuracy(tags, held, over_all.most_common(1)[0][0] if unknown is None else unknown, count_unknown)


def _accuracy(tags: Mapping[str, str], held: Tagged, unknown: str, count_unknown: bool = True) -> float:
    pairs = [pair for sentence in held for pair in sentence if count_unknown or pair[0] in tags]
    return sum(tags.get(word, unknown) == tag for word, tag in pairs) / len(pairs)


def _other_shares(
    answer: object, results: list[float], right: list[float], texts: list[tuple[Tagged, Tagged]]
) -> AnswerError:
    """Explain wrong shares: by an error that gives all of them, or by the words that are not counted as they should."""
    by_text = (_typical_shares(result, *text) for result, text in zip(results, texts, strict=True))
    for errors in zip(*by_text, strict=True):
        if all(same(result, error.result) for result, error in zip(results, errors, strict=True)):
            return wrong(errors[0].sentence, errors[0].about)
    train, held = texts[0]
    known = _counts(train)[0].keys()
    compared = []
    for is_known, which in ((True, "known"), (False, "unknown")):
        part = [[pair] for pair in itertools.chain(*held) if (pair[0] in known) is is_known]
        share, expected = number(_called_with_unknown(answer, train, part)), _share(train, part)
        verdict = "which is right" if same(share, expected) else f"and should give {expected:.2f}"
        compared.append(f"for {which} words alone it gives {share:.2f}, {verdict}")
    return wrong(f"{difference(results[0], right[0])} {'; '.join(compared).capitalize()}.")


def _typical_shares(result: float, train: Tagged, held: Tagged) -> Iterator[Typical]:
    right = _share(train, held)
    nothing = "Not a single word is right. Compare tags with tags (a pair is (word, tag)), and divide with /."
    yield Typical(nothing, 0.0)
    by_word, over_all = _counts(train)
    most, total = over_all.most_common(1)[0][0], sum(map(len, held))
    known = _share(train, held, unknown="")
    both = " comes from counts of both parts. The held-out part contains the answers: count in train."
    skipped = f" counts the right words, except unknown ones. Divide by {total}, and give unknown words the most "
    skipped += "frequent tag."
    last = {word: tag for sentence in train for word, tag in sentence}
    first = {word: tag for sentence in reversed(train) for word, tag in reversed(sentence)}
    rare = {word: min(counter, key=counter.__getitem__) for word, counter in by_word.items()}
    seen_last = " gives each word the last tag it was seen with. Take the most frequent one."
    seen_first = " gives each word the first tag it was seen with. Take the most frequent one."
    rarest = " gives each word its least frequent tag. Take the most frequent one."
    mean = " is the mean of the sentences' shares. Count over all held-out words: sentences differ in length."
    distinct = [[pair] for pair in dict.fromkeys(pair for sentence in held for pair in sentence)]
    any_tag = sum(tag in by_word.get(word, {most}) for word, tag in itertools.chain(*held)) / total
    shares = [
        (" comes from counts of the held-out part, which contains the answers. Count in train.", _share(held, held)),
        (both, _share(train + held, held)),
        (" is the share of the training words. Test on the held-out ones.", _share(train, train)),
        (" counts every unknown word as wrong. Give it the most frequent tag of all.", known),
        (
            " leaves out unknown words. A tagger has to tag those too: count them.",
            _share(train, held, count_unknown=False),
        ),
        (" counts any tag that a word has had. A tagger chooses one: the most frequent.", any_tag),
        (f" counts the right words. Divide by the number of held-out words, {total}.", right * total),
        (skipped, known * total),
        (" is a percentage. The answer should be a fraction between 0 and 1.", 100 * right),
        (" is the fraction of errors. The answer should be the fraction that is right.", 1 - right),
        (" gives every word the same tag. Take each word's own most frequent one.", _accuracy({}, held, most)),
    ]
    for unknown in (most, ""):
        for sentence, tags in ((seen_last, last), (seen_first, first), (rarest, rare)):
            shares.append((sentence, _accuracy(tags, held, unknown)))
    shares += [
        (" is the share of the first sentence only: is `return` inside the loop?", _share(train, [held[0]])),
        (" is the share of the last sentence only: add up over all.", _share(train, [held[-1]])),
        (mean, sum(_share(train, [sentence]) for sentence in held) / len(held)),
        (" counts each distinct word once. Count every word of the held-out part.", _share(train, distinct)),
        *_other_counts(train, held, right, total),
    ]
    by_type = Counter(counter.most_common(1)[0][0] for counter in by_word.values()).most_common(1)[0][0]
    in_held = _counts(held)[1].most_common(1)[0][0]
    rules = {"distinct words": by_type, "held-out words": in_held}
    for tag in (*rules.values(), *TAGS):
        whose = [name for name, other in rules.items() if other == tag]
        why = f", the most frequent one of {' and of '.join(whose)}" if whose else ""
        sentence = f" gives unknown words the tag {tag}{why}. Of all training words, {most} is the most frequent."
        shares.append((sentence, _share(train, held, unknown=tag)))
    rounded = " is rounded too far: return the share itself, which is compared to within 1e-05."
    shares += [(rounded, round(right, digits)) for digits in (1, 2, 3, 4)]
    for sentence, share in shares:
        yield Typical(f"{result:.2f}{sentence}", share)


def _other_counts(train: Tagged, held: Tagged, right: float, total: int) -> Iterator[tuple[str, float]]:
    """Yield what other denominators, other parts of the text and other ways of guessing give."""
    by_word, over_all = _counts(train)
    pairs = [pair for sentence in held for pair in sentence]
    known = sum(word in by_word for word, _ in pairs)
    instead = f". Divide by the number of held-out words, {total}."
    yield f" divides by the number of training words{instead}", right * total / sum(map(len, train))
    yield f" divides by the number of sentences{instead}", right * total / len(held)
    yield f" divides by the number of known words{instead}", right * total / known
    yield f" divides by the number of distinct words{instead}", right * total / len({word for word, _ in pairs})
    counted = " counts every unknown word as right. Compare the most frequent tag of all with its tag."
    yield counted, 1 - (known / total - _share(train, held, unknown=""))
    whole = " is the share of sentences without an error. Count words."
    yield whole, sum(_share(train, [sentence]) == 1 for sentence in held) / len(held)
    guesses = [by_word.get(word, over_all) for word, _ in pairs]
    chances = [counter[tag] / counter.total() for counter, (_, tag) in zip(guesses, pairs, strict=True)]
    yield " is what tags drawn by their frequency get. Always take the most frequent one.", sum(chances) / total
    turned = [[[(tag, word) for word, tag in sentence] for sentence in part] for part in (train, held)]
    yield " comes from predicting the word from the tag: a pair is (word, tag).", _share(turned[0], turned[1])
    last_names = {word: max(counter) for word, counter in by_word.items()}
    alphabetical = " comes from max(counter), which is the last name in the alphabet. Take .most_common(1)[0][0]."
    yield alphabetical, _accuracy(last_names, held, over_all.most_common(1)[0][0])
    for which, part in (("first", train[:1]), ("last", train[-1:])):
        yield f" comes from the counts of the {which} training sentence only. Count in all of them.", _share(part, held)
    yield " leaves out the last word of every sentence.", _share(train, [sentence[:-1] for sentence in held])


def fit(answer: object) -> str:
    """Check exercise 3.1: a training loop for padded sentences."""
    with seeded(31):
        batches = [padded_batch(lengths) for lengths in LENGTHS]
    refuse_other_loops(answer, batches, modes=True)
    return "The weights are those after one step of Adam for each batch, and the model is ready to be tested."


def changed(answer: object) -> str:
    """Check exercise 3.3: differences between two calls with dropout."""
    if not isinstance(answer, Mapping) or set(answer) != {1, 2, 3}:
        raise wrong("The answer should be a dict with a set of names for 1, 2 and 3 layers, the numbers as keys.")
    if any(names is ... for names in answer.values()):
        raise wrong("Some of the sets are still missing.")
    result = {layers: _names(layers, names) for layers, names in sorted(answer.items())}
    right = {layers: _differs(layers) for layers in (1, 2, 3)}
    if result == right:
        return "Layer 0 never changes, even by itself: dropout is applied between layers, not to the last output."
    if not any(result.values()):
        raise wrong("Nothing changes in eval mode. In training mode each call drops different values.")
    if result[1]:
        raise wrong("With one layer there is nothing between layers: nothing is dropped, and torch warns.", "M23")
    if any("l0.h" in names for names in result.values()):
        raise wrong(
            "Layer 0 is computed before anything is dropped, and states are not dropped between steps either.", "M23"
        )
    if all(names <= {"out"} for names in result.values()):
        raise wrong(
            "Dropout applies to layer 1's input, so layer 1 changes. Nothing is dropped from the output.", "M23"
        )
    layers = 2 if result[2] != right[2] else 3
    lack = ", ".join(sorted(right[layers] - result[layers]))
    raise wrong(
        f"With {layers} layers, {lack} differs too: every layer above the first changes, and so does the output."
    )


def _names(layers: int, names: object) -> set[str]:
    """Return a set of names, after rejecting those that an LSTM of so many layers does not have."""
    if (
        isinstance(names, str)
        or (isinstance(names, Mapping) and names)
        or not isinstance(names, Set | Sequence | Mapping)
    ):
        raise wrong(f"For {layers} layer{'s' * (layers > 1)} there should be a set of names, but it is {names!r}.")
    possible = {*(f"l{k}.h" for k in range(layers)), "out"}
    unknown = sorted({str(name) for name in names} - possible)
    if unknown:
        raise wrong(
            f"With {layers} layer{'s' * (layers > 1)} there is no {', '.join(unknown)}: choose from "
            f"{', '.join(sorted(possible))}."
        )
    return {str(name) for name in names}


def _differs(layers: int) -> set[str]:
    """Run an LSTM twice in training mode, and compare."""
    with seeded(35), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that a single layer drops nothing
        lstm, x = LSTM(4, 5, num_layers=layers, dropout=0.5), torch.randn(3, 2, 4)
        first, second = lstm.trace(x), lstm.trace(x)
    names = {f"l{k}.h": f"l{k}.h" for k in range(layers)} | {"out": f"l{layers - 1}.h"}
    return {name for name, place in names.items() if not torch.equal(first[place], second[place])}


CHECKS: dict[str, Check] = {"3.1": fit, "3.2": baseline, "3.3": changed}
