"""The page of a comparison: whole, safe, right in its words, and there whatever was not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from comparisons import AGENTS, comparison, tables, told

from worldmodel_trading.evaluation.report.comparison_charts import mean_path
from worldmodel_trading.evaluation.report.comparison_page import (
    comparison_html,
    rewrite_comparison,
    write_comparison_page,
)
from worldmodel_trading.evaluation.report.comparison_verdict import best_first, comparison_verdict
from worldmodel_trading.market.errors import ConfigError

PARTS = (
    "promises",
    "over_holding",
    "luck",
    "verdicts",
    "ranks",
    "lift",
    "ladder",
    "candles",
    "models",
)


def headings(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_page_is_whole_safe_and_self_contained() -> None:
    text = comparison_html(told(), tables())
    assert headings(text) == [
        "Who earned what",
        "What became of the money",
        "What costs took",
        "What dreams promised, and what was paid",
        "Does the dream rank policies as the market does?",
        "What searching in dreams bought",
        "Walking forward",
        "More than luck? The test range",
        "The questions, one by one",
        "Where this comes from",
    ]
    assert len(text) < 6_000_000
    prose = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:|url\(|@import", prose)
    assert "BTC&lt;USDT&gt;" in prose
    assert "BTC<USDT>" not in prose
    assert "&lt;0&gt;" in prose
    assert "--candles &#x27;BTC 1.csv&#x27;" in prose
    assert "allow-in-sample" in prose


def test_every_table_says_what_was_seen() -> None:
    whole = told()
    seen = comparison_html(whole).count("has seen (--allow-in-sample)")
    assert seen > 5
    whole["in_sample"] = False
    assert "has seen" not in comparison_html(whole)


@pytest.mark.parametrize("missing", PARTS)
def test_a_part_that_was_not_measured_is_passed_over(missing: str) -> None:
    whole = told()
    del whole[missing]
    assert "Who earned what" in comparison_html(whole, tables())
    whole[missing] = {} if isinstance(told()[missing], dict) else []
    assert "Who earned what" in comparison_html(whole)


def test_nothing_but_performance_makes_a_page() -> None:
    whole = told()
    bare = {"summary": whole["summary"], "config": {}}
    assert headings(comparison_html(bare)) == [
        "Who earned what",
        "What costs took",
        "Where this comes from",
    ]


def test_the_best_paid_agent_comes_first() -> None:
    assert best_first(told()) == ["ppo", "cma_es", "momentum", "hold", "flat"]


def test_better_is_who_is_above_holding_and_called_good() -> None:
    whole = told()
    verdict = comparison_verdict(whole)
    assert (verdict.word, verdict.tone) == ("ppo beats holding", "good")
    assert "95% interval +5.1% to +28.4%" in verdict.deciding
    whole["verdicts"]["test"]["ppo"]["good"] = False
    assert comparison_verdict(whole).word == "Nobody is known to beat holding"


def test_all_may_be_worse() -> None:
    whole = told()
    for agent in AGENTS:
        whole["over_holding"].setdefault(agent, {})["test"] = {
            "value": -0.2,
            "low": -0.3,
            "high": -0.1,
        }
    assert comparison_verdict(whole).tone == "bad"


def test_dreams_alone_prove_nothing() -> None:
    whole = told()
    whole["summary"] = {
        agent: {place: one for place, one in found.items() if place.startswith("dream")}
        for agent, found in whole["summary"].items()
    }
    assert "prove nothing" in comparison_verdict(whole).deciding
    assert "Who earned what" in comparison_html(whole, tables())


def test_windows_follow_one_another() -> None:
    rows = pd.DataFrame(
        {
            "window": ["a", "a", "a", "a", "b", "b"],
            "open_time_ms": [0, 1, 0, 1, 2, 3],
            "equity": [1.0, 4.0, 1.0, 1.0, 1.0, 1.5],
        }
    )
    times, values = mean_path(rows)
    assert list(times) == [0, 1, 2, 3]
    assert list(values) == pytest.approx([100.0, 200.0, 200.0, 300.0])


def folder(path: Path) -> tuple[Path, dict[str, Any]]:
    found = comparison()
    for name, table in tables()._asdict().items():
        table.to_parquet(path / f"{name}.parquet")
    return path, found.to_dict()


def test_the_page_is_made_again_as_it_was(tmp_path: Path) -> None:
    path, plain = folder(tmp_path)
    page = write_comparison_page(path, plain)
    made = page.read_bytes()
    (path / "comparison.json").write_text(json.dumps(plain))
    page.unlink()
    assert rewrite_comparison(path) == page
    assert page.read_bytes() == made


def test_what_is_no_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"comparison\.json is no comparison"):
        rewrite_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(ConfigError, match="do the work anew"):
        rewrite_comparison(tmp_path)
    assert not (tmp_path / "report.html").exists()
