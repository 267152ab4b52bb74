"""A comparison as text, from made-up numbers."""

from __future__ import annotations

from dataclasses import replace

from comparisons import comparison

from worldmodel_trading import comparison_text


def test_what_was_earned_promised_and_asked_is_said() -> None:
    found = comparison()
    lines = comparison_text(found).splitlines()
    assert (
        lines[0]
        == "Measured also on bars that model, search or choice has seen (--allow-in-sample)."
    )
    header = next(line for line in lines if line.startswith("a year, after costs"))
    assert all(place in header for place in found.places)
    table = lines[lines.index(header) + 1 :][: len(found.agents)]
    assert [line.split()[0] for line in table] == found.agents
    assert sum(line.startswith("promised and paid") for line in lines) == 1
    for rung, word in zip(found.ladder, ("yes", "no", "cannot tell"), strict=True):
        assert f"{rung.question}: {rung.answer} [{word}]" in lines


def test_of_bars_that_were_seen_it_says_whose_and_where() -> None:
    found = comparison()
    agents = {
        "mine": {"kind": "given", "trials": 1, "seen": {"test": "seen", "validation": "unknown"}},
        "yours": {"kind": "given", "trials": 1, "seen": {"test": "unknown"}},
        "theirs": {"kind": "given", "trials": 1, "seen": {"test": "unseen"}},
        "hold": {"kind": "rule", "trials": 1},
    }
    told = replace(found, facts=replace(found.facts, agents=agents, in_sample=False))
    assert comparison_text(told).splitlines()[:3] == [
        "mine has seen bars of test.",
        "Whether the bars are new to yours is unknown: it does not say (`seen`).",
        "",
    ]
    quiet = replace(told, facts=replace(told.facts, agents={"hold": agents["hold"]}))
    assert comparison_text(quiet).startswith("a year, after costs")
