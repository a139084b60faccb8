"""Figures and tables from stored runs, and nothing but them: no figure trains a model."""

from figures.draw import (
    FIGURES,
    draw_all,
    draw_bench,
    draw_card,
    draw_cards,
    draw_text,
    draw_theory,
    draw_tradeoff,
)
from figures.summary import summary_table

__all__ = [
    "FIGURES",
    "draw_all",
    "draw_bench",
    "draw_card",
    "draw_cards",
    "draw_text",
    "draw_theory",
    "draw_tradeoff",
    "summary_table",
]
