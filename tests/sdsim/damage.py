"""What may become of a file: strategies of Hypothesis for damage, and for values edited by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 7, 2**31, 10**12, 10**30, -(2**63)]),
    st.sampled_from([0.5, -1.0, 1e308, float("nan"), float("inf")]),
    st.sampled_from(["", "x", "../x", "3", "[a]", "a\nb", "\u202eabc", "null", "\x00", "$x_1$"]),
    st.sampled_from([[], {}, [None], [[]], {"": None}, {"x": [1]}]),
)
"""JSON values, of every type, that a file might hold in a wrong place."""

Damage = Callable[[bytes], bytes]


@st.composite
def byte_damage(draw: st.DrawFn) -> Damage:
    """Empty, cut, a bit flipped, a piece twice, other bytes at the end or throughout."""
    kind = draw(st.sampled_from(["cut", "flip", "twice", "append", "replace"]))
    place = draw(st.floats(0, 1, exclude_max=True))
    other = draw(st.binary(max_size=20))
    bit = draw(st.integers(0, 7))

    def damage(content: bytes) -> bytes:
        at = int(place * len(content))
        if kind == "cut":
            return content[:at]
        if kind == "flip" and content:
            return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        if kind == "twice":
            return content[:at] + content[at // 2 :]
        return content + other if kind == "append" else other

    return damage


@st.composite
def edit(draw: st.DrawFn) -> Damage:
    """A value of a JSON file, somewhere, that is another one, gone, or under another name."""
    steps = draw(st.lists(st.integers(0, 100), min_size=1, max_size=6))
    kind = draw(st.sampled_from(["replace", "replace", "remove", "rename", "repeat"]))
    value = draw(VALUES)

    def damage(content: bytes) -> bytes:
        whole = json.loads(content)
        holder, key = _place(whole, steps)
        if holder is None:
            return json.dumps(value).encode()
        if kind == "replace":
            holder[key] = value
        elif kind == "repeat" and isinstance(holder, list):
            holder.append(holder[key])
        elif kind == "rename" and isinstance(holder, dict):
            holder["other"] = holder.pop(key)
        else:
            del holder[key]
        return json.dumps(whole).encode()

    return damage


def _place(whole: Any, steps: list[int]) -> tuple[Any, Any]:
    """A container in a JSON value and a key of it: at each level the step-th entry."""
    holder, key = None, None
    for step in steps:
        if not isinstance(whole, dict | list) or not whole:
            break
        keys = sorted(whole) if isinstance(whole, dict) else range(len(whole))
        holder, key = whole, keys[step % len(keys)]
        whole = whole[key]
    return holder, key


def reads_or_names(read: Callable[[], object], file: Path) -> None:
    """It returns, or raises a `ValueError` of one line that names the file or its folder."""
    try:
        read()
    except ValueError as error:
        message = str(error)
        assert "\n" not in message
        assert file.name in message or str(file.parent) in message
