"""Speed of two jobs, tagging and writing, with the same models in torch's layers and in ours.

    python benchmarks/jobs.py --train TRAIN.conllu --text TEST.conllu [--seconds S] [--units 512]

Training: forward, backward and AdamW over the same batches; torch's layers read ragged ones packed, as is usual there.
Figures are medians of turns, as in run.py.
"""

import argparse
import copy
import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import machine
from contestants import Contestant, MissingPeerError, if_it_runs, itself
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.sampling import Sampling
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.lstm import LSTM
from hiddenstate.text.batches import Rows, plan_batches, spans
from hiddenstate.text.conllu import Sentence, read_conllu
from hiddenstate.text.tokens import learn
from measure import Pace, medians
from report import print_figures

# The plain tagger that most people write first: words, spelling, two layers per direction.
CONFIG = TaggerConfig(
    columns=("upos", "xpos"), word_size=100, char_hidden_size=100, hidden_size=256, batch_words=600, char_dropout=0.0
)
WRITTEN = 500
CHARACTERS = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ,.;:!?'-\n&3$"
Model = TypeVar("Model", bound=nn.Module)
LONG, SHORT = Pace(turn=1.0, pause=0.05), Pace()


class Packed(nn.Module):
    """torch's layer over ragged rows, called like ours."""

    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.theirs = lstm.to_torch()

    def forward(self, x: Tensor, *, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        out, state = self.theirs(packed)
        return pad_packed_sequence(out, total_length=len(x))[0], state


def in_torch(tagger: Tagger) -> Tagger:
    """The same tagger, whose layers are torch's."""
    theirs = copy.deepcopy(tagger)
    theirs.char_lstm, theirs.lstm = Packed(tagger.char_lstm), Packed(tagger.lstm)  # type: ignore[arg-type, assignment]
    return theirs


def language_in_torch(model: LanguageModel) -> LanguageModel:
    """The same language model, whose layers are torch's."""
    theirs = copy.deepcopy(model)
    theirs.lstm = model.lstm.to_torch()
    theirs._layers = [nn.LSTM(layer.input_size, layer.hidden_size, device="meta") for layer in model._layers]
    return theirs


class Training(Generic[Model]):
    """Steps of training on one batch after another; each run is one step."""

    def __init__(self, model: Model, losses: Sequence[Callable[[Model], Tensor]], *, bfloat16: bool) -> None:
        self.model, self.bfloat16 = model.train(), bfloat16
        self.losses: Iterator[Callable[[Model], Tensor]] = cycle(losses)
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def __call__(self) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = next(self.losses)(self.model)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()


def compare_training(
    title: str, models: tuple[Model, Model], losses: Sequence[Callable[[Model], Tensor]], items: int, seconds: float
) -> None:
    """Training speed in items per second, of a model and the same model in torch's layers, in float32 and bfloat16.

    One run of a contestant computes all of the losses, so that each has the same work to do.
    """

    def contestant(name: str, model: Model, bfloat16: bool) -> Contestant:
        step = Training(copy.deepcopy(model), losses, bfloat16=bfloat16)
        return _contestant(name, partial(_repeat, step, len(losses)))

    ours, theirs = models
    runs = [
        contestant("hiddenstate", ours, False),
        contestant("torch", theirs, False),
        contestant("hiddenstate, bfloat16", ours, True),
    ]
    try:
        runs.append(if_it_runs(partial(contestant, "torch, bfloat16", theirs, True)))
    except MissingPeerError as reason:
        print(f"\n{reason}")
    _tell(title, [items / each for each in medians(runs, seconds, LONG)], runs)


def train_tagger(sentences: Sequence[Sentence], seconds: float) -> None:
    """Training speed of a tagger in words per second; torch's layers read them packed."""
    torch.manual_seed(1)
    tagger = Tagger.build(CONFIG, sentences)
    tags = {column: [sentence.tags(column) for sentence in sentences] for column in CONFIG.columns}
    encoded = tagger.encode([sentence.forms for sentence in sentences], tags)
    lengths = [len(sentence) for sentence in sentences]
    batches = plan_batches(lengths, CONFIG.batch_words, torch.Generator().manual_seed(1))[:24]
    words = sum(lengths[k] for batch in batches for k in batch)
    losses = [lambda model, batch=batch: model.loss(encoded.batch(batch)) for batch in batches]
    compare_training("training the tagger, words/s", (tagger, in_torch(tagger)), losses, words, seconds)


def train_language(sentences: Sequence[Sentence], seconds: float) -> None:
    """Training speed of a language model in characters per second, each batch from a zero state."""
    torch.manual_seed(1)
    text = "\n".join(" ".join(sentence.forms) for sentence in sentences)
    config = LanguageConfig()
    tokens, ids = learn(io.BytesIO(text.encode()), config.level)
    rows, some = Rows(ids, config.rows, tokens.start), spans(10 * config.steps, config.steps)
    pairs = [rows.read(span) for span in some]
    losses = [lambda model, pair=pair: model.loss(*pair)[0].mean for pair in pairs]
    model, read = LanguageModel.build(config, tokens), 10 * config.steps * config.rows
    title = f"training a language model, {config.hidden_size} units, characters/s"
    compare_training(title, (model, language_in_torch(model)), losses, read, seconds)


def tagging(tagger: Tagger, texts: Sequence[Sequence[str]], seconds: float) -> None:
    """Tagging speed in words per second, and milliseconds for one sentence of 20 words."""
    models = {"hiddenstate": tagger, "torch, packed": in_torch(tagger)}
    runs = [_contestant(name, partial(model.tag, texts)) for name, model in models.items()]
    runs.append(_contestant("hiddenstate, bfloat16", partial(tagger.tag, texts, precision="bf16")))
    words = sum(map(len, texts))
    _tell("tagging, words/s", [words / each for each in medians(runs, seconds, LONG)], runs)
    one = [next(text for text in texts if len(text) == 20)]
    runs = [_contestant(name, partial(model.tag, one)) for name, model in models.items()]
    _tell("one sentence of 20 words, ms", [1000 * each for each in medians(runs, seconds, SHORT)], runs)


def writing(units: int, seconds: float) -> None:
    """Characters per second that a one-layer model writes, in one stream."""
    tokens, _ = learn(io.BytesIO(CHARACTERS), "char")
    model = LanguageModel.build(LanguageConfig(hidden_size=units), tokens).eval()
    runs = [_contestant(name, partial(_write, model, name)) for name in ("fp32", "bf16")]
    _tell(f"writing, {units} units, characters/s", [WRITTEN / each for each in medians(runs, seconds, LONG)], runs)


def _repeat(step: Callable[[], Tensor], times: int) -> None:
    for _ in range(times):
        step()


def _write(model: LanguageModel, precision: str) -> str:
    return "".join(model.generate("", WRITTEN, Sampling(seed=1), precision=precision))


def _contestant(name: str, run: Callable[[], object]) -> Contestant:
    return Contestant(name, run, itself)


def _tell(title: str, figures: Sequence[float], runs: Sequence[Contestant]) -> None:
    print_figures(title, dict(zip((run.name for run in runs), figures, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, metavar="FILE", help="CoNLL-U to train on")
    parser.add_argument("--text", required=True, metavar="FILE", help="CoNLL-U to tag")
    parser.add_argument("--model", metavar="DIR", help="a tagger; without, one of the training's size, not trained")
    parser.add_argument("--units", type=int, default=512, help="of the model that writes")
    parser.add_argument("--seconds", type=float, default=20.0, help="measuring time of each table")
    options = parser.parse_args()
    print("\n".join(machine.described()))
    watch, sentences = machine.Watch(), read_conllu(options.train)
    train_tagger(sentences, options.seconds)
    train_language(sentences, options.seconds)
    tagger = load_tagger(options.model) if options.model else Tagger.build(CONFIG, sentences).eval()
    tagging(tagger, [sentence.forms for sentence in read_conllu(options.text)], options.seconds)
    writing(options.units, options.seconds)
    if warning := watch.warning():
        print(f"\nMeanwhile {warning}")


if __name__ == "__main__":
    main()
