"""Figures and tables from stored runs, and nothing but them: no figure trains a model."""

from figures.draw import draw_all, draw_bench, draw_card, draw_cards, draw_theory, draw_tradeoff
from figures.summary import summary_table

__all__ = [
    "draw_all",
    "draw_bench",
    "draw_card",
    "draw_cards",
    "draw_theory",
    "draw_tradeoff",
    "summary_table",
]
