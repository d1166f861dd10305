"""Questions by two people who had not read the chapters, and the passages that answer them."""

import re
from dataclasses import dataclass
from pathlib import Path

from course.chapters import PAGES
from pages import DOCS


@dataclass(frozen=True)
class Asked:
    """A question, readers' comments on an earlier version of the course, and the relevant passages: a chapter's number,
    or the name of another page of the documentation, and the words there."""

    about: str
    before: tuple[str, ...]
    places: tuple[tuple[str, str], ...]


ASKED = (
    Asked(
        "shapes of the weights of two layers, their number, and that for longer sentences",
        ("partly", "partly"),
        (
            ("01", "multiplies the previous step's hidden state and is `[4H, H]`"),
            ("01", "`weight_ih_l1` is `[4H, H]`"),
            ("01", "`LSTM(10, 16, num_layers=2)` has 1792 + 2176 = 3968 parameters"),
            ("01", "has 108 parameters for any number of steps"),
        ),
    ),
    Asked(
        "what `h_n.view(N, -1)` gives with two directions, and the right line",
        ("yes", "yes"),
        (
            ("01", "`batch_first` changes x and `out`; h and c stay `[L·D, N, H]`"),
            ("01", "and row 2 the last forward and the first reverse state"),
            ("01", "swap the axes first: `h_n.transpose(0, 1).reshape(N, -1)`"),
        ),
    ),
    Asked(
        "a tagger without `batch_first`: what a changed word moves",
        ("yes", "yes"),
        (
            ("01", "No error is raised, and each sentence's output depends on earlier sentences."),
            ("01", "each sentence is read by itself"),
            ("01", "It reads 50 sequences of 16 steps."),
        ),
    ),
    Asked(
        "one step by hand from four pre-activations; is an open forget gate one that keeps?",
        ("yes", "yes"),
        (
            ("02", "i, f, g, o = z.chunk(4)  # torch's order"),
            ("02", "c = f * c + i * g  # keep some of the old, write some of the new"),
            ("02", "At f = 1 a unit keeps all of its c, at f = 0 none."),
        ),
    ),
    Asked(
        "what filling the second quarter of every bias with 1 really does",
        ("yes", "yes"),
        (
            ("02", "The fraction left is f to the power of the number of steps"),
            ("02", "torch draws all biases between -1/√H and 1/√H"),
            ("02", "filling both vectors with 1 gives 2, and f = 0.881"),
        ),
    ),
    Asked(
        "W, R and B of an ONNX node by hand, and what rows as they are do",
        ("partly", "partly"),
        (
            ("10", 'order is i, o, f, g (it calls g "c").'),
            ("10", "A torch layer becomes three weight arrays, W `[D, 4H, C]`, R `[D, 4H, H]` and B `[D, 8H]`"),
            ("10", "in B `bias_ih` comes first, then `bias_hh`"),
            ("10", "A wrong order raises no error."),
        ),
    ),
    Asked(
        "which iteration fails where the state is carried as it is; `retain_graph`; `detach`",
        ("yes", "yes"),
        (
            ("04", "`detach` keeps the values and stops the gradient."),
            ("04", "With neither, the second `backward` raises"),
            ("04", "only leads to the next error: the optimizer has changed the weights"),
        ),
    ),
    Asked(
        "inputs and targets of the second batch of a text in two rows, and the state at a new epoch",
        ("yes", "yes"),
        (
            ("04", "each pass starts at the beginning of every row"),
            ("04", "so each row's state goes to the same row of the next window"),
            ("04", "row 3's second window reads characters 320 to 339, with targets shifted by one"),
        ),
    ),
    Asked(
        "which of four calls of `cross_entropy` on `[N, T, tags]` raises, is wrong or is right; its mean",
        ("partly", "partly"),
        (
            ("03", "Scores `[N, T, tags]`, passed unchanged, raise an error or,"),
            ("03", "mean is over the words only, so equal scores for 15 tags cost ln 15 = 2.71"),
            ("03", "a log_softmax before it does no harm"),
        ),
    ),
    Asked(
        "what packing changes for the shorter of two rows, and where its final states stand",
        ("yes", "yes"),
        (
            ("01", "With `lengths=`, a sequence of three steps ends at `out[2]`; after that its output is zero."),
            ("03", "the words' forward outputs stay the same, but their reverse outputs change"),
            ("03", "Without it, the final states of all shorter sentences change."),
            ("03", "In `h_n[1]`, which is also the second half of `out[0]`"),
        ),
    ),
    Asked(
        "two faults of a server that answers step by step: a state thrown away, and dropout",
        ("partly", "yes"),
        (
            ("01", "If you pass on the returned state"),
            ("03", "each value on its way from layer 0 to layer 1 becomes 0"),
            ("03", "`torch.no_grad()` does not turn dropout off"),
            ("06", "However you cut the sequence, the results equal those for the whole sequence."),
        ),
    ),
    Asked(
        "what a correlation and a unit zeroed after the run show of it; a real ablation, and is c part of it?",
        ("partly", "partly"),
        (
            ("05", "Both units correlate equally with the feature"),
            ("05", "the other units have read its h at every step"),
            ("05", "An edit has the same effect as `h[:, 17] = 0` after each step of an `LSTMCell`"),
            ("05", "c need not be zeroed as well"),
        ),
    ),
)


ASKED_AGAIN = (
    Asked(
        "32 series of one sensor, `[32, 200]`: which `input_size`, how to turn it, and what it means as it is",
        ("partly",),
        (
            ("13", "go into `LSTM(1, 3)` as `x.T.unsqueeze(-1)`"),
            ("13", "A tensor with two axes is `[T, C]`, one sequence without a batch"),
            ("01", "`batch_first` changes x and `out`; h and c stay `[L·D, N, H]`"),
        ),
    ),
    Asked(
        "why two states, what is lost if h alone is handed on, and which of them a classifier reads",
        ("yes",),
        (
            ("02", "The units *hold* c"),
            ("02", "h goes three ways: out of the layer, into the layer above"),
            ("02", "c also contains what o hid, and c restarts from c0 at each step"),
        ),
    ),
    Asked(
        "can input and forget gate both be open, or both shut, and what becomes of c; must they sum to 1?",
        ("yes",),
        (
            ("02", "i = 0.0, f = 0.0: c = 0.0·2 + 0.0·0.5 = 0.0"),
            ("02", "i = 1.0, f = 1.0: c = 1.0·2 + 1.0·0.5 = 2.5"),
            ("02", "Keeping and writing are separate choices"),
        ),
    ),
    Asked(
        "padding at the front or at the back, and zeros at the front without packing",
        ("partly",),
        (
            ("03", "Without it, the words' forward outputs stay the same, but their reverse outputs change"),
            (
                "03",
                "Padding in front of the words changes the forward outputs, even if it is all zeros: the biases",
            ),
            ("03", "So pad at the end, where `lengths` expects it."),
        ),
    ),
    Asked(
        "what the reverse half of `out[t]` has read, and what a second layer's forward direction knows at t",
        ("partly",),
        (
            ("03", "In layer 0 its state at *sails* depends on *sails* and the words to its right."),
            ("03", "both directions of layer 1 read both halves of layer 0's output"),
        ),
    ),
    Asked(
        "what layer 1 reads, whether layers share a state, and what `out` shows of layer 0",
        ("yes",),
        (
            ("01", "A second layer reads the first's h"),
            ("01", "for two layers and five steps it has two states, one for each layer"),
            ("01", "`out` has the *last layer's* h after *every step*."),
        ),
    ),
    Asked(
        "windows of 50 steps with `detach`, and something that depends on 200: what is learnt, what is read?",
        ("yes",),
        (
            ("04", "But no gradient crosses a short window's boundary"),
            ("04", "the carried state still brings older information"),
        ),
    ),
    Asked(
        "a gradient that is huge at times: what `clip_grad_norm_` does, where it goes, whether it helps vanishing ones",
        ("no",),
        (
            ("04", "the gradient **explodes** instead of vanishing"),
            ("04", "`fit` calls `clip_grad_norm_` between `backward` and `step`"),
            ("04", "so it does not help against vanishing gradients"),
        ),
    ),
    Asked(
        "must a sequence begin at zeros; a first state of one's own, or a learnt one, and its shape",
        ("partly",),
        (
            ("03", "pass no state, or `None`, and a sentence starts from zeros"),
            ("06", "A sequence need not start from zeros: you may pass any `(h0, c0)`."),
            ("06", "All sequences start from your own state, `[L·D, 1, H]`, expanded to N."),
            ("06", "It is learnt if you pass it to the optimizer along with the LSTM's own parameters"),
        ),
    ),
    Asked(
        "when a mask of dropout is drawn anew, and why outputs in eval are of the same size",
        ("partly",),
        (
            ("03", "The draws are independent for each step, sequence and call."),
            ("03", "the expected value is the same in training as in eval"),
        ),
    ),
    Asked(
        "a value at a time, for days: what is kept, how large it is, whether it grows, and if numbers are the same",
        ("yes",),
        (
            ("06", "whose size never changes: pass them on"),
            ("06", "However you cut the sequence, the results equal those for the whole sequence."),
            ("06", "computes no gradients, so its memory does not grow"),
        ),
    ),
    Asked(
        "is unit 17 the same unit after another training, and does a probe show that the model uses a feature?",
        ("partly",),
        (
            ("05", "if the units of a layer are permuted along with their weights, the network computes the same"),
            ("05", "Information encoded in a state need not be used."),
        ),
    ),
)


ASKED_IN_FORUMS = (
    Asked(
        "why the gates use σ and the candidate tanh, and whether ReLU would do",
        ("no",),
        (
            ("11", "A ReLU has no upper limit, and f = 1.1 multiplies c by 13,780"),
            ("11", "For g a ReLU is possible, but then nothing is ever subtracted"),
        ),
    ),
    Asked(
        "an error about the size of `hidden[0]` at the last, smaller batch",
        ("partly",),
        (("11", "make zeros for as many sequences as x has, or pass no state"),),
    ),
    Asked(
        "how many units and how many layers to take",
        ("partly",),
        (
            ("01", "Twice as many units make `weight_hh_l0` four times as large"),
            ("12", "Start with one layer of 32 to 128 units"),
        ),
    ),
    Asked(
        "a loss that does not fall, or the same prediction for every input: where to look",
        ("no",),
        (("12", "Train on one small batch, without dropout: a correct loop brings the loss near 0"),),
    ),
    Asked(
        "a whole sequence to classify: the last output, the final state, or a mean over the steps",
        ("partly",),
        (("13", "Use the final h of each direction (exercise 1.4), or the mean of `out`"),),
    ),
    Asked(
        "does LSTMCell start from zeros as the layer does, and who carries its state",
        ("no",),
        (("11", "starts from zeros too, if you pass no state"), ("11", "in a loop, pass on both h and c")),
    ),
    Asked(
        "a forecast that repeats the last value, one step late",
        ("yes",),
        (("06", "A forecast that follows the series may have no skill"),),
    ),
    Asked(
        "must numbers be scaled before an LSTM reads them",
        ("partly",),
        (("09", "Each feature is scaled to mean 0 and standard deviation 1."),),
    ),
    Asked(
        "may sequences be longer than those in training, and of different lengths",
        ("yes",),
        (
            ("01", "Three units read 1, 7 or 5,000 steps"),
            ("04", "no gradient crosses a short window's boundary to teach earlier steps what to keep"),
        ),
    ),
    Asked(
        "should batches be shuffled, and when must they not be",
        ("partly",),
        (
            ("12", "No if they are rows of one text whose state is carried"),
            ("06", "A state stays at its place in the batch"),
        ),
    ),
    Asked(
        "is the hidden state learnt, and is it kept from training to the test",
        ("yes",),
        (("01", "a run leaves all 108 parameters unchanged"), ("03", "Start each sentence from a fresh state")),
    ),
    Asked(
        "when an LSTM is still a better choice than a GRU or a transformer",
        ("partly",),
        (("02", "Neither is better on every task"), ("11", "An LSTM's step always costs the same")),
    ),
)


ASKED_ONLINE = (  # before: whether the course answered it before it was asked
    Asked(
        "does a layer below another pass on all its outputs, or the last one?",  # stackoverflow.com/questions/40331510
        ("yes",),
        (
            ("01", "L **layers** (each reads the h of the one below)"),
            ("01", "each reads the h of the one below, at every"),
        ),
    ),
    Asked(
        "has a dense layer after an LSTM weights of its own for each step?",  # datascience.stackexchange.com/q/85199
        ("partly",),
        (("11", "It is applied to each step separately, with the same weights"),),
    ),
    Asked(
        "the loss becomes NaN",  # taourl.com/read-1885623.html
        ("no",),
        (("12", "One NaN in the data makes every weight NaN in one update, with or without clipping"),),
    ),
    Asked(
        "what a GRU's reset gate is for, as the update gate keeps already",  # stats.stackexchange.com/questions/586668
        ("no",),
        (("02", "Its reset gate r only sets how much of h_prev n reads"),),
    ),
    Asked(
        "results that differ from run to run",  # github.com/tensorflow/tensorflow/issues/18323
        ("partly",),
        (("12", "calling `torch.manual_seed(0)` first makes a run repeatable"),),
    ),
    Asked(
        "how to forecast several steps ahead",  # discuss.pytorch.org/t/41670, stats.stackexchange.com/questions/275643
        ("partly",),
        (
            ("13", "Let the linear layer output K numbers, one for each step ahead"),
            ("13", "or feed each forecast back as the next input"),
        ),
    ),
    Asked(
        "a decoder that starts from a bidirectional encoder's state",  # github.com/d-sbrgr/NLP_FS25
        ("no",),
        (("13", "A bidirectional encoder's two halves, side by side, fit a decoder of 2H units"),),
    ),
    Asked(
        "is a padding vector of zeros harmless?",  # datascience.stackexchange.com/questions/90018
        ("yes",),
        (("03", "Padding in front of the words changes the forward outputs, even if it is all zeros: the biases"),),
    ),
    Asked(
        "an LSTM that is slower on a GPU than on a CPU",  # ai.stackexchange.com/questions/7090
        ("no",),
        (("12", "so only a layer's units and sequences can run in parallel, not its steps"),),
    ),
    Asked(
        "how x and h, joined, tell a gate what to forget",  # cs.stackexchange.com/questions/118865
        ("partly",),
        (("11", "That is the same sum, W_ih·x + W_hh·h. Training sets these weights, so f learns what to keep"),),
    ),
    Asked(
        "a feature that is no series",  # datascience.stackexchange.com/questions/17099
        ("no",),
        (("13", "Append it to x at every step, {claim}`static-beside-x` or compute the initial state from it"),),
    ),
    Asked(
        "three steps, so three units?",  # stackoverflow.com/questions/37901047
        ("yes",),
        (("01", "Three units read 1, 7 or 5,000 steps"),),
    ),
    Asked(
        "a GRU that seems not to return its reverse state",  # github.com/pytorch/pytorch/issues/147539
        ("no",),
        (("11", "A GRU returns `out, h_n`: its state is one tensor"), ("11", "The reverse direction's final h")),
    ),
    Asked(
        "packing changes forward outputs of a second layer as well",  # github.com/pytorch/pytorch/issues/3662
        ("yes",),
        (
            ("03", "both directions of layer 1 read both halves of layer 0's output"),
            ("03", "their reverse outputs change, because the reverse direction reads the padding first"),
        ),
    ),
    Asked(
        "a forecast two hours ahead from steps five minutes apart",  # stackoverflow.com/questions/18670558
        ("no",),
        (("13", "An LSTM sees the order of the steps, not their times"),),
    ),
    Asked(
        "one-hot vectors or numbers, and is softmax needed",  # datascience.stackexchange.com/questions/45803
        ("partly",),
        (
            ("01", "Ids have an order and distances that mean nothing"),
            ("13", "A one-hot vector times a table gives that word's row"),
            ("13", "a forecast of numbers needs no softmax"),
        ),
    ),
    Asked(
        "a validation loss that rises from the tenth epoch on",  # datascience.stackexchange.com/questions/43191
        ("partly",),
        (
            ("12", "if it is high only on held-out text, use fewer"),
            ("12", "Keep the weights with which the held-out loss was lowest"),
        ),
    ),
    Asked(
        "how the forget gate keeps gradients from vanishing",  # faqs.tips
        ("yes",),
        (
            ("02", "each step multiplies it by a factor: f on the way through c"),
            ("02", "The fraction left is f to the power of the number of steps"),
            ("02", "So an LSTM only *allows* a factor near 1"),
        ),
    ),
    Asked(
        "the cell state after every step",  # github.com/keras-team/keras/issues/9351
        ("yes",),
        (("01", "A **trace** records every gate and state at every step"),),
    ),
    Asked(
        "why training windows of no more than 100 steps",  # github.com/keras-team/keras/issues/98
        ("yes",),
        (
            ("04", "they make 15.6 times as many updates, and the carried state still brings older information"),
            ("04", "no gradient crosses a short window's boundary to teach earlier steps what to keep"),
        ),
    ),
    Asked(
        "generated text that repeats over and over",  # github.com/AlexGascon/playing-with-keras
        ("yes",),
        (("04", "more certain it is; with greedy decoding it repeats itself"),),
    ),
    Asked(
        "is a bidirectional LSTM cheating if it predicts the next value?",  # discuss.pytorch.org/t/162957
        ("yes",),
        (("04", "The bidirectional model has read the answer; a forward model has not."),),
    ),
    Asked(
        "is the state saved with the model?",  # github.com/keras-team/keras/issues/4379
        ("partly",),
        (
            ("01", "A state holds no weights: a run leaves all 108 parameters unchanged"),
            ("11", "`state_dict` has the weights and biases only"),
        ),
    ),
    Asked(
        "nearly all labels are of one class",  # datascience.stackexchange.com/questions/32797
        ("no",),
        (("12", "With `weight=`, `cross_entropy` lets rare tags count more"),),
    ),
)


def _asked(line: str) -> Asked:
    before, about, address, *places = line.split(" :: ")
    parts = [place.partition(" ") for place in places]
    return Asked(f"{about} ({address})", (before,), tuple((page, words) for page, _, words in parts))


# The rest of what was collected, a question a line, with its address
ASKED_WIDELY = tuple(map(_asked, (Path(__file__).parent / "asked.txt").read_text(encoding="utf-8").splitlines()))


def line_of(chapter: str, said: str) -> int:
    """The line (from 1) on which a text is on a page; fails if it is not there."""
    page = next((page for page in PAGES if page.stem.startswith(chapter)), DOCS / f"{chapter}.md")
    text = page.read_text(encoding="utf-8")
    found = re.search(r"\s+".join(map(re.escape, said.split())), text)
    assert found is not None, f"{page.name} no longer says: {said}"
    return text.count("\n", 0, found.start()) + 1
