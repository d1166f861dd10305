"""The subject of ``hiddenstate explain``: a model that has read a text."""

from typing import NamedTuple

import torch

from hiddenstate.cli.outputs import text_from
from hiddenstate.explain.subject.head import needed_head
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Logit, LogProbability, log_probability, logit
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import load_any
from hiddenstate.models.tagger.tagger import Tagger


class Read(NamedTuple):
    """A model, a text, and the text as the model reads it."""

    model: Tagger | LanguageModel
    text: str
    subject: Subject

    def find_step(self, word: str | None) -> int:
        """Return the step to explain: that of a word (or its number), or by default the most informative one."""
        read = self.subject
        if word is not None:
            return read.step_of(int(word) if word.lstrip("-").isdigit() and word not in read.words() else word)
        if isinstance(self.model, LanguageModel):
            return read.T - 1
        with torch.no_grad():
            return int(read.run().logits[:, 0].topk(2).values.diff(dim=-1)[:, 0].argmax())

    def target(
        self, word: str | None, label: str | None, against: str | None = None, *, linear: bool
    ) -> Logit | LogProbability:
        """Return the target: a tag rather than the runner-up, or a language model's next token.

        Args:
            word: the step; see `find_step`.
            label: the label, or the most probable one.
            against: another label, whose logit is subtracted.
            linear: whether the target must be linear in states.
        """
        t, head = self.find_step(word), needed_head(self.subject.head)
        with torch.no_grad():
            logits = self.subject.run().logits[t, 0]
        best = logits.topk(min(2, len(logits))).indices.tolist()
        chosen = best[0] if label is None else head.index(_label(label))
        if against is not None:
            return logit(chosen, word=t, against=head.index(_label(against)))
        if isinstance(self.model, LanguageModel):
            return logit(chosen, word=t) if linear else log_probability(chosen, word=t)
        return logit(chosen, word=t, against=best[1] if label is None and len(best) > 1 else None)


def read_by(model: str, text: str) -> Read:
    """Load a model by its folder or name, and run it on a text."""
    given = text_from(text).strip("\n")
    found = load_any(model)
    return Read(found, given, subject(found, given))


def _label(text: str) -> str:
    r"""Return a label with its escapes resolved: a newline can be written as ``\n``."""
    return text.replace("\\n", "\n")
