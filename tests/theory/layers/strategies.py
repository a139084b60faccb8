"""What the tests of this folder draw from: rational numbers, small stacks, symbolic prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from theory.layers.base_conv import BaseConvStack, random_stack

RATIONALS = st.fractions(min_value=-4, max_value=4, max_denominator=5)


def stacks(seq_len: int, width: int, layers: int) -> st.SearchStrategy[BaseConvStack]:
    """Random stacks of at most these sizes, with small rational weights."""
    return st.builds(
        random_stack,
        st.integers(1, seq_len),
        st.integers(1, width),
        st.integers(1, layers),
        seed=st.integers(0, 10**6),
        magnitude=st.integers(1, 7),
        denominator=st.integers(1, 6),
    )


def variables(rows: int, columns: int) -> Any:
    """A prompt (rows, columns) of distinct symbols."""
    return np.array(sympy.symbols(f"u:{rows * columns}"), dtype=object).reshape(rows, columns)
