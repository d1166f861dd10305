"""Writes the files of this folder: ``python make.py`` with version 0.1.0 installed."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from hiddenstate.train import train_tagger  # type: ignore[import-untyped]
from safetensors.torch import save_file
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.folder import load, load_language_model, save
from hiddenstate.models.language import LanguageModel
from hiddenstate.models.language_config import LanguageConfig
from hiddenstate.text.tokens import learn

HERE = Path(__file__).parent
TRAIN, DEV = HERE.parent / "tiny-train.conllu", HERE.parent / "tiny-dev.conllu"
WORDS = ("Nora", "follows", "a", "dog", ".")
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"


def model() -> nn.ModuleDict:
    """Make the whole model of model.pt."""
    torch.manual_seed(1)
    return nn.ModuleDict({"lstm": hs.LSTM(4, 3, 2), "cell": hs.LSTMCell(3, 3), "head": nn.Linear(3, 2)})


def read_by(modules: Any, x: Tensor) -> Tensor:
    """Run the whole model."""
    out, _ = modules["lstm"](x)
    h, _ = modules["cell"](out[-1])
    done: Tensor = modules["head"](h)
    return done


def inputs() -> Tensor:
    """Make the fixed input ``[5, 2, 4]``."""
    return torch.arange(40.0).sin().reshape(5, 2, 4)


def trace() -> hs.Trace:
    """Make the trace of trace.safetensors."""
    torch.manual_seed(2)
    lstm, reset = hs.LSTM(4, 3, 2, bidirectional=True), torch.zeros(5, 2, dtype=torch.bool)
    reset[2, 0] = True
    tokens = [WORDS, WORDS[:3]]
    with torch.no_grad():
        return lstm.trace(inputs(), lengths=[5, 3], reset=reset, pre=True, tokens=tokens)


def stream() -> hs.Stream:
    """Make the stream whose state stream.safetensors holds, two steps read."""
    found: hs.LSTM = model()["lstm"]  # type: ignore[assignment]
    made = found.stream(batch=2)
    for x in inputs()[:2]:
        made.step(x)
    return made


def small_tagger(folder: Path) -> None:
    """Train the tagger on a few sentences."""
    few = folder.with_suffix(".conllu")
    few.write_text("\n\n".join(TRAIN.read_text(encoding="utf-8").split("\n\n")[:20]) + "\n\n", encoding="utf-8")
    sizes: dict[str, Any] = {"word_size": 4, "char_size": 4, "char_hidden_size": 4, "hidden_size": 5, "char_minimum": 1}
    config = TaggerConfig(**sizes, crf=True, epochs=4, learning_rate=0.05, warmup_steps=2, batch_words=40)
    train_tagger(few, few, folder.with_suffix(".run"), config)
    save(load(folder.with_suffix(".run")), folder)
    for left in folder.parent.glob("*.run*"):
        shutil.rmtree(left)
    few.unlink()


def small_language_model(folder: Path) -> None:
    """Train the language model for a few steps on one text."""
    torch.manual_seed(3)
    text = HERE / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    tokens, _ = learn(text, "char")
    text.unlink()
    made = LanguageModel(LanguageConfig(embedding_size=4, hidden_size=6, weights_dtype="float32"), tokens)
    optimiser, ids = torch.optim.Adam(made.parameters(), 0.05), torch.from_numpy(tokens.encode(TEXT)).long()[:, None]
    for _ in range(30):
        optimiser.zero_grad()
        made.surprise(ids[:-1], ids[1:])[0].mean().backward()
        optimiser.step()
    save(made.eval(), folder)


def pickled() -> dict[str, object]:
    """List what is pickled, by the names of the files."""
    kept, found = trace(), model()
    return {
        "lstm": found["lstm"],
        "cell": found["cell"],
        "sizes": hs.Sizes(4, 3, num_layers=2, bidirectional=True),
        "structure": hs.structure_of(hs.Sizes(4, 3)),
        "weight": hs.structure_of(hs.Sizes(4, 3))["l0.W_if"],
        "edit": hs.set("l0.f", unit=[0, 2], t=slice(1, 3), to=torch.tensor([0.25, 0.5])),
        "trace": kept,
        "moment": kept.at(t=2, unit=1, layer=1),
        "run": hs.trace(found["lstm"], inputs()),
        "report": hs.convert(nn.ModuleDict({"a": nn.LSTM(4, 3)}), strict=True)[1],  # type: ignore[index]  # in 0.1.0 a pair
        "converted": hs.convert(nn.Sequential(nn.LSTM(4, 3)))[0],  # type: ignore[index]
        "found": hs.find_lstms(found.state_dict()),
    }


def numbers() -> dict[str, Tensor]:
    """List the numbers that the files give."""
    tagger, language = load(HERE / "tagger"), load_language_model(HERE / "language")
    ids = torch.from_numpy(language.tokens.encode(TEXT)).long()[:, None]
    kept, run, end = trace(), stream(), model()["lstm"](inputs())[0]
    with torch.no_grad():
        return {
            "tagger": tagger.tag([WORDS])[0].probabilities,
            "language": language(ids)[0],
            "model": read_by(model(), inputs()),
            "trace.out": kept.out,
            **{f"trace.{name}": kept[name] for name in kept},
            "stream": run.step(inputs()[2]),
            "lstm": end.detach(),
        }


def main() -> None:
    """Write everything."""
    small_tagger(HERE / "tagger")
    small_language_model(HERE / "language")
    trace().save(HERE / "trace.safetensors")
    stream().save(HERE / "stream.safetensors")
    torch.save(model(), HERE / "model.pt")
    torch.save(load(HERE / "tagger"), HERE / "tagger.pt")
    torch.save(load_language_model(HERE / "language"), HERE / "language.pt")
    (HERE / "pickles").mkdir(exist_ok=True)
    for name, value in pickled().items():
        (HERE / "pickles" / f"{name}.pickle").write_bytes(pickle.dumps(value))
    save_file({name: value.contiguous() for name, value in numbers().items()}, HERE / "numbers.safetensors")


if __name__ == "__main__":
    main()
