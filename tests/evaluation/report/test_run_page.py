import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from pages import DAY, HISTORY, START, performance_of, run_curves, run_results, searched_results

from worldmodel_trading.evaluation.outcome import RunResults
from worldmodel_trading.evaluation.report.charts import equity
from worldmodel_trading.evaluation.report.run_page import report_html, write_report
from worldmodel_trading.evaluation.report.run_tables import months_table, performance_table
from worldmodel_trading.evaluation.report.run_verdict import run_verdict
from worldmodel_trading.evaluation.report.sentences import main_policy, summarise
from worldmodel_trading.evaluation.rollout import Curve
from worldmodel_trading.evaluation.significance import (
    deflated_sharpe_ratio,
    probabilistic_sharpe_ratio,
    sharpe_evidence,
)
from worldmodel_trading.market.errors import ConfigError


class _Balance(HTMLParser):
    """Checks that every element is closed, and keeps the addresses it would load."""

    void = frozenset({"meta", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href", "data")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _drawn(text):
    """The figures of a page, parsed."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', text)
    return [json.loads(figure) for figure in found]


def _prose(text):
    """A page without the library that draws."""
    return re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_report_is_whole_safe_and_self_contained(tmp_path):
    path = write_report(tmp_path / "out" / "report.html", run_results(), run_curves(), HISTORY)
    text = path.read_text("utf-8")
    parser = _Balance()
    parser.feed(text)
    assert not parser.open
    assert parser.addresses == ["data:,"]
    assert not re.search(r"https?:|url\(|@import", _prose(text))
    assert "&lt;script&gt;" in text
    assert "BTC&lt;USDT&gt;" in text
    assert text.index("verdict") < text.index("<table")
    assert text.count("<script>") == 2  # the library, once, and what draws with it
    assert "prefers-color-scheme: dark" in text
    assert path.stat().st_size < 6_000_000


def test_every_picture_has_a_caption_a_label_and_the_numbers_behind_it():
    text = _prose(report_html(run_results(), run_curves(), HISTORY))
    figures = re.findall(r"<figure.*?</figure>", text, flags=re.DOTALL)
    assert len(figures) == len(_drawn(text)) == 2 + 2 + 4 + 2 + 1 + 3
    for figure in figures:
        assert re.search(r"<figcaption>[^<]+</figcaption>", figure)
        assert re.search(r'role="img" aria-label="[^"]+"', figure)
        assert re.search(r'<details>.*<th scope="col".*<th scope="row"', figure, flags=re.DOTALL)


def test_the_command_can_be_repeated():
    results = replace(
        run_results(), config={"candles": "a b.csv", "seed": 4, "account": {"leverage": 3}}
    )
    text = report_html(results, {}, {})
    assert "--candles &#x27;a b.csv&#x27;" in text
    assert "--seed 4" in text
    assert "--account leverage=3" in text


def test_report_of_numbers_alone():
    text = report_html(RunResults({"flat": {"dream": performance_of(1.0)}}), {}, {})
    assert "<figure" not in text
    assert "<script" not in text
    assert "a dream alone proves nothing" in text


def test_losses_are_said_in_words():
    first, holding, error, promise, density = summarise(run_results(final=0.9, dream=1.5))
    assert "lost money: -10.0%" in first
    assert "2024-01-01 to 2026-01-01" in first
    assert "did worse than buy-and-hold, which returned +100.0%" in holding
    assert "standard error of about 0.71" in error
    assert "not distinguishable from zero" in error
    assert "promised +50.0% a year; the market paid -10.0%" in promise
    assert "alarm" in promise
    assert "is 0.046 nats (-0.054 to -0.038) better than the best baseline, HAR-t" in density


def test_gains_are_not_dressed_up():
    first, *rest = summarise(run_results(final=1.2, dream=1.1))
    assert "made +20.0% after" in first
    assert not any("alarm" in sentence for sentence in rest)
    assert "never traded" in summarise(run_results(final=1.0, turnover=0.0))[0]


def test_buy_and_hold_by_another_name_is_called_so():
    results = run_results(final=1.2)
    performance = {**results.performance, "buy_and_hold": {"test": performance_of(1.2)}}
    results = replace(results, performance=performance)
    assert "what buy-and-hold did" in summarise(results)[1]


SEVERAL = (1.3, 1.1, 1.2)


def test_several_searches_are_told_as_median_and_range():
    outcome, which, holding, error, looks, promise, _ = summarise(searched_results(SEVERAL))
    assert "made +20.0% (+10.0% to +30.0%) after" in outcome
    assert "the median of 3 searches, and their range" in which
    assert which.endswith("the one that validation chose made +30.0%.")
    assert "did worse than buy-and-hold" in holding
    assert "0.50 is not distinguishable from zero" in error
    assert "compared 13 controllers" in looks
    assert "deflated Sharpe ratio of 0.38 there" in looks
    assert "promised +25.0% (+15.0% to +35.0%) a year; the market paid +20.0% (+10.0%" in promise


def test_one_search_is_called_one_draw():
    sentences = summarise(searched_results([1.3]))
    assert "made +30.0% after" in sentences[0]
    assert "one draw" in sentences[1]
    assert not any("one draw" in sentence for sentence in summarise(run_results()))


@pytest.mark.parametrize(
    ("finals", "said"),
    [
        ((0.9, 0.8, 0.7), "lost money: -20.0% (-30.0% to -10.0%)"),
        (
            (0.9, 1.1, 1.2),
            "made or lost money by the seed of its search: +10.0% (-10.0% to +20.0%)",
        ),
        ((1.0, 1.0, 1.0), "broke even after"),
    ],
)
def test_the_verdict_holds_for_the_whole_range(finals, said):
    assert said in summarise(searched_results(finals))[0]


@pytest.mark.parametrize(
    ("holding", "said"),
    [
        (1.05, "did better than buy-and-hold"),
        (1.1, "did no worse than buy-and-hold"),
        (1.101, "did no worse than buy-and-hold"),
        (1.2, "did better or worse, by the seed of its search, than buy-and-hold"),
        (1.299, "did no better than buy-and-hold"),
        (1.301, "did no better than buy-and-hold"),
        (1.4, "did worse than buy-and-hold"),
    ],
)
def test_holding_is_compared_with_the_whole_range(holding, said):
    assert said in summarise(searched_results(SEVERAL, holding=holding))[2]


def test_what_earned_as_much_by_another_way_is_called_so():
    words = summarise(searched_results([1.2], [0.4], holding=1.2))[2]
    assert (
        "earned as much as buy-and-hold, which returned +20.0%; its Sharpe ratio was 0.40" in words
    )


@pytest.mark.parametrize(
    ("sharpes", "said"),
    [
        ((1.5, 1.6, 1.7), "1.60 (1.50 to 1.70) is more than luck usually gives one strategy"),
        ((-1.5, -1.6, -1.7), "is worse than bad luck usually explains"),
        ((1.0, 1.3, 1.5), "is distinguishable from zero for some seeds of the search, and not"),
        ((1.0, 1.1, 1.3), "1.10 (1.00 to 1.30) is not distinguishable from zero"),
    ],
)
def test_a_sharpe_ratio_is_judged_by_its_range(sharpes, said):
    """The edge of two years is 1.96 ÷ √2 = 1.39."""
    assert said in summarise(searched_results(SEVERAL, sharpes))[3]


def test_the_report_shows_ranges_and_the_deployed_controller():
    text = report_html(searched_results(SEVERAL, deployed=2), {}, {})
    assert "controller, 3 searches" in text
    assert "<td>+20.0%<br><small>+10.0% to +30.0%</small></td>" in text
    assert "controller, deployed" in text
    assert "<td>+20.0%</td>" in text


def test_the_range_over_searches_is_shaded():
    curves = run_curves()
    names = [trace.name for trace in equity(curves, "test", "controller").figure().data]
    assert names == ["holding", "controller"]
    own = curves["controller"]["test"]
    curves["controller"]["test"] = replace(own, lowest=0.9 * own.equity, highest=1.1 * own.equity)
    names = [trace.name for trace in equity(curves, "test", "controller").figure().data]
    assert names == ["holding", "controller, range over searches", "controller"]


def test_a_curve_that_is_holdings_is_labelled_so():
    curves = run_curves()
    curves["controller"]["test"] = curves["buy_and_hold"]["test"]
    figure = equity(curves, "test", "controller").figure()
    assert [trace.name for trace in figure.data] == ["controller: same as holding"]
    assert [tag.text for tag in figure.layout.annotations] == ["controller: same as holding"]


def test_evidence_is_shown_where_there_is_some():
    returns = 0.0002 + 0.005 * np.random.default_rng(2).standard_normal(2 * 8760)
    equity = {"test": np.cumprod(np.append(1.0, 1 + returns))}
    only = sharpe_evidence(equity, 8760, {"test": 20})["test"]
    assert only.trials == 20
    assert only.probabilistic_sharpe == pytest.approx(probabilistic_sharpe_ratio(returns))
    assert only.deflated_sharpe == pytest.approx(deflated_sharpe_ratio(returns, 20))
    assert only.standard_error == pytest.approx(1 / np.sqrt(2), rel=0.05)
    results = replace(run_results(), significance={"controller": {"test": only}})
    text = report_html(results, {}, {})
    assert "More than luck?" in text
    assert "one minus the p-value" in text
    assert "probability that the true" not in text
    assert "More than luck?" not in report_html(run_results(), {}, {})


def test_main_policy():
    assert main_policy({"flat": {}, "controller": {}}) == "controller"
    assert main_policy({"ppo": {}, "flat": {}}) == "ppo"
    with pytest.raises(ConfigError, match="nothing to report"):
        main_policy({})


def test_table_has_every_measure_and_world():
    measured = {"test": performance_of(0.9), "dream": performance_of(1.5)}
    text = performance_table(RunResults({"p": measured}))
    assert re.findall(r"<th[^>]*rowspan[^>]*>(.*?)</th>", text) == ["p"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", text)
    assert cells[0] == "dream"
    assert cells[9:11] == ["test", "−10.0%"]
    assert len(cells) == 18


def test_months_are_those_of_the_calendar():
    times = START + DAY * np.arange(60)  # 1 January to 29 February
    made = np.where(np.arange(60) <= 31, 1.0, 1.1)  # on 2 February
    text = months_table({"controller": Curve(made, time_ms=times)})
    cells = re.findall(r"<td([^>]*)>([^<]*)</td>", text)
    assert [text for _, text in cells] == ["+0.0", "+10.0", *[""] * 10, "+10.0"]
    assert "up" in cells[1][0]
    assert cells[0][0] == ""


def _verdict(results, curves=None):
    return run_verdict(results, curves or {})


@pytest.mark.parametrize(
    ("finals", "holding", "word"),
    [
        ((1.3, 1.1, 1.2), 1.05, "Better than holding"),
        ((1.3, 1.1, 1.2), 1.4, "Worse than holding"),
        ((1.3, 1.1, 1.2), 1.2, "Cannot tell"),
        ((0.9, 0.8, 0.7), 0.5, "Lost money"),
    ],
)
def test_the_word_is_ruled_by_all_searches(finals, holding, word):
    assert _verdict(searched_results(finals, holding=holding)).word == word


def test_the_word_for_holding_and_for_staying_out():
    assert _verdict(searched_results([1.2], [1.0], holding=1.2)).word == "Same as holding"
    idle = _verdict(run_results(final=1.0, turnover=0.0))
    assert idle.word == "Never traded"
    assert "while holding made +100.0%" in idle.deciding
    assert not any("Sharpe" in tile.title for tile in idle.tiles)


def test_what_never_traded_gets_no_sentence_about_its_sharpe_ratio():
    results = run_results(final=1.0, turnover=0.0)
    assert not any("Sharpe" in sentence for sentence in summarise(results)[:-1])
    text = _prose(report_html(results, run_curves(), {}))
    assert "Rolling Sharpe" not in text
    assert "When it was long" not in text


def test_a_difference_that_chance_explains_is_no_verdict():
    """Two random walks, one of which ended higher."""
    curves, results = run_curves(), run_results(final=2.5)
    own, held = (curves[name]["test"].equity for name in ("controller", "buy_and_hold"))
    verdict = _verdict(results, curves)
    assert verdict.word == "Cannot tell"
    less = 1 - own[-1] / own[0] / (held[-1] / held[0])
    assert f"ended with {less:.0%} less than holding" in verdict.deciding
    assert "as much could be chance" in verdict.deciding


def test_a_steady_gain_on_holding_is_a_verdict():
    curves, results = run_curves(), run_results(final=2.5)
    held = curves["buy_and_hold"]["test"]
    rising = held.equity * np.exp(0.002 * np.arange(400))
    curves["controller"]["test"] = replace(held, equity=rising)
    verdict = _verdict(results, curves)
    assert verdict.word == "Better than holding"
    assert verdict.tone == "good"
    assert "and every search more" in verdict.deciding


def test_results_with_nan_are_refused(tmp_path):
    measured = replace(performance_of(0.9), sharpe=float("nan"))
    results = RunResults({"controller": {"test": measured}})
    with pytest.raises(ConfigError, match="sharpe is nan"):
        write_report(tmp_path / "report.html", results, {}, {})
    assert not list(tmp_path.iterdir())
