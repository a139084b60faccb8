"""One page of a store: what was run, every figure and table, and what has not converged."""

from figures.report.page import PAGE, write_report

__all__ = ["PAGE", "write_report"]
