"""Which figures there are: what each is evidence of, and the commands that print it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import tables

if TYPE_CHECKING:
    from .work import Work

RECORDS: Final = {
    "BTCUSDT-60.csv": "bybit-linear-BTCUSDT-60.csv",
    "BTCUSDT-funding.csv": "bybit-linear-BTCUSDT-funding.csv",
    "ETHUSDT-60.csv": "bybit-linear-ETHUSDT-60.csv",
    "SOLUSDT-60.csv": "bybit-linear-SOLUSDT-60.csv",
}
"""Recorded files as the pages name them, and their names in the folder given by ``--candles``."""

SPLITS: Final = {
    "btc": "--candles BTCUSDT-60.csv --start 2020-04-01 --train-end 2023-07-01 --validation-end 2024-01-01",
    "eth": "--candles ETHUSDT-60.csv --train-end 2023-07-01 --validation-end 2024-01-01",
    "sol": "--candles SOLUSDT-60.csv --train-end 2024-01-01 --validation-end 2024-07-01",
}
"""Each market's record and the ends of its ranges; the test range is what is left."""

SEEDS: Final = (0, 1, 2)
MORE_SEEDS: Final = (0, 1, 2, 3, 4)
SHARED: Final = {
    **{
        f"{market}-{seed}": f"worldmodel-trading run {split} --seed {seed} --out {market}-{seed}"
        for market, split in SPLITS.items()
        for seed in MORE_SEEDS
    },
    **{
        f"{market}-{seed}-of-3": f"worldmodel-trading run {split} --seed {seed} --members 3 --out {market}-{seed}-of-3"
        for market, split in SPLITS.items()
        for seed in SEEDS
    },
    "btc-paper": f"worldmodel-trading run {SPLITS['btc']} --preset paper --out btc-paper",
    "embedded": "worldmodel-trading run --out embedded",
    **{
        f"{market}-fidelity{of}": "worldmodel-trading fidelity "
        + " ".join(f"--world-model {market}-{seed}{of}/world_model" for seed in SEEDS)
        + f" --candles {market.upper()}USDT-60.csv --out {market}-fidelity{of}"
        for market in SPLITS
        for of in ("", "-of-3")
    },
    "paper-fidelity": "worldmodel-trading fidelity --world-model btc-paper/world_model "
    "--candles BTCUSDT-60.csv --out paper-fidelity",
}
"""By the folder that it leaves, a command whose results several figures show."""


@dataclass(frozen=True)
class Figure:
    """A table of a page, or several of one kind.

    Attributes:
        name: As the page's comments name it: the page, then the table.
        claim: What it is evidence of.
        over: What its ranges are over.
        commands: What prints it, as a reader types it in the folder of the files of candles.
        shows: How it is made of what they print: ``"tables"``, their Markdown tables; ``"printed"``,
            all of it as it stands; ``"last"``, its last paragraph; or a function of the `Work`.
        pick: Which of each command's tables, from 0; None is all.
        labels: What stands above each command's part, where there are several.
    """

    name: str
    claim: str
    over: str
    commands: tuple[str, ...]
    shows: str | Callable[[Work], str] = "tables"
    pick: tuple[int, ...] | None = None
    labels: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The page that shows it, without its ending."""
        return self.name.partition(".")[0]

    def make(self, work: Work) -> str:
        """Run what is needed; today's text.

        Raises:
            Missing: A file of candles that a command reads was not given.
            subprocess.CalledProcessError: A command failed.
        """
        if callable(self.shows):
            return self.shows(work)
        parts = [self._part(work, command) for command in self.commands]
        if self.labels:
            parts = [
                f"**{label}**\n\n{part}" for label, part in zip(self.labels, parts, strict=True)
            ]
        return "\n\n".join(parts)

    def _part(self, work: Work, command: str) -> str:
        """What one command has to show."""
        if self.shows == "tables":
            printed = list(map(tidy, work.tables(command)))
            return "\n\n".join(printed if self.pick is None else [printed[i] for i in self.pick])
        said = re.sub(r"\n+Report: .*", "", work.run(command)).strip()  # where a page was written
        lines = said.split("\n\n")[-1] if self.shows == "last" else said
        return "```text\n" + "\n".join(line.rstrip() for line in lines.splitlines()) + "\n```"


def tidy(table: str) -> str:
    """Ranges whose ends are shown alike left out."""
    return re.sub(r" \((\S+) (?:to|…) \1\)", "", table)


def _runs(*names: str) -> tuple[str, ...]:
    return tuple(SHARED[name] for name in names)


def _models(market: str, before: str = "", seeds: tuple[int, ...] = SEEDS) -> str:
    """The world models of a market, each with ``before`` in front."""
    return " ".join(f"{before}{market}-{seed}/world_model" for seed in seeds)


_THREE = "three seeds of the world model, medians and ranges"
_NAMES = {"btc": "Bitcoin", "eth": "Ether", "sol": "Solana"}
_CHOICES = (
    "default",
    "Z = 8, 6 of them forecasting",
    "Z = 12",
    "no teachers",
    "five teachers",
    "memory not heard",
    "three members",
    "three members, months resampled",
    "no dropout of features",
    "no outlook",
    "mean forecast trusted whole",
    "14 forecasting numbers",
    "one component",
    "dreams not calibrated",
)
_INPUTS = (
    "default",
    "no range volatilities",
    "no wicks",
    "no volume",
    "no momentum",
    "no memories of the same hour",
    "no calendar",
)

_AUDITS = tuple(
    f"python -m benchmarks.audit --candles {market.upper()}USDT-60.csv --world-models "
    + _models(market, seeds=MORE_SEEDS)
    for market in ("btc", "eth")
)
_GROWTH = "python -m benchmarks.growth --bars 50000 2600000 --out growth.json"


def _ablation(variants: tuple[str, ...]) -> tuple[str]:
    quoted = " ".join(f"'{name}'" for name in variants)
    return (f"python -m benchmarks.ablation {SPLITS['btc']} --only {quoted}",)


def _augmentation(symbol: str, months: int, more: str = "") -> tuple[str]:
    candles = f"--candles {symbol}USDT-60.csv"
    return (f"python -m benchmarks.augmentation {candles} --months {months}{more}",)


FIGURES: Final = (
    Figure(
        "README.outcome",
        "What a search in dreams of Bitcoin finds, in the dream and on bars that nobody chose on, beside "
        "holding, doing nothing and momentum",
        "five searches in one world model; median, lowest and highest",
        _runs("btc-0"),
        tables.outcome("btc-0"),
    ),
    Figure(
        "agents.known_edge",
        "What agents trained in dreams earn where the edge is known, and where there is none",
        "five seeds, median and range",
        ("python -m benchmarks.agents",),
        "last",
    ),
    Figure(
        "agents.months",
        "How many recorded bars dreams need, beside the same search in replay",
        "three searches, one world model of each length",
        ("python -m benchmarks.agents --months --agents cma_es --seeds 3",),
        "last",
    ),
    Figure(
        "agents.self_test",
        "Whether an agent can learn here at all",
        "three seeds and twelve years; intervals over both",
        (
            "worldmodel-trading compare -q --self-test cma_es",
            "worldmodel-trading compare -q --self-test ppo",
        ),
        "printed",
    ),
    *(
        Figure(
            f"engine.pessimism_{market}",
            f"What disagreeing members and pessimism do to a search, on {_NAMES[market]}",
            "three seeds of the world model, medians and ranges",
            (
                f"python -m benchmarks.pessimism {SPLITS[market]} --generations 40 --population 48 --dreams 32",
            ),
        )
        for market in SPLITS
    ),
    Figure(
        "evaluation.objectives_btc",
        "What each objective buys on Bitcoin, beside a constant weight as volatile",
        "five searches in one world model",
        (
            "python -m benchmarks.objectives --candles BTCUSDT-60.csv --world-model btc-0/world_model",
        ),
        pick=(1,),
    ),
    Figure(
        "evaluation.ranks",
        "Whether dreams rank policies as the market does, beyond costs and exposure, beside blind floors",
        "303 policies, world models of five seeds; 95% over models",
        _AUDITS,
        tables.ranks({"BTC": _AUDITS[0], "ETH": _AUDITS[1]}),
    ),
    Figure(
        "evaluation.embedded",
        "The same on the embedded market, whose edge is real",
        "303 policies in dreams of the world model that ships; 95% over policies, range over quarters",
        ("python -m benchmarks.audit",),
        tables.ranks({"": "python -m benchmarks.audit"}),
    ),
    Figure(
        "evaluation.rivals",
        "How well simple rivals forecast the next return",
        "fitted once on the training range",
        tuple(f"python -m benchmarks.baselines {SPLITS[market]}" for market in SPLITS),
        pick=(0,),
    ),
    Figure(
        "evaluation.simulated",
        "How well simple rivals forecast days and weeks by simulated paths",
        "256 paths from each moment",
        tuple(f"python -m benchmarks.baselines {SPLITS[market]}" for market in SPLITS),
        pick=(1,),
        labels=tuple(_NAMES.values()),
    ),
    Figure(
        "hallucinate.btc_1",
        "Whether dreams help learners that have a month of Bitcoin",
        "four ends of the month; intervals by blocks of a week",
        _augmentation("BTC", 1),
    ),
    Figure(
        "hallucinate.btc_3",
        "The same with three months",
        "four ends; intervals by blocks of a week",
        _augmentation("BTC", 3),
    ),
    Figure(
        "hallucinate.btc_12",
        "The same with a year",
        "three ends; intervals by blocks of a week",
        _augmentation("BTC", 12, " --ends 2022-07-01,2023-07-01,2024-01-01"),
    ),
    Figure(
        "hallucinate.eth_1",
        "The same with a month of Ether",
        "four ends; intervals by blocks of a week",
        _augmentation("ETH", 1),
    ),
    Figure(
        "more_than_candles.worth",
        "What funding and the volume profile add, on Bitcoin",
        "one seed of the world model, three of the search",
        (
            "python -m benchmarks.more_features --candles BTCUSDT-60.csv --funding BTCUSDT-funding.csv --start 2021-01-02 "
            "--train-end 2023-07-01 --validation-end 2024-01-01 --end 2024-07-01 --seeds 1",
        ),
    ),
    Figure(
        "performance.ratios",
        "How fast it is, as ratios taken in one run",
        "medians of nine rounds",
        ("python -m benchmarks --out benchmarks.json",),
        tables.ratios("python -m benchmarks --out benchmarks.json", "benchmarks.json"),
    ),
    Figure(
        "regimes.staying",
        "How dreams that stay in a regime differ",
        "one world model, 4,096 paths; 95%",
        (
            "python -m benchmarks.regimes --stay --world-model btc-0/world_model --candles BTCUSDT-60.csv",
        ),
    ),
    Figure(
        "regimes.embedded",
        "How well regimes are found where they are known",
        "three seeds of the world model, three paths each",
        ("python -m benchmarks.regimes",),
    ),
    *(
        Figure(
            f"regimes.next_day_{market}",
            f"What regimes of {_NAMES[market]} tell of the next day, beside simple rivals",
            "seeds of the world model, medians, ranges and the widest 95% intervals",
            (
                f"python -m benchmarks.regimes --world-model {_models(market)} --candles {market.upper()}USDT-60.csv",
            ),
        )
        for market in ("btc", "eth")
    ),
    Figure(
        "scale.growth",
        "How time and memory grow with the record",
        "once, on a quiet machine",
        (_GROWTH,),
        tables.growth(_GROWTH, "growth.json"),
    ),
    *(
        Figure(
            f"scale.{name}",
            f"What a universe of markets takes of a cluster, on paper: {name}",
            "computed from measured inputs",
            ("python -m benchmarks.cluster",),
            pick=(index,),
        )
        for index, name in enumerate(("training", "needs", "comparison", "blocks"))
    ),
    Figure(
        "stress.splitting",
        "Whether the chance of a rare event is right, and what is saved",
        "24 repetitions of each",
        ("python -m benchmarks.stress splitting --plain-synthetic 1000000 --repetitions 24",),
    ),
    Figure(
        "stress.tails",
        "Whether the tails of the next day are right, beside GARCH and filtered history",
        _THREE,
        tuple(
            f"python -m benchmarks.stress tails --candles {market.upper()}USDT-60.csv --paths 600 "
            + _models(market, "--world-model ")
            for market in SPLITS
        ),
    ),
    Figure(
        "synthetic.looks",
        "What the embedded market looks like",
        "ten seeds, three years each",
        ("python -m benchmarks.synthetic --only path",),
    ),
    Figure(
        "synthetic.policies",
        "What the best there is earns on the embedded market, beside simple rules",
        "thirty years, mean and 10% to 90%",
        ("python -m benchmarks.synthetic --only policies",),
    ),
    Figure(
        "synthetic.truth",
        "How far the shipped world model is from the embedded market's law",
        "one seed; 95% over bars",
        ("python -m benchmarks.synthetic --only distance",),
    ),
    Figure(
        "synthetic.outcome",
        "What a search in dreams of the embedded market finds, beside holding, doing nothing and momentum",
        "five searches in one world model; median, lowest and highest",
        _runs("embedded"),
        tables.outcome("embedded", grown=True),
    ),
    Figure(
        "transfer.eth",
        "What Bitcoin teaches of Ether, beside training from scratch",
        _THREE,
        (
            f"worldmodel-trading transfer {_models('btc', '--from ')} {SPLITS['eth']} "
            "--bars 500,2000,8000 --seeds 3 --out eth-transfer -q",
        ),
        "printed",
    ),
    Figure(
        "world_model.forecasts",
        "How well the next return is forecast, beside every rival",
        _THREE,
        _runs(*(f"{market}-{seed}" for market in SPLITS for seed in SEEDS)),
        tables.forecasts,
    ),
    Figure(
        "world_model.fidelity",
        "How like the market dreams are: every goal, met or missed",
        f"{_THREE}; of `paper` one seed with its interval",
        _runs("btc-fidelity", "eth-fidelity", "sol-fidelity", "paper-fidelity"),
        tables.fidelity(BTC="btc", ETH="eth", SOL="sol", paper="paper"),
    ),
    Figure(
        "world_model.members",
        "The same of world models of three members",
        _THREE,
        _runs(*(f"{market}-fidelity-of-3" for market in SPLITS)),
        tables.fidelity("-of-3", BTC="btc", ETH="eth", SOL="sol"),
    ),
    Figure(
        "world_model.choices",
        "What each choice in the world model is worth",
        "one seed, Bitcoin",
        _ablation(_CHOICES),
    ),
    Figure(
        "world_model.inputs",
        "What each group of inputs is worth",
        "one seed, Bitcoin",
        _ablation(_INPUTS),
    ),
)
