"""The standing attack: damages, kills, starves and sends things, and checks the outcome. `attack.py` runs it."""
