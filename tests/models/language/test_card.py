from hiddenstate.models.language.scoring import Tally
from hiddenstate.models.language.training import write_language_card
from hiddenstate.models.training_run import Origin, Outcome
from language_models import make

DEV = Tally(100, 150.0, 10, 40.0, 100)


def test_card_of_characters() -> None:
    card = write_language_card(
        "name", make(), Origin("a.txt", "b.txt", "c.txt", licence="CC0"), Outcome(3, 5, True, DEV, DEV)
    )
    assert card.startswith("# name\n")
    assert "each character from those before it" in card
    assert "LSTM, 2 layers of 7 units" in card
    assert "Epoch 3 of 5" in card
    assert "| dev | 100 | 10.00 % | 1.5000 | 2.1640 |" in card
    assert "| test | 100 |" in card
    assert "CC0" in card


def test_card_of_words() -> None:
    model = make(level="word", cutoffs=(3, 8), cutoff_factor=2.0, tied=True, backward=True, num_layers=1)
    card = write_language_card("name", model, Origin("a.txt", "b.txt"), Outcome(1, 1, False, DEV))
    assert "each word from those after it" in card
    assert "LSTM, 1 layer of 7 units" in card
    assert "an adaptive softmax with clusters from ids 3, 8 that shares its weights with the embeddings" in card
    assert "| dev | 100 | 10.00 % | 4.48 | 3.39 |" in card
    assert "before they are rounded" in card
    assert "had not finished" in card
