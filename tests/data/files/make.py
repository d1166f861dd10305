"""Writes the files of this folder: ``python tests/data/files/make.py FOLDER``.

The files here are kept unchanged, to test that later versions can read them: do not write them again.
A new format gets new files beside them.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import hiddenstate as hs
from hiddenstate.models import LanguageConfig, LanguageModel, TaggerConfig
from hiddenstate.models.model_folder import load_language_model, load_tagger, save
from hiddenstate.models.tagger.training import train_tagger
from hiddenstate.text.tokens import learn

TRAIN = Path(__file__).parents[1] / "tiny-train.conllu"
WORDS = ("Nora", "follows", "a", "dog", ".")
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"


def inputs() -> Tensor:
    """Make the fixed input ``[5, 2, 4]``."""
    return torch.arange(40.0).sin().reshape(5, 2, 4)


def trace(lstm: hs.LSTM | hs.GRU) -> hs.Trace:
    """Record a call with rows of different lengths, a reset and words."""
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[2, 0] = True
    with torch.no_grad():
        return lstm.trace(inputs(), lengths=[5, 3], reset=reset, pre=True, tokens=[WORDS, WORDS[:3]])


def stream(lstm: hs.LSTM | hs.GRU) -> hs.Stream:
    """Make a stream that has read two steps."""
    made = lstm.stream(batch=2)
    for x in inputs()[:2]:
        made.step(x)
    return made


def small_tagger(folder: Path) -> None:
    """Train a tagger on a few sentences."""
    few, run = folder.with_suffix(".conllu"), folder.with_suffix(".run")
    few.write_text("\n\n".join(TRAIN.read_text(encoding="utf-8").split("\n\n")[:20]) + "\n\n", encoding="utf-8")
    sizes: dict[str, Any] = {"word_size": 4, "char_size": 4, "char_hidden_size": 4, "hidden_size": 5, "char_minimum": 1}
    config = TaggerConfig(**sizes, crf=True, epochs=4, learning_rate=0.05, warmup_steps=2, batch_words=40)
    train_tagger(few, few, run, config)
    save(load_tagger(run), folder)


def small_language_model(folder: Path) -> None:
    """Train a language model for a few steps on one text."""
    text = folder.with_suffix(".txt")
    text.write_text(TEXT, encoding="utf-8")
    tokens, _ = learn(text, "char")
    made = LanguageModel(LanguageConfig(embedding_size=4, hidden_size=6, weights_dtype="float32"), tokens)
    optimiser, ids = torch.optim.Adam(made.parameters(), 0.05), torch.from_numpy(tokens.encode(TEXT)).long()[:, None]
    for _ in range(30):
        optimiser.zero_grad()
        made.surprise(ids[:-1], ids[1:])[0].mean().backward()
        optimiser.step()
    save(made.eval(), folder)


def numbers(folder: Path, one_way: hs.LSTM, both_ways: hs.LSTM) -> dict[str, Tensor]:
    """List the numbers computed from the files."""
    language = load_language_model(folder / "language")
    ids = torch.from_numpy(language.tokens.encode(TEXT)).long()[:, None]
    recorded = trace(both_ways)
    assert isinstance(recorded.out, Tensor)
    with torch.no_grad():
        return {
            "tagger": load_tagger(folder / "tagger").tag([WORDS])[0].probabilities,
            "language": language(ids)[0],
            "trace.out": recorded.out,
            **{f"trace.{name}": recorded[name] for name in recorded},
            "stream": stream(one_way).step(inputs()[2]),
        }


def files_of_a_gru(folder: Path) -> None:
    """Write a GRU's weights, its trace, its stream, and the resulting numbers."""
    torch.manual_seed(2)
    gru = hs.GRU(4, 3, 2)
    recorded = trace(gru)
    assert isinstance(recorded.out, Tensor)
    recorded.save(folder / "gru_trace.safetensors")
    running = stream(gru)
    running.save(folder / "gru_stream.safetensors")
    found = {"out": recorded.out, **{name: recorded[name] for name in recorded}, "step": running.step(inputs()[2])}
    save_file(gru.state_dict(), folder / "gru.safetensors")
    save_file({name: value.contiguous() for name, value in found.items()}, folder / "gru_numbers.safetensors")


def main() -> None:
    """Write everything into a folder."""
    folder = Path(sys.argv[1])
    files_of_a_gru(folder)
    torch.manual_seed(1)
    one_way, both_ways = hs.LSTM(4, 3, 2), hs.LSTM(4, 3, 2, bidirectional=True)
    small_tagger(folder / "tagger")
    small_language_model(folder / "language")
    save_file(one_way.state_dict(), folder / "lstm.safetensors")
    trace(both_ways).save(folder / "trace.safetensors")
    stream(one_way).save(folder / "stream.safetensors")
    found = numbers(folder, one_way, both_ways)
    save_file({name: value.contiguous() for name, value in found.items()}, folder / "numbers.safetensors")


if __name__ == "__main__":
    main()
