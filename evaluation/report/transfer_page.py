"""The page of a learning curve: is a world model of another market worth anything here?"""

from __future__ import annotations

from collections.abc import Sequence

from ...market.intervals import describe_interval
from ...market.times import format_time
from ..transfer import FINE_TUNED, HAR_T, NOT_ADAPTED, SCRATCH, Key, Transfer, TransferRow
from .components import Tile, Verdict, chart, page, section, table, verdict_card
from .plot import Plot
from .text_table import aligned

_UNKNOWN = "–"
_HUES = {FINE_TUNED: "c0", SCRATCH: "c1", HAR_T: "c2"}
_NOTE = (
    "The mean of −log p of the next log return in percent over the test range [nats], lower is better: the median "
    "over seeds and their range. A difference is that of the mean over seeds, with a 95% interval (Diebold–Mariano, "
    "a week of lags); negative is better."
)
_FIGURES_NOTE = (
    "256 dreams of 720 bars beside the test range; ranks of 200 random controllers in dream and test range. "
    "Of the first seeds, where enough bars are known."
)


def transfer_page(found: Transfer) -> str:
    """The page as text."""
    parts = [
        verdict_card(_verdict(found)),
        section("Learning curve", chart(_curve(found), "Loss by bars known"), _NOTE),
        section("Forecasts", table(_HEADER, [_cells(found)])),
        section("Against training from scratch", _matrix(found)),
        section("Dreams", _figures(found), _FIGURES_NOTE),
        section("What was said", table(("learner", "of it"), [_said(found)], text_columns=2)),
    ]
    bars = f"bars of {describe_interval(found.interval)}"
    start, end = (format_time(moment) for moment in found.test)
    subtitle = f"{found.parent} → {found.symbol} · {bars} · test {start} – {end}"
    return page("What is another market's world model worth?", "".join(parts), subtitle)


def transfer_text(found: Transfer) -> str:
    """The table for the console."""
    rows = aligned([list(_HEADER), *_cells(found)])
    return "\n".join("  ".join(row).rstrip() for row in rows)


_HEADER = ("learner", "bars known", "NLL", "over seeds", "minus not adapted", "minus from scratch")


def _most(found: Transfer, learner: str) -> Key | None:
    """The key of a learner that knew most, where it could be made."""
    made = [row for row in found.rows if row.learner == learner and row.nll is not None]
    return (learner, made[-1].bars) if made else None


def _cells(found: Transfer) -> list[list[str]]:
    return [_row_cells(found, row) for row in found.rows]


def _row_cells(found: Transfer, row: TransferRow) -> list[str]:
    bars = "0" if row.learner == NOT_ADAPTED else f"{row.bars:,}"
    if row.nll is None:
        return [row.learner, bars, "cannot be trained", _UNKNOWN, _UNKNOWN, _UNKNOWN]
    key = row.learner, row.bars
    plain = _most(found, NOT_ADAPTED)
    spread = f"{row.low:.4f}–{row.high:.4f}" if row.seeds > 1 else _UNKNOWN
    return [
        row.learner,
        bars,
        f"{row.nll:.4f}",
        spread,
        _gap(found, key, plain),
        _gap(found, key, (SCRATCH, row.bars) if row.learner != NOT_ADAPTED else None),
    ]


def _gap(found: Transfer, first: Key, second: Key | None) -> str:
    if second is None or first == second or second not in found.keys:
        return _UNKNOWN
    gap = found.difference(first, second)
    if gap is None:
        return _UNKNOWN
    return f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"


def _curve(found: Transfer) -> Plot:
    plot = Plot(
        "Mean loss on the test range by how many bars of the target were known",
        x_label="bars known",
        y_label="NLL [nats]",
        log_x=True,
    )
    for learner, hue in _HUES.items():
        rows = [row for row in found.rows if row.learner == learner]
        made = [(row.bars, row.nll, row.low, row.high) for row in rows if row.nll is not None]
        if made:
            bars, middle, low, high = zip(*made, strict=True)
            plot.band(bars, low, high, hue, f"{learner}, seeds")
            plot.line(bars, middle, hue, learner, "dots")
    for row in found.rows:
        if row.learner == NOT_ADAPTED and row.nll is not None:
            ends = sorted({other.bars for other in found.rows})
            plot.line([ends[0], ends[-1]], [row.nll, row.nll], "c3", NOT_ADAPTED, "dashed")
    return plot


def _matrix(found: Transfer) -> str:
    """Fine-tuned on so many bars, less trained from scratch on so many."""
    tuned = [row for row in found.rows if row.learner == FINE_TUNED]
    scratch = [row for row in found.rows if row.learner == SCRATCH]
    header = ["fine-tuned on", *(f"less from scratch on {row.bars:,}" for row in scratch)]
    rows = [
        [
            f"{one.bars:,}",
            *(_gap(found, (FINE_TUNED, one.bars), (SCRATCH, other.bars)) for other in scratch),
        ]
        for one in tuned
    ]
    return table(header, [rows])


def _figures(found: Transfer) -> str:
    names = list(dict.fromkeys(name for row in found.rows for name in row.figures))
    if not names:
        return "<p class='note'>No dreams were measured.</p>"
    rows = [
        [
            row.learner,
            "0" if row.learner == NOT_ADAPTED else f"{row.bars:,}",
            *(f"{row.figures[name]:.3f}" if name in row.figures else _UNKNOWN for name in names),
        ]
        for row in found.rows
        if row.figures
    ]
    return table(["learner", "bars known", *names], [rows])


def _said(found: Transfer) -> list[list[str]]:
    return [
        [f"{cell.learner}, {cell.bars:,} bars, seed {cell.seed}", cell.note]
        for cell in found.cells
        if cell.note
    ]


def _verdict(found: Transfer) -> Verdict:
    """By what fine-tuning on the fewest bars is worth, in bars that training from scratch needs."""
    tuned = [row for row in found.rows if row.learner == FINE_TUNED and row.nll is not None]
    plain = _most(found, NOT_ADAPTED)
    tiles = [_tile(found.row(plain), "Not adapted")] if plain else []
    tiles += [_tile(row, f"Fine-tuned on {row.bars:,}") for row in tuned]
    best = _most(found, SCRATCH)
    tiles += [_tile(found.row(best), f"From scratch on {best[1]:,}")] if best else []
    if best is None or not tuned:
        return Verdict(
            "Nothing to compare", "plain", "No learner from scratch could be trained.", tuple(tiles)
        )
    return _worth(found, tuned, best, tiles)


def _worth(
    found: Transfer, tuned: Sequence[TransferRow], best: Key, tiles: Sequence[Tile]
) -> Verdict:
    gaps = [(row, found.difference((FINE_TUNED, row.bars), best)) for row in tuned]
    better = [row for row, gap in gaps if gap is not None and gap.high <= 0.0]
    level = [row for row, gap in gaps if gap is not None and gap.value <= 0.0]
    if better or level:
        row = (better or level)[0]
        gap = dict((one.bars, gap) for one, gap in gaps)[row.bars]
        assert gap is not None
        word = "Worth more than all bars" if better else "Worth as much as all bars"
        said = (
            f"Fine-tuned on {row.bars:,} bars, it forecasts the test range better by {-gap.value:.4f} nats "
            f"({-gap.high:.4f} to {-gap.low:.4f}) than a world model trained on all {best[1]:,}."
        )
        return Verdict(word, "good" if better else "unsure", said, tuple(tiles))
    row, gap = gaps[-1]
    assert gap is not None
    said = (
        f"Fine-tuned on {row.bars:,} bars, it forecasts the test range worse by {gap.value:.4f} nats "
        f"({gap.low:.4f} to {gap.high:.4f}) than one trained on all {best[1]:,} from scratch."
    )
    return Verdict("Worth less than all bars", "bad", said, tuple(tiles))


def _tile(row: TransferRow, title: str) -> Tile:
    notes = (f"{row.low:.4f} to {row.high:.4f} over {row.seeds} seeds",) if row.seeds > 1 else ()
    return Tile(title, f"{row.nll:.4f}", notes)
