"""Recall cards: how much an architecture remembers, by one fixed protocol for all of them."""
