"""Figures and tables from stored runs, and nothing but them: no figure trains a model."""

from figures.draw import draw_all, draw_bench, draw_theory
from figures.summary import summary_table

__all__ = ["draw_all", "draw_bench", "draw_theory", "summary_table"]
