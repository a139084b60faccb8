"""Every measured number of the pages stands in a stored table, every size in the code."""

import csv
import json
import re
from pathlib import Path
from statistics import fmean

import pytest
import torch

from figures.budget import _reached
from sdsim.models import LanguageModel
from sdsim.text.flops import training_flops
from sdsim.text.presets import preset_of
from theory import bitmap_held_bits, bitmap_search_accuracy, search_accuracy

ROOT = Path(__file__).parent.parent
ORDER = "tiny_five_seeds/figures/order.csv"
BREADTH = "breadth_tiny/figures"
SIZES = ("944", "1168", "1392", "1616", "1840")

MINUS = "\N{MINUS SIGN}"

Row = dict[str, str]


def rows(table: str, **filters: str) -> list[Row]:
    """The rows of a table of results/ whose columns have these values, in the table's order."""
    with (ROOT / "results" / table).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [row for row in found if all(row[column] == filters[column] for column in filters)]


def text(value: float, form: str) -> str:
    """As the pages write it, with the minus sign of typography."""
    return f"{value:{form}}".replace("-", MINUS)


def gap(row: Row, *, interval: bool = True) -> str:
    mean = text(float(row["gap"]), "+.3f")
    low, high = (text(float(row[f"gap_{end}"]), ".3f") for end in ("low", "high"))
    return f"{mean} [{low}, {high}]" if interval else mean


def best_in(model: str, bits: int, order: str) -> str:
    """The accuracy that a picture's line shows at this many bits."""
    table = rows(f"{BREADTH}/bits.csv", model=model, state_bits=str(bits), order=order)
    return text(max(float(row["accuracy"]) for row in table), ".2f")


def five_seeds(model: str) -> list[Row]:
    found = rows(ORDER, model=model, seed="")
    assert all(row["seeds"] == "5" for row in found)
    return found


def converged(model: str, *, store: str = "converged_tiny") -> list[Row]:
    found = rows(f"{store}/figures/order.csv", model=model, seed="")
    assert all(row["converged"] == row["seeds"] for row in found)
    return found


def readme() -> list[str]:
    jrt, based = (converged(model, store="tiny")[-1] for model in ("jrt_rnn", "based"))
    assert all(float(jrt[order]) > float(based[order]) for order in ("short_first", "long_first"))
    smallest = min(int(row["state_bytes"]) for row in converged("gru", store="tiny"))
    memory = rows("tiny/figures/memory.csv", model="gru", target="0.5")
    bounds = {row["size_a"]: row["bound"] for row in memory}
    based_bits = [best_in("based", 1112, order) for order in ("short_first", "long_first")]
    return [
        f"with {jrt['state_bytes']} bytes of state it is more accurate than",
        f"{8 * smallest} bits and more, and the bound without errors is {bounds['2']} bits with "
        f"the short set first, {bounds['14']} with the long one",
        f"In 64 bits a GRU reaches {best_in('gru', 64, 'short_first')} with the short set first "
        f"and {best_in('gru', 64, 'long_first')} with the long one",
        f"Based takes 1,112 bits for {min(based_bits)} or more",
    ]


def reproduction_converged() -> list[str]:
    based, noncausal, jrt = map(converged, ("based", "based_noncausal", "jrt_rnn"))
    gru = sorted(float(row["gap"]) for row in converged("gru"))
    sizes = [row["state_bytes"] for row in based]
    assert all([row["state_bytes"] for row in model] == sizes for model in (noncausal, jrt))
    for row, causal, other in list(zip(jrt, based, noncausal, strict=True))[1:]:
        for order in ("short_first", "long_first"):
            assert float(row[order]) > max(float(causal[order]), float(other[order]))
    pairs = ", ".join(
        f"{float(row['short_first']):.3f} / {float(causal['short_first']):.3f}"
        for row, causal in zip(jrt, based, strict=True)
    )
    return [
        f"its gap is {', '.join(map(gap, by_steps('based')))}.",
        f"Based, gap {', '.join(map(gap, based))} at {sizes[0]} to {sizes[-1]} bytes",
        f"| {', '.join(map(gap, noncausal))} |",
        f"| {', '.join(map(gap, jrt))} |",
        f"JRT-RNN / Based: {pairs} |",
        f"GRU: gap {text(gru[0], '+.3f')} to {text(gru[-1], '+.3f')} |",
    ]


STEPS = "steps_tiny/figures/order.csv"


def by_steps(model: str) -> list[Row]:
    steps = ("2000", "4000", "8000", "16000")
    return [rows(STEPS, model=model, variant=f"steps={n}", seed="")[0] for n in steps]


def more_steps() -> list[str]:
    claims = []
    for row, other in zip(by_steps("based"), by_steps("based_noncausal"), strict=True):
        both = [
            f"{float(r['short_first']):.3f} / {float(r['long_first']):.3f}" for r in (row, other)
        ]
        claims.append(f"| {both[0]} | {gap(row)} | {both[1]} | {gap(other)} |")
    return claims


def reproduction() -> list[str]:
    based, noncausal = five_seeds("based"), five_seeds("based_noncausal")
    jrt, gru = five_seeds("jrt_rnn"), five_seeds("gru")
    assert [row["state_bytes"] for row in based] == list(SIZES)
    assert [float(row["gap_high"]) < 0 for row in noncausal] == [True] * 2 + [False] * 3
    assert [float(row["gap_low"]) > 0 for row in based] == [True] * 3 + [False] * 2
    assert all(round(abs(float(row["gap"])), 3) <= 0.001 for row in jrt[2:])
    gaps = sorted(float(row["gap"]) for row in noncausal)
    gru_gaps = sorted(float(row["gap"]) for row in gru)
    breadth = {row["model"]: row for row in rows(f"{BREADTH}/order.csv", seed="", width="16")}
    floors = ("short_first", "long_first", "last_set_short_first", "last_set_long_first")
    conv = {name: text(float(breadth["base_conv"][name]), ".3f") for name in floors}
    memory = rows("bits_tiny/figures/memory.csv", model="based", reading="exact", target="0.5")
    memory.sort(key=lambda row: int(row["size_a"]))
    bounds = [row["bound"] for row in memory]
    gains = [
        row
        for row in rows("passes_tiny/figures/passes.csv", model="based", passes="2")
        if row["experiment"] == "task=set_disjointness"
    ]
    most = max(gains, key=lambda row: float(row["gain"]))
    gain, low, high = (float(most[name]) for name in ("gain", "gain_low", "gain_high"))
    jrt_gaps = " and ".join(gap(row, interval=False) for row in jrt[:2])
    return [
        "gap " + ", ".join(gap(row) for row in based) + " at 944 to 1,840 bytes",
        ", ".join(
            f"{float(wide['long_first']):.3f} / {float(row['long_first']):.3f}"
            for wide, row in zip(noncausal, based, strict=True)
        ),
        f"{text(gaps[0], '.3f')} to {text(gaps[-1], '.3f')}, the intervals of the two smallest "
        "states below 0",
        f"{jrt_gaps} at the two small states",
        f"GRU: gap {text(gru_gaps[0], '+.3f')} to {text(gru_gaps[-1], '+.3f')} in five seeds",
        f"GLA {gap(breadth['gla'])} and Mamba-2 {gap(breadth['mamba2'])}",
        f"BaseConv alone: {conv['short_first']} with the short set first, "
        f"{conv['long_first']} with the long one; naming any token of the last set has "
        f"{conv['last_set_short_first']} and {conv['last_set_long_first']}",
        "Based " + ", ".join(f"{int(row['bits']):,}" for row in memory) + " at",
        f"the bound without errors {bounds[0]} to {max(bounds, key=int)}",
        f"one pass to two: at most {gain:+.3f} [{low:.3f}, {high:.3f}]",
    ]


def timed(what: str, method: str) -> list[Row]:
    """One method's rows of the report of the CPU, those that were run, the shorter first."""
    found = rows(f"bench/cpu/{what}.csv", method=method)
    return [row for row in found if row["seconds"]]


def kernels() -> list[str]:
    def milliseconds(what: str, method: str) -> str:
        return " | ".join(f"{float(row['seconds']) * 1e3:,.0f}" for row in timed(what, method))

    def column(what: str, name: str, form: str) -> str:
        return " | ".join(f"{float(row[name]):{form}}" for row in timed(what, "jrt-rnn"))

    lengths = " | ".join(f"{int(row['length']):,}" for row in timed("prefill", "jrt-rnn"))
    rates = []
    for what in ("prefill", "train"):
        report = json.loads((ROOT / f"results/bench/cpu/{what}.json").read_text(encoding="utf-8"))
        rates.append(f"{report['ceilings']['operations_per_second'] / 1e9:.0f}")
    return [
        f"| prefill, N | {lengths} |",
        f"| JRT-RNN (`chunked`) | {milliseconds('prefill', 'jrt-rnn')} |",
        f"| JRT-Prompt (2N tokens) | {milliseconds('prefill', 'jrt-prompt')} |",
        f"| torch's flash attention | {milliseconds('prefill', 'sdpa, flash')} |",
        f"| JRT-RNN is faster by | {column('prefill', 'speedup', '.1f')} |",
        f"| fraction of roofline | {column('prefill', 'attained', '.2f')} |",
        f"| training step, N | {lengths} |",
        f"| JRT-RNN (`chunked`) | {milliseconds('train', 'jrt-rnn')} |",
        f"| its quadratic form | {milliseconds('train', 'jrt-rnn, quadratic')} | | | |",
        f"| torch's flash attention | {milliseconds('train', 'sdpa, flash')} |",
        f"| fraction of roofline | {column('train', 'attained', '.2f')} |",
        f"({' and '.join(rates)} GFLOP/s when these were measured)",
    ]


def full_scale() -> list[str]:
    """The presets' sizes, of models without memory."""
    claims = []
    for size, unit, digits in (("360m", 1e6, 1), ("1b3", 1e9, 3), ("tiny", 1e6, 2)):
        names = [f"{model}_{size}" for model in ("jrt", "based", "transformer")]
        counts = []
        for name in names:
            preset = preset_of(name)
            with torch.device("meta"):
                model = LanguageModel(preset.config, preset.vocab_size)
            count = sum(parameter.numel() for parameter in model.parameters())
            counts.append(f"{count / unit:.{digits}f}{'B' if unit == 1e9 else 'M'}")
        first = preset_of(names[0])
        claims.append(f"| `{'`, `'.join(names)}` | {', '.join(counts)} |")
        claims.append(f"| {first.seq_len} | {first.prefix_len}, -, - |")
    return claims


ITEMS = {"fda": 1102, "swde": 1111, "nq": 3157, "squad": 2984, "triviaqa": 1698, "drop": 2084}
"""The paper's data sets (its Table 1)."""

CUT = sum(ITEMS[task] for task in ("fda", "swde", "nq"))
PROMPTS = {
    "Table 2": {512: CUT, 1024: CUT, 2000: sum(ITEMS.values()) - CUT},
    "Table 1": {1000: sum(ITEMS.values()), 2000: sum(ITEMS.values())},
}
"""How many prompts of at most how many tokens a model reads."""

H100_FLOPS, H100_BYTES, NEW_TOKENS, BATCH = 989.4e12, 3.35e12, 48, 32


def projected_minutes(kind: str, size: str, prompts: dict[int, int]) -> float:
    """Minutes on an H100, if it attained the fractions of its peaks that a CPU attains of its."""

    def forward(name: str, length: int) -> tuple[float, int]:
        preset = preset_of(name)
        with torch.device("meta"):
            model = LanguageModel(preset.config, preset.vocab_size)
        weights = sum(parameter.numel() for parameter in model.parameters())
        return training_flops(model, length, min(preset.prefix_len, length), 1) / 3, weights

    def seconds(what: str) -> float:
        (row,) = rows(f"bench/cpu/{what}.csv", method=f"{kind}_tiny", length="1024")
        return float(row["seconds"])

    report = json.loads((ROOT / "results/bench/cpu/model_prefill.json").read_text(encoding="utf-8"))
    peak, bandwidth = (report["ceilings"][f"{n}_per_second"] for n in ("operations", "bytes"))
    flops, weights = forward(f"{kind}_tiny", 1024)
    read_share = flops / seconds("model_prefill") / peak
    step_share = 4 * weights / seconds("model_decode") / bandwidth
    name = f"{kind}_{size}"
    reading = sum(count * forward(name, length)[0] for length, count in prompts.items())
    steps = sum(prompts.values()) / BATCH * NEW_TOKENS
    writing = steps * 2 * forward(name, 1024)[1]
    return (reading / (read_share * H100_FLOPS) + writing / (step_share * H100_BYTES)) / 60


def projection() -> list[str]:
    names = [(kind, size) for size in ("360m", "1b3") for kind in ("jrt", "based", "transformer")]
    return [
        f"| {table} | {sum(prompts.values()):,} | "
        + " | ".join(f"{projected_minutes(*name, prompts):.1f}" for name in names)
        + " |"
        for table, prompts in PROMPTS.items()
    ]


SPEED = "bench/speed_19/sweep.csv"
MIXERS = {
    "gru": "GRU",
    "lstm": "LSTM",
    "based": "Based",
    "jrt_rnn": "JRT-RNN",
    "gla": "GLA",
    "mamba2": "Mamba-2",
    "gated_deltanet": "Gated DeltaNet",
}


def trained(model: str, width: str, members: str, mode: str) -> Row:
    (row,) = rows(SPEED, model=model, width=width, members=members, way=mode)
    return row


def speed() -> list[str]:
    """A line for each mixer and width."""
    claims = []
    for model, name in MIXERS.items():
        for width in ("16", "32", "64"):
            alone = trained(model, width, "16", "sequential")["member_steps_per_second"]
            vmap = trained(model, width, "16", "vmap")["speedup"]
            compiled = [trained(model, width, n, "compiled") for n in ("1", "4", "16", "64")]
            ratios = " | ".join(f"{float(row['speedup']):.1f}" for row in compiled)
            rate, attained = (compiled[2][key] for key in ("member_steps_per_second", "attained"))
            claims.append(
                f"| {name} | {width} | {float(alone):,.0f} | {float(vmap):.1f} | {ratios} | "
                f"{float(rate):,.0f} | {float(attained):.2f} |"
            )
    return claims


def speed_in_short() -> list[str]:
    def ratio(model: str, width: str) -> str:
        return f"{float(trained(model, width, '16', 'compiled')['speedup']):.1f}"

    return [
        f"{ratio('gru', '16')} times as fast as one by one (a GRU of width 16; an LSTM "
        f"{ratio('lstm', '16')}, Based of width 32 {ratio('based', '32')}, "
        f"JRT-RNN {ratio('jrt_rnn', '32')} times)"
    ]


NEEDED = "memory_tiny/figures/needed.csv"
BUDGET = "memory_tiny/figures/budget.csv"
HELD = "memory_tiny/figures/held.csv"
CODE = "memory_tiny/figures/code.csv"
LINEAR = ("based", "gated_deltanet")
RATES = "memory_rates/figures/rates.csv"


def bits_for(size_a: str, accuracy: float) -> str:
    """Bits with which one reading comes to an accuracy."""
    table = rows(BUDGET, model="gru", passes="1", size_a=size_a)
    points = sorted((int(row["state_bits"]), float(row["accuracy"])) for row in table)
    bits = _reached([held for held, _ in points], [right for _, right in points], accuracy)
    assert bits is not None
    return f"{bits:.1f}"


def needed() -> list[str]:
    """Bits of memory: a line for each |A|, then what the page says of them."""
    once, twice = (rows(NEEDED, model="gru", passes=passes) for passes in ("1", "2"))
    lstm = rows(NEEDED, model="lstm", passes="1")

    claims = []
    lstm_twice = rows(NEEDED, model="lstm", passes="2")
    for row, other, again, other_again in zip(once, lstm, twice, lstm_twice, strict=True):
        assert len({each["size_a"] for each in (row, other, again, other_again)}) == 1
        claims.append(
            f"| {row['size_a']} | {row['size_b']} | {float(row['target']):.3f} "
            f"| {bits_of(row)} | {bits_of(other)} | {float(row['proved']):.1f} "
            f"| {float(row['bitmap']):.1f} | {float(row['stored']):.0f} | {bits_of(again)} "
            f"| {bits_of(other_again)} |"
        )
        assert float(row["bits_low"]) < float(other["bits_high"])  # their intervals overlap
        assert float(other["bits_low"]) < float(row["bits_high"])
        below = float(again["bits_high"]) < float(row["proved"])
        assert below == (int(row["size_a"]) >= 4)
        assert max(float(again["bits"]), float(other_again["bits"])) <= 6
    short, long = once[0], once[-1]
    claims.append(
        f"{float(short['bits']):.1f} bits with |A| = 2 and {float(long['bits']):.1f} with |A| = 6"
    )
    at = {a: [bits_for(str(size), a) for size in (2, 6)] for a in (0.8, 0.9, 0.95)}
    claims.append(f"0.95 takes {' and '.join(at[0.95])} bits, 0.9 takes {' and '.join(at[0.9])}")
    claims.append(f"there is no difference, {' and '.join(at[0.8])}")
    ratios = sorted(float(row["ratio"]) for row in once + lstm)
    claims.append(f"within a factor of {ratios[0]:.1f} to {ratios[-1]:.1f} of what")
    accuracy = {
        (row["passes"], row["size_a"]): f"{float(row['accuracy']):.2f} "
        f"[{float(row['accuracy_low']):.2f}, {float(row['accuracy_high']):.2f}]"
        for row in rows(BUDGET, model="gru", state_bits="4")
    }
    by_passes = [f"{accuracy[p, '2']} and {accuracy[p, '6']}" for p in ("2", "1")]
    best = [f"{search_accuracy(16, size, 8 - size, 4):.2f}" for size in (2, 6)]
    claims.append(f"the GRU is right in {by_passes[0]} of the cases at |A| = 2 and 6")
    claims.append(
        f"with 4 bits and one reading in {by_passes[1]}, where no reader of any kind exceeds "
        f"{' and '.join(best)}"
    )
    unfinished = [
        sum(int(row["runs"]) - int(row["converged"]) for row in part)
        for part in (once + lstm + twice + lstm_twice, twice + lstm_twice)
    ]
    runs = sum(int(row["runs"]) for row in once + lstm + twice + lstm_twice)
    claims.append(f"and {unfinished[0]} of {runs} runs, {unfinished[1]} of them with two readings")
    return claims


def bits_of(row: Row) -> str:
    """Bits needed with their interval; more than were tried, or no more than the fewest."""
    more = f"> {row['largest']}"
    bits, low, high = (
        f"{float(row[name]):.1f}" if row[name] else more
        for name in ("bits", "bits_low", "bits_high")
    )
    least = "≤ " if row["bits"] == f"{float(row['smallest'])}" else ""
    return f"{least}{bits} [{low}, {high}]"


def bitmaps() -> list[str]:
    """What networks do with few bits, beside a bitmap, the best code found, and the bound."""

    def line(name: str, values: list[float]) -> str:
        return f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |"

    def accuracies(model: str) -> list[float]:
        table = rows(BUDGET, model=model, passes="1", state_bits="8")
        return [float(row["accuracy"]) for row in sorted(table, key=lambda row: row["size_a"])]

    codes = rows("theory/codes.csv", universe="16", bits="8")
    bitmap = [float(row["bitmap"]) for row in codes]
    claims = [
        line("GRU", accuracies("gru")),
        line("LSTM", accuracies("lstm")),
        line("bitmap", bitmap),
        line("best code found", [float(row["found"]) for row in codes]),
        line("proved bound", [float(row["at_most"]) for row in codes]),
    ]
    apart, points = [], 0
    for row in rows(BUDGET, passes="1"):
        a, bits = int(row["size_a"]), int(row["state_bits"])
        if a >= 4:
            exact = float(bitmap_search_accuracy(16, a, 8 - a, min(16, bits)))
            apart.append(abs(float(row["accuracy"]) - exact))
            points += 1
    assert max(apart) < 0.035
    claims.append(f"within {max(apart):.3f} in all {points} points, on average {fmean(apart):.3f}")
    by_size = {
        size: fmean(float(row["share"]) for row in rows(CODE, size_a=size, state_bits="8"))
        for size in ("2", "4", "6")
    }
    claims.append(f"With |A| = 6 and 8 bits {by_size['6']:.2f} of what a bit says is")
    claims.append(f"With |A| = 4 it is {by_size['4']:.2f}, with |A| = 2 {by_size['2']:.2f}")
    assert {row["elements"] for row in rows(CODE, size_a="6", state_bits="8")} == {"8"}
    gained = [
        float(row["found"]) - float(row["bitmap"])
        for row in rows("theory/codes.csv", universe="16")
        if int(row["size_a"]) >= 4
    ]
    claims.append(f"{min(gained):.2f} to {max(gained):.2f} more of the cases")
    probed = {
        name: [
            fmean(float(row[name]) for row in rows(HELD, size_a=size, state_bits="8"))
            for size in ("2", "4", "6")
        ]
        for name in ("held", "proved")
    }
    held, proved = ([f"{bits:.1f}" for bits in probed[name]] for name in ("held", "proved"))
    claims.append(f"finds in 8 bits {held[0]}, {held[1]} and {held[2]} bits")
    claims.append(f"proves {proved[0]}, {proved[1]} and {proved[2]} (")
    in_bitmap = [f"{bitmap_held_bits(16, size, 8):.1f}" for size in (4, 6)]
    claims.append(f"a bitmap holds {' and '.join(in_bitmap)} of A at |A| = 4 and 6")
    assert len(rows(HELD)) == len(rows(CODE)) == 105
    spreads = []
    for model, bits in (("gru", "4"), ("gru", "8"), ("lstm", "8")):
        for sizes in ("[[2, 6]]", "[[6, 2]]"):
            found = [
                float(row["accuracy"])
                for row in rows(RATES, model=model, state_numbers=f"[{bits}]")
                if row["experiment"] == f"train_sizes={sizes}"
            ]
            assert len(found) == 4
            spreads.append(max(found) - min(found))
    claims.append(f"from 1.25e-3 to 1e-2 accuracy changes by {max(spreads):.3f} at most")
    return claims


def linear() -> list[str]:
    """Linear mixers within a budget, beside a GRU and a bitmap."""

    def found(store: str, model: str, size: int, bits: int, *, passes: int = 1) -> Row:
        table = f"{store}/figures/slices.csv"
        wanted = {"passes": passes, "size_a": size, "state_bits": bits}
        (row,) = rows(table, model=model, **{name: str(value) for name, value in wanted.items()})
        assert row["seeds"] == "5"
        return row

    def with_interval(row: Row) -> str:
        ends = [f"{float(row[f'accuracy_{end}']):.2f}" for end in ("low", "high")]
        return f"{float(row['accuracy']):.3f} [{', '.join(ends)}]"

    claims, apart = [], []
    for size, budgets in ((2, (4, 6, 8, 12)), (4, (4, 8, 10, 12)), (6, (4, 8, 10, 12))):
        for bits in budgets:
            mixers = [found("memory_linear", mixer, size, bits) for mixer in LINEAR]
            gru = found("memory_tiny", "gru", size, bits)
            bitmap = float(bitmap_search_accuracy(16, size, 8 - size, bits))
            cells = [with_interval(row) for row in (*mixers, gru)]
            claims.append(f"| {size} | {bits} | {' | '.join(cells)} | {bitmap:.3f} |")
            apart += [abs(float(row["accuracy"]) - float(gru["accuracy"])) for row in mixers]
    claims.append(f"by {max(apart):.3f} at most, on average by {fmean(apart):.3f}")
    stores = (*(("memory_linear", mixer) for mixer in LINEAR), ("memory_tiny", "gru"))
    ratios = []
    for size in ("2", "4", "6"):
        needed_bits = [
            rows(f"{store}/figures/needed.csv", model=model, passes="1", size_a=size)[0]
            for store, model in stores
        ]
        cells = " | ".join(map(bits_of, needed_bits))
        proved, bitmap = (float(needed_bits[-1][name]) for name in ("proved", "bitmap"))
        claims.append(f"| {size} | {cells} | {proved:.1f} | {bitmap:.1f} |")
        ratios += [float(row["ratio"]) for row in needed_bits[:2] if row["ratio"]]
    claims.append(f"{min(ratios):.1f} to {max(ratios):.1f} times what is proved")
    codes = "memory_linear/figures/code.csv"
    share = {
        (mixer, size): fmean(float(row["share"]) for row in rows(codes, model=mixer, size_a=size))
        for mixer in LINEAR
        for size in ("4", "6")
    }
    based, gated = LINEAR
    claims.append(
        f"With 10 bits and |A| = 6, {share[gated, '6']:.2f} (Gated DeltaNet) and "
        f"{share[based, '6']:.2f} (Based)"
    )
    claims.append(f"with |A| = 4 {share[gated, '4']:.2f} and {share[based, '4']:.2f}")
    assert {row["state_bits"] for row in rows(codes)} == {"10"}
    assert {row["elements"] for row in rows(codes)} == {"9", "10"}
    twice = {
        (mixer, bits): with_interval(found("memory_linear", mixer, 6, bits, passes=2))
        for mixer in LINEAR
        for bits in (4, 6)
    }
    claims.append(
        f"Gated DeltaNet is right in {twice[gated, 6]} of the cases with 6 bits, where no single "
        f"reading exceeds {search_accuracy(16, 6, 2, 6):.2f}, and in {twice[gated, 4]} with 4"
    )
    claims.append(f"less: it is right in {twice[based, 6]} and {twice[based, 4]}")
    jrt = with_interval(found("memory_linear", "jrt_rnn", 6, 16))
    claims.append(f"{jrt} of the cases")
    settings = [
        row
        for mixer in LINEAR
        for row in rows("memory_linear/figures/slices.csv", model=mixer, passes="1")
    ]
    runs = sum(int(row["seeds"]) for row in settings)
    rising = runs - sum(int(row["converged"]) for row in settings)
    claims.append(f"{rising} of the {runs} runs of the table still rose at 16,000 steps")
    return claims


def orders_in_short() -> list[str]:
    once = rows(NEEDED, model="gru", passes="1")
    ends = [f"{float(row['bits']):.1f}" for row in (once[0], once[-1])]
    return [f"needs {ends[0]} bits with the short set first and {ends[1]} with the long one"]


def needed_in_short() -> list[str]:
    once = rows(NEEDED, model="gru", passes="1")
    ratios = sorted(float(row["ratio"]) for row in once)
    return [
        f"it takes {float(once[0]['bits']):.1f} bits with the short set first and "
        f"{float(once[-1]['bits']):.1f} with the long one, "
        f"{ratios[0]:.1f} to {ratios[-1]:.1f} times"
    ]


def smollm2() -> list[str]:
    """A line for each set of questions and for their mean."""
    table = rows("evaluate_smollm2/table.csv")
    claims = []
    once = {row["task"]: row for row in table if row["prompt"] == "default"}
    for row in (row for row in table if row["prompt"] == "twice"):
        right = [
            f"{float(each['accuracy']):.1f} ± {float(each['standard_error']):.1f}"
            for each in (once[row["task"]], row)
        ]
        gain, low, high = (
            text(float(row[f"difference{end}"]), "+.1f") for end in ("", "_low", "_high")
        )
        claims.append(
            f"| {row['task']} | {row['items']} | {' | '.join(right)} | {gain} [{low}, {high}] "
            f"| {row['gained']} | {row['lost']} |"
        )
    return claims


PAGES = {
    "docs/evaluate.md": smollm2,
    "results/evaluate_smollm2/README.md": smollm2,
    "docs/findings.md": lambda: [*needed(), *bitmaps(), *linear()],
    "README.md": lambda: [*readme(), *needed_in_short(), *speed_in_short()],
    "results/bench/speed_19/README.md": speed,
    "results/steps_tiny/README.md": more_steps,
    "docs/reproduction.md": lambda: [
        *orders_in_short(),
        *reproduction_converged(),
        *reproduction(),
    ],
    "kernels/README.md": kernels,
    "docs/full_scale.md": lambda: [*full_scale(), *projection()],
}


@pytest.mark.parametrize(("page", "claims"), PAGES.items(), ids=PAGES)
def test_measured_numbers(page: str, claims: object) -> None:
    assert callable(claims)
    words = re.sub(r"\s+", " ", (ROOT / page).read_text(encoding="utf-8"))
    for claim in claims():
        assert claim in words, f"{page} does not say what the stored table says: {claim}"
