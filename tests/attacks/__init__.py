"""The standing attack: what is damaged, killed, starved and sent, and what must come of it. `attack.py` runs it."""
