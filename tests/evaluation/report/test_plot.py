"""Pictures: what is drawn, what is thinned, and the numbers behind them."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.report.plot import MAX_POINTS, Plot, thin
from worldmodel_trading.evaluation.report.theme import color, tint


def test_thinning_keeps_the_extremes() -> None:
    y = np.random.default_rng(1).standard_normal(20_000)
    x, thinned = thin(np.arange(20_000.0), y, 500)
    assert len(thinned) <= 502
    assert thinned.min() == y.min()
    assert thinned.max() == y.max()
    assert (np.diff(x) > 0).all()


def test_of_a_level_line_the_ends_are_kept() -> None:
    y = np.ones(20_000)
    y[7_000] = 2.0
    x, thinned = thin(np.arange(20_000.0), y, 500)
    assert len(x) < 8
    assert (x[0], x[-1]) == (0.0, 19_999.0)
    assert thinned.max() == 2.0


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("y", [[], [1.0], [2.0, 2.0], [0.0, 0.0], [1.0, np.nan, 3.0], [-1.0, 1e9]])
def test_any_line_can_be_drawn(y: list[float], log_y: bool) -> None:
    plot = Plot("a line", log_y=log_y).line(np.arange(len(y)), y, name="y")
    if y:
        plot.tag(np.arange(len(y)), np.nan_to_num(y), "y", "c0")
    assert "NaN" not in plot.figure().to_json()
    (numbers,) = plot.numbers()
    assert numbers.total == len(numbers.rows) == len(y)


def test_every_layer_draws() -> None:
    plot = Plot("all", "x", "y", percent_y=True)
    plot.band([0, 1], [0, 0], [1, 2], name="band").bars([0, 1, 2], [1, 3], "c1", "bars")
    plot.points([0, 1], [1, np.nan], shades=[0.0, 1.0]).rule(x=0.5).rule(y=1.0)
    plot.line([0, 1], [1, 2], "c2", "line", "thin dashed").area([0, 1], [0, 1], "c3", "area")
    plot.shade([0, 1], [1.0, -1.0], "weight")
    figure = plot.figure()
    kinds = ["scatter", "bar", "scatter", "scatter", "scatter", "heatmap"]
    assert [trace.type for trace in figure.data] == kinds
    assert len(figure.layout.shapes) == 2
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "band",
        "bars",
        "line",
        "area",
    ]
    assert figure.layout.yaxis.overlaying == "y2"


def test_lines_of_one_name_are_one_in_the_legend() -> None:
    plot = Plot("paths")
    for i in range(3):
        plot.line([0, 1], [0, i], name="path")
    assert [trace.showlegend for trace in plot.figure().data] == [True, False, False]
    (numbers,) = plot.numbers()
    assert numbers.header == ["x", "path", "path 2", "path 3"]


def test_the_numbers_behind_are_a_table_for_each_axis() -> None:
    plot = Plot("two", time_x=True, percent_y=True)
    plot.line([0, 60_000], [0.5, 1.0], name="a").line([0, 60_000], [0.25, np.nan], name="b")
    plot.line(60_000 * np.arange(5_000.0), np.zeros(5_000), name="long")
    both, long = plot.numbers()
    assert both.header == ["time", "a", "b"]
    assert both.rows == [
        ["1970-01-01 00:00", "50.00%", "25.00%"],
        ["1970-01-01 00:01", "100.00%", "–"],
    ]
    assert (long.total, len(long.rows)) == (5_000, 40)
    assert long.total > MAX_POINTS


def test_columns_have_names() -> None:
    plot = Plot("steps", y_label="made").columns(["gross", "fees"], [0.2, -0.1], name="a")
    plot.columns(["gross", "fees"], [0.3, -0.2], "c1", "b")
    (numbers,) = plot.numbers()
    assert numbers.header == ["x", "a", "b"]
    assert [row[0] for row in numbers.rows] == ["gross", "fees"]
    assert plot.figure().layout.barmode == "group"


def test_a_waterfall_begins_where_it_ended() -> None:
    plot = Plot("steps", percent_y=True).steps(["gross", "fees", "net"], [0.2, -0.1, 0.1])
    (trace,) = plot.figure().data
    assert list(trace.measure) == ["absolute", "relative", "total"]
    assert list(trace.text) == ["+20.0%", "−10.0%", "+10.0%"]


def test_spans_lie_beneath_each_other() -> None:
    plot = Plot("spans").spans(["dream", "cost"], [0.5, 0.2], [0.3, 0.1], [0.6, 0.4])
    (trace,) = plot.figure().data
    assert list(trace.error_x.arrayminus) == pytest.approx([0.2, 0.1])
    assert plot.figure().layout.yaxis.autorange == "reversed"
    assert plot.numbers()[0].rows[0] == ["dream", "0.5", "0.3", "0.6"]


def test_a_long_logarithmic_axis_has_plain_numbers() -> None:
    wide = Plot("wide", log_y=True).line([0, 1], [8.0, 300.0]).figure().layout.yaxis
    assert list(wide.ticktext)[:4] == ["1", "2", "5", "10"]
    narrow = Plot("narrow", log_y=True).line([0, 1], [100.0, 300.0]).figure().layout.yaxis
    assert narrow.tickvals is None


def test_lines_are_named_at_their_ends_beside_each_other() -> None:
    x, low, high = [0, 1, 2], [1, 1, 1], [1, 2, 3]
    plot = (
        Plot("two").line(x, low).line(x, high).tag(x, high, "high", "c0").tag(x, low, "low", "c1")
    )
    found = {tag.text: tag.yanchor for tag in plot.figure().layout.annotations}
    assert found == {"high": "bottom", "low": "top"}


def test_a_tint_is_one_that_is_exchanged_in_the_dark() -> None:
    assert color("c0") == "#1f6feb"
    assert tint("c0", 0.16) == "rgba(31,111,235,0.16)"
    with pytest.raises(ValueError, match=r"opacity is 0\.3"):
        tint("c0", 0.3)
