import polars as pl
import pytest

from figures import bench, draw_bench
from figures.drawing import NothingToDraw

NONE = dict.fromkeys(("seconds", "seconds_low", "seconds_high", "speedup", "attained"))


@pytest.fixture
def table():
    def row(batch, length, method, seconds):
        return {
            "batch": batch,
            "length": length,
            "method": method,
            "seconds": seconds,
            "seconds_low": seconds * 0.9,
            "seconds_high": seconds * 1.2,
            "speedup": 0.5 / seconds,
            "limit": length * 1e-6,
            "reason": None,
        }

    rows = [
        row(batch, length, method, seconds)
        for batch in (1, 4)
        for length in (64, 128, 256)
        for method, seconds in (("jrt-rnn", length * 1e-4), ("sdpa, flash", length**2 * 1e-4))
    ]
    rows.append(row(1, 64, "sdpa, cudnn", 1.0) | NONE | {"reason": "for CUDA devices only"})
    return pl.DataFrame(rows, infer_schema_length=None)


def test_lines_are_the_medians_of_the_largest_other_size(table):
    figure = bench.draw("prefill", table).figure
    by_length, speed, by_batch, _ = figure.axes
    lines = {line.get_label(): line for line in by_length.lines}
    assert [*lines["JRT-RNN (prefix N/2)"].get_xdata()] == [64, 128, 256]
    assert [*lines["JRT-RNN (prefix N/2)"].get_ydata()] == pytest.approx([6.4, 12.8, 25.6])
    assert [*lines["JRT-RNN's work at the device's roofline"].get_ydata()] == pytest.approx(
        [0.064, 0.128, 0.256]
    )
    assert "Softmax, cuDNN" not in lines  # not run
    lines = {line.get_label(): line for line in by_batch.lines}
    assert [*lines["Softmax, flash"].get_ydata()] == pytest.approx([256**2 * 0.1] * 2)
    assert [*speed.lines[0].get_ydata()] == pytest.approx(
        [0.5 / (n * 1e-4) for n in (64, 128, 256)]
    )


def test_the_size_kept_is_the_one_with_most_cases(table):
    """As `python -m kernels` has it: all lengths at batch 1, a larger batch at some."""
    fewer = table.filter((pl.col("batch") == 1) | (pl.col("length") == 128))
    by_length, _, by_batch, _ = bench.draw("prefill", fewer).figure.axes
    assert [*by_length.lines[0].get_xdata()] == [64, 128, 256]
    assert [*by_batch.lines[0].get_xdata()] == [1, 4]


def test_one_row_of_panels_where_one_size_varies(table):
    assert len(bench.draw("prefill", table.filter(batch=1)).figure.axes) == 2
    with pytest.raises(NothingToDraw, match="two lengths"):
        bench.draw("prefill", table.filter(batch=1, length=64))


@pytest.mark.slow
def test_the_files_are_the_same_every_time(table, tmp_path):
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths = draw_bench("prefill", "prefill", table, tmp_path / name)
        assert [p.name for p in paths] == [f"prefill_time.{kind}" for kind in ("pdf", "png", "csv")]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
