import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthetic import (
    IGNORE_INDEX,
    AssociativeRecall,
    Batch,
    GeneralAssociativeRecall,
    MultiQueryAssociativeRecall,
    RecallOrder,
)
from theory.reductions import GeneralRecallInstance

TwoSided = AssociativeRecall | GeneralAssociativeRecall


@st.composite
def two_sided(draw: st.DrawFn) -> TwoSided:
    pairs = draw(st.integers(1, 10))
    queries = draw(st.integers(1, pairs))
    general = draw(st.booleans())
    keys = pairs + (queries if general else 0) + draw(st.integers(0, 9))
    # The odd one out of the ordinary tokens is a key.
    vocab_size = 4 + 2 * keys - (draw(st.booleans()) and keys > pairs)
    order: RecallOrder = draw(st.sampled_from(["context_first", "query_first"]))
    passes = draw(st.integers(1, 3))
    if not general:
        return AssociativeRecall(vocab_size, pairs, queries, order, passes)
    return GeneralAssociativeRecall(
        vocab_size, pairs, queries, passes, order, null_share=draw(st.sampled_from([0, 0.3, 1]))
    )


@st.composite
def multi_query(draw: st.DrawFn) -> MultiQueryAssociativeRecall:
    pairs = draw(st.integers(1, 10))
    queries = draw(st.integers(1, pairs))
    vocab_size = 4 + 2 * pairs + draw(st.integers(0, 20))
    passes = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return MultiQueryAssociativeRecall(vocab_size, pairs, queries, passes)
    return MultiQueryAssociativeRecall(
        vocab_size,
        pairs,
        queries,
        passes,
        gaps="power_law",
        query_len=queries + draw(st.integers(0, 9)),
        exponent=draw(st.sampled_from([0.01, 0.5, 1])),
    )


def pairs_of(context: list[int]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(context[::2], context[1::2], strict=True))


def check_lookups(
    vocab_size: int, context: list[int], queries: list[int], answers: list[int | None]
) -> None:
    """Checked against the definition in `theory`."""
    pairs = pairs_of(context)
    keys, values = {key for key, _ in pairs}, {value for _, value in pairs}
    assert len(keys) == len(values) == len(pairs)
    assert len(set(queries)) == len(queries)
    first_value = 4 + (vocab_size - 4 + 1) // 2
    assert all(4 <= key < first_value for key in keys.union(queries))
    assert all(first_value <= value < vocab_size for value in values)
    recall = GeneralRecallInstance(pairs, tuple(queries), values=vocab_size)
    assert tuple(answers) == recall.solve()


@given(two_sided(), st.integers(0, 2**40), st.integers(0, 2**40))
def test_two_sided_examples_are_valid(task: TwoSided, seed: int, start: int) -> None:
    batch = task.sample(4, seed=seed, start=start)
    assert batch.prefix_len == task.seq_len
    sides = 2 * task.pairs, task.queries
    length_a, length_b = sides if task.order == "context_first" else sides[::-1]
    for row, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        side_a, side_b = row[1 : 1 + length_a], row[2 + length_a : 2 + length_a + length_b]
        once = [task.PREFIX, *side_a, task.SEP, *side_b]
        assert row == once * task.passes + [task.SEP_ANSWER] * task.queries
        assert set(targets[: -task.queries]) == {IGNORE_INDEX}
        context, queries = (side_a, side_b) if task.order == "context_first" else (side_b, side_a)
        null = getattr(task, "NULL", None)
        answers = [None if answer == null else answer for answer in targets[-task.queries :]]
        check_lookups(task.vocab_size, context, queries, answers)


@given(multi_query(), st.integers(0, 2**40), st.integers(0, 2**40))
def test_multi_query_examples_are_valid(
    task: MultiQueryAssociativeRecall, seed: int, start: int
) -> None:
    batch = task.sample(4, seed=seed, start=start)
    query_len = task.queries if task.query_len is None else task.query_len
    assert batch.prefix_len == task.seq_len - query_len
    for row, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        context, part = row[1 : 1 + 2 * task.pairs], row[-query_len:]
        assert row == [task.PREFIX, *context, task.SEP, *part] * task.passes
        assert set(targets[: batch.prefix_len]) <= {IGNORE_INDEX}
        asked = [target != IGNORE_INDEX for target in targets[-query_len:]]
        assert [token == task.FILLER for token in part] == [not it for it in asked]
        queries = [token for token, it in zip(part, asked, strict=True) if it]
        assert len(queries) == task.queries
        answers = [target for target in targets if target != IGNORE_INDEX]
        check_lookups(task.vocab_size, context, queries, answers)


@given(two_sided(), st.integers(0, 1000))
def test_both_orders_show_the_same_examples(task: TwoSided, seed: int) -> None:
    context_first, query_first = (
        replace(task, order=order, passes=1) for order in ("context_first", "query_first")
    )
    batch, swapped_batch = (t.sample(5, seed=seed) for t in (context_first, query_first))
    middle = 1 + 2 * task.pairs
    swapped = [
        batch.inputs[:, :1],
        batch.inputs[:, middle + 1 : -task.queries],
        batch.inputs[:, middle : middle + 1],
        batch.inputs[:, 1:middle],
        batch.inputs[:, -task.queries :],
    ]
    assert torch.equal(torch.cat(swapped, 1), swapped_batch.inputs)
    assert torch.equal(batch.targets, swapped_batch.targets)
    assert (context_first.size_a, context_first.size_b) == (task.pairs, task.queries)
    assert (query_first.size_a, query_first.size_b) == (task.queries, task.pairs)
    assert (context_first.order, query_first.order) == ("context_first", "query_first")


def chi_squared(counts: Tensor, expected: Tensor | float) -> float:
    """Pearson's, in standard deviations above its mean."""
    degrees = counts.numel() - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - degrees) / math.sqrt(2 * degrees)


def answers_of(batch: Batch) -> Tensor:
    rows = len(batch.targets)
    return batch.targets[batch.targets != IGNORE_INDEX].view(rows, -1)


@pytest.mark.parametrize(
    "task",
    [
        AssociativeRecall(24, pairs=5, queries=3),
        GeneralAssociativeRecall(24, pairs=5, queries=3, null_share=0.25),
        MultiQueryAssociativeRecall(24, pairs=5, queries=3),
        MultiQueryAssociativeRecall(24, pairs=5, queries=3, gaps="power_law", query_len=6),
    ],
    ids=str,
)
def test_answers_are_uniform(
    task: AssociativeRecall | GeneralAssociativeRecall | MultiQueryAssociativeRecall,
) -> None:
    """For each slot, (place of the pair, value): so that no guess but by the key beats chance."""
    examples = 30_000
    batch = task.sample(examples, seed=0)
    answers = answers_of(batch)
    values = batch.inputs[:, 2 : 1 + 2 * task.pairs : 2]
    best = 0.0
    for answer in answers.T:
        row, place = torch.nonzero(values == answer[:, None], as_tuple=True)
        cells = torch.bincount(place * 10 + answer[row] - 14, minlength=50).double()
        assert chi_squared(cells, len(row) / 50) < 6
        shares = [len(row) / task.pairs, examples - len(row)]
        best += max(shares) / examples / task.queries
    assert best == pytest.approx(task.chance, abs=4 * 0.5 / examples**0.5)


def test_keys_are_uniform_and_queries_unordered() -> None:
    """(The first key, the second query's place, the third's), all combinations equally often."""
    batch = AssociativeRecall(4 + 14, pairs=5, queries=5).sample(40_000, seed=0)
    keys, queries = batch.inputs[:, 1:11:2], batch.inputs[:, 12:17]
    second, third = ((keys == queries[:, i : i + 1]).int().argmax(1) for i in (1, 2))
    cells = torch.bincount(((keys[:, 0] - 4) * 5 + second) * 5 + third, minlength=175).double()
    cells = cells.view(7, 5, 5)[:, ~torch.eye(5, dtype=torch.bool)]
    assert cells.sum() == 40_000
    assert chi_squared(cells, 40_000 / cells.numel()) < 6


def test_a_key_says_nothing_about_its_value() -> None:
    inputs = AssociativeRecall(4 + 14, pairs=3).sample(40_000, seed=0).inputs
    cells = torch.bincount((inputs[:, 1] - 4) * 7 + inputs[:, 2] - 11, minlength=49).double()
    assert cells.sum() == 40_000
    assert chi_squared(cells, 40_000 / 49) < 6


@pytest.mark.parametrize("null_share", [0, 0.25, 0.9, 1])
def test_nulls_are_independent(null_share: float) -> None:
    task = GeneralAssociativeRecall(40, pairs=6, queries=3, null_share=null_share)
    is_null = answers_of(task.sample(20_000, seed=0)) == task.NULL
    pattern = torch.bincount(is_null.long() @ torch.tensor([1, 2, 4]), minlength=8).double()
    absent = torch.tensor([i.bit_count() for i in range(8)])
    expected = 20_000 * null_share**absent * (1 - null_share) ** (3 - absent)
    possible = expected > 0
    assert pattern[~possible].sum() == 0
    if possible.sum() > 1:
        assert chi_squared(pattern[possible], expected[possible]) < 6


def test_absent_keys_look_like_any_other() -> None:
    """Each of the keys that the context lacks is equally likely, given the first pair's key."""
    task = GeneralAssociativeRecall(4 + 14, pairs=3, queries=2, null_share=1)
    inputs = task.sample(40_000, seed=0).inputs
    cells = torch.bincount((inputs[:, 1] - 4) * 7 + inputs[:, 9] - 4, minlength=49).double()
    cells = cells.view(7, 7)[~torch.eye(7, dtype=torch.bool)]
    assert cells.sum() == 40_000
    assert chi_squared(cells, 40_000 / 42) < 6


@pytest.mark.parametrize("exponent", [0.01, 0.5, 1.0])
def test_gaps_follow_the_power_law(exponent: float) -> None:
    task = MultiQueryAssociativeRecall(
        8, pairs=2, queries=1, gaps="power_law", query_len=16, exponent=exponent
    )
    batch = task.sample(40_000, seed=0)
    gaps = (batch.targets[:, -16:] != IGNORE_INDEX).int().argmax(1) + 1
    law = torch.arange(1, 17, dtype=torch.float64) ** (exponent - 1)
    counts = torch.bincount(gaps, minlength=17)[1:].double()
    assert chi_squared(counts, 40_000 * law / law.sum()) < 6


def test_which_query_comes_first_says_nothing() -> None:
    """In the query part, too, all (places of the pairs asked first and second) are as likely."""
    task = MultiQueryAssociativeRecall(12, 4, queries=3, gaps="power_law", query_len=5)
    batch = task.sample(30_000, seed=0)
    keys, part = batch.inputs[:, 1:9:2], batch.inputs[:, -5:]
    queries = part[part != task.FILLER].view(-1, 3)
    first, second = ((keys == queries[:, i : i + 1]).int().argmax(1) for i in (0, 1))
    cells = torch.bincount(first * 4 + second, minlength=16).double()
    cells = cells.view(4, 4)[~torch.eye(4, dtype=torch.bool)]
    assert chi_squared(cells, 30_000 / 12) < 6


def test_what_multi_query_recall_reports() -> None:
    task = MultiQueryAssociativeRecall(21, pairs=6, queries=4)
    assert (task.size_a, task.size_b, task.order) == (6, 4, "context_first")
    assert (task.universe_size, task.chance, task.seq_len) == (9, 1 / 6, 18)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pairs": 0}, "pairs = 0: a whole number"),
        ({"queries": 2.0}, "queries = 2.0: a whole number"),
        ({"passes": -1}, "passes = -1: a whole number"),
        ({"vocab_size": 3}, "pairs = 3 does not fit: vocab_size = 3 leaves 0 keys and 0 values"),
        ({"vocab_size": 9}, "pairs = 3 does not fit: vocab_size = 9 leaves 3 keys and 2 values"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "kind", [AssociativeRecall, GeneralAssociativeRecall, MultiQueryAssociativeRecall]
)
def test_bad_sizes(kind: type, change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**{"vocab_size": 20, "pairs": 3, "queries": 2, **change})


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (AssociativeRecall, {"order": "short_first"}, "order = 'short_first': one of context_fi"),
        (GeneralAssociativeRecall, {"order": ""}, "order = '': one of context_first"),
        (GeneralAssociativeRecall, {"null_share": -0.1}, "null_share = -0.1: must lie in"),
        (GeneralAssociativeRecall, {"null_share": 1.5}, "null_share = 1.5: must lie in"),
        (GeneralAssociativeRecall, {"null_share": math.nan}, "null_share = nan: must lie in"),
        (AssociativeRecall, {"queries": 4}, "queries = 4: at most pairs = 3"),
        (MultiQueryAssociativeRecall, {"queries": 4}, "queries = 4: at most pairs = 3"),
        (GeneralAssociativeRecall, {"queries": 6}, r"pairs \+ queries = 3 \+ 6 does not fit"),
        (
            GeneralAssociativeRecall,
            {"pairs": 7},
            r"pairs \+ queries = 7 \+ 2 does not fit: vocab_size = 20 has 8 keys",
        ),
        (MultiQueryAssociativeRecall, {"gaps": "wide"}, "gaps = 'wide': one of dense, power_law"),
        (MultiQueryAssociativeRecall, {"query_len": 4}, "query_len = 4: only gaps = 'power_law'"),
        (MultiQueryAssociativeRecall, {"gaps": "power_law"}, "query_len = None: a whole number"),
        (
            MultiQueryAssociativeRecall,
            {"gaps": "power_law", "query_len": 1},
            "query_len = 1: at least queries = 2",
        ),
        (MultiQueryAssociativeRecall, {"exponent": 0}, "exponent = 0: must lie in"),
        (MultiQueryAssociativeRecall, {"exponent": 1.5}, "exponent = 1.5: must lie in"),
    ],
    ids=str,
)
def test_bad_tasks(kind: type, change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**{"vocab_size": 20, "pairs": 3, "queries": 2, **change})


@pytest.mark.parametrize("null_share", [0.0, 0.5])
@pytest.mark.parametrize("order", ["context_first", "query_first"])
def test_more_queries_than_pairs(order: RecallOrder, null_share: float) -> None:
    """As where set disjointness with the short set first is reduced to it."""
    task = GeneralAssociativeRecall(40, 3, 10, order=order, null_share=null_share)
    batch = task.sample(4000, seed=0)
    start = 1 if order == "query_first" else 2 * 3 + 2
    queries = batch.inputs[:, start : start + 10]
    pairs_at = 1 if order == "context_first" else 10 + 2
    keys = batch.inputs[:, pairs_at : pairs_at + 6 : 2]
    values = batch.inputs[:, pairs_at + 1 : pairs_at + 6 : 2]
    assert all(len(set(row)) == 10 for row in queries.tolist())
    asks = queries[:, :, None] == keys[:, None]
    expected = torch.where(
        asks.any(-1), (asks * values[:, None]).sum(-1), torch.tensor(GeneralAssociativeRecall.NULL)
    )
    assert torch.equal(batch.targets[:, -10:], expected)
    present = float(asks.any(-1).float().mean())
    assert present == pytest.approx((1 - null_share) * 0.3, abs=0.01)
    assert asks.any(-1).float().mean(0) == pytest.approx(torch.full((10,), present), abs=0.05)
    assert task.chance == pytest.approx(1 - (1 - null_share) * 0.3)
