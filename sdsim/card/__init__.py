"""Recall cards: how much an architecture remembers, by one fixed protocol for all of them.

`sdsim.card(…)` is `sdsim.commands.card.card`.
"""

from sdsim.calling import call_as

call_as(__name__, "sdsim.commands.card.card")
