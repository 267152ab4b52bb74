"""The arguments of every job, and what each of them does, in words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NoReturn

from worldmodel_trading.agent_arguments import add_agents, add_evaluate, add_train
from worldmodel_trading.applications import APPLICATIONS, DATA_JOBS
from worldmodel_trading.comparison.arguments import add_compare
from worldmodel_trading.config import RunConfig
from worldmodel_trading.shared_arguments import (
    CANDLES,
    DRIFT,
    EXECUTOR,
    EXECUTORS,
    RAY_ADDRESS,
    TIME,
    add_candles,
    add_drift,
    add_exchange,
    add_overwrite,
    add_seed_and_out,
    add_store,
    add_world_model,
    number_or_text,
    setting,
)

Job = Callable[[argparse.Namespace], object]

_MARKET = "the market"


class _Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as all refusals of the command are."""

    def error(self, message: str) -> NoReturn:
        """Refuse."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Prints the version; only then is it looked up."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it, and leave."""
        from importlib.metadata import version

        print(f"worldmodel-trading {version('worldmodel-trading')}")
        parser.exit()


def parser(jobs: Mapping[str, Job]) -> argparse.ArgumentParser:
    """The command's parser; a parsed job is the option ``job``.

    Args:
        jobs: What to do for each job's name.
    """
    whole = _Parser(
        prog="worldmodel-trading",
        description="Train agents in a dreamed market, and judge them in the recorded one.",
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version")
    each = whole.add_subparsers(title="jobs", required=True, metavar="JOB")
    made = {name: (one.SUMMARY, one.add) for name, one in {**DATA_JOBS, **APPLICATIONS}.items()}
    for name, (summary, add) in {**_JOBS, **made}.items():
        one = each.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        one.set_defaults(job=jobs[name])
        one.add_argument(
            "-q", "--quiet", action="store_true", help="print results and warnings only"
        )
        add(one)
    return whole


def _add_run(run: argparse.ArgumentParser) -> None:
    for title, settings in _RUN.items():
        group = run.add_argument_group(title)
        for name, help_text in settings.items():
            _add_setting(group, name, help_text)
        if title == _MARKET:
            _add_universe(group)
            add_exchange(group)
            add_store(group)


def _add_universe(group: Any) -> None:
    group.add_argument(
        "--symbols",
        metavar="A,B,…",
        help="run each of several symbols, and compare them on one page: --candles, --funding, --instrument and "
        "--world-model may say {symbol}; without --candles the stored bybit:{symbol}:INTERVAL; --workers are "
        "then symbols at once",
    )
    group.add_argument(
        "--joint",
        action="store_true",
        help="with --symbols: one world model learns all symbols; they need one --train-end",
    )


def _add_setting(group: Any, name: str, help_text: str) -> None:
    """An argument for a field of `RunConfig`, taken as the field's type and default say."""
    setting = _FIELDS[name]
    settings = _SPECIAL.get(name) or _KINDS[str(setting.type).split(" |")[0]]
    default = {} if setting.default is MISSING else {"default": setting.default}
    if name not in _SPECIAL and setting.default is not None and setting.default is not False:
        help_text += f" (default: {setting.default})"
    flag = f"--{name.replace('_', '-')}"
    group.add_argument(flag, **{**default, **settings}, help=help_text)


def _add_watch(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("--symbol", required=True, help="instrument, such as BTCUSDT")
    watch.add_argument("--interval", default="60", help="bar length, Bybit's code (default: 60)")
    add_world_model(watch)
    watch.add_argument(
        "--controller", metavar="FILE", help="a linear controller to follow (default: stay flat)"
    )
    watch.add_argument(
        "--funding",
        type=float,
        metavar="RATE",
        help="what the paper account pays at every funding instant, such as 0.0001 (default: nothing)",
    )
    watch.add_argument(
        "--bars", type=int, metavar="N", help="stop after so many closed candles (default: never)"
    )
    watch.add_argument(
        "--stream-url", metavar="URL", help="of the WebSocket (default: Bybit's public one)"
    )
    add_exchange(watch)


def _add_forecast(forecast: argparse.ArgumentParser) -> None:
    add_world_model(forecast)
    add_candles(forecast)
    forecast.add_argument(
        "--start", metavar="TIME", help=f"forecast from this bar on; {TIME} (default: the first)"
    )
    forecast.add_argument("--end", metavar="TIME", help="end, exclusive (default: the last bar)")
    forecast.add_argument(
        "--save", metavar="FILE", help="a .csv or .parquet file for all forecasts, replaced"
    )
    forecast.add_argument(
        "--baselines",
        action="store_true",
        help="also score them beside GARCH, HAR and a memoryless network, fitted on the training range",
    )


def _add_fidelity(fidelity: argparse.ArgumentParser) -> None:
    fidelity.add_argument(
        "--world-model",
        action="append",
        metavar="FOLDER",
        help="a trained world model, or several of one market (repeatable; default: the one that ships)",
    )
    add_candles(fidelity)
    add_drift(fidelity)
    add_seed_and_out(fidelity, "runs/fidelity", "the numbers and the page")
    fidelity.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="dream so often, with the seeds from --seed on; medians and ranges are told (default: 1)",
    )
    fidelity.add_argument(
        "--allow-other-market",
        action="store_true",
        help="measure against candles of another symbol than the world model's",
    )
    fidelity.add_argument(
        "--generator",
        action="append",
        default=[],
        metavar="SOURCE",
        help="also measure other paths: module:function, a folder of candle files, or a table of paths (repeatable)",
    )


def _add_report(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "folder",
        metavar="FOLDER",
        help="the --out of a job that leaves a page, such as run or compare",
    )


def _add_train(train: argparse.ArgumentParser) -> None:
    add_world_model(train)
    add_candles(train)
    add_train(train, setting)
    add_drift(train)
    add_seed_and_out(train, "runs/agent", "the agent", of="networks, dreams and draws")


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    add_world_model(evaluate)
    add_candles(evaluate)
    add_evaluate(evaluate, setting)
    add_drift(evaluate)
    add_seed_and_out(evaluate, "runs/evaluate", "the numbers and the curves")


def _add_compare(compare: argparse.ArgumentParser) -> None:
    add_candles(compare)
    add_compare(compare, setting)
    add_drift(compare)
    add_seed_and_out(compare, "runs/comparison", "the tables and the page")


def _add_pretrained(pretrained: argparse.ArgumentParser) -> None:
    pretrained.add_argument(
        "--out", required=True, metavar="FOLDER", help="folder for the world model"
    )
    add_overwrite(pretrained)


_JOBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": ("candles to world model to controller, judged in dream and replay", _add_run),
    "train": ("train an agent in dreams or in replay, looked after by validation", _add_train),
    "evaluate": ("judge agents, rules and functions side by side", _add_evaluate),
    "compare": ("compare what dreams promise agents with what the market pays them", _add_compare),
    "agents": ("say which agents there are", add_agents),
    "watch": ("follow the live market, bar by bar; no orders", _add_watch),
    "forecast": ("forecast the next return, bar by bar", _add_forecast),
    "fidelity": ("measure how like the market the dreams are", _add_fidelity),
    "report": ("make the page of a folder again from what its job left there", _add_report),
    "pretrained": ("rebuild the world model that ships", _add_pretrained),
}


def _object_or_text(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


_FIELDS = {f.name: f for f in fields(RunConfig)}
_KINDS: dict[str, dict[str, Any]] = {
    "int": {"type": int, "metavar": "N"},
    "float": {"type": float, "metavar": "X"},
    "str": {"metavar": "NAME"},
    "Time": {"metavar": "TIME"},
    "bool": {"action": "store_true"},
}
_SPECIAL: dict[str, dict[str, Any]] = {
    "candles": {"default": None, "metavar": "SOURCE"},
    "preset": {"choices": ("market", "paper")},
    "executor": {"choices": EXECUTORS},
    "features": {"metavar": "GROUPS"},
    "covariance": {"choices": ("diagonal", "full")},
    "device": {"choices": ("cpu", "cuda", "auto")},
    "funding": {"type": number_or_text, "metavar": "SOURCE"},
    "drift": {"type": number_or_text, "metavar": "DRIFT"},
    "instrument": {"type": _object_or_text, "metavar": "SOURCE"},
    "account": {"action": "append", "default": [], "type": setting, "metavar": "NAME=VALUE"},
    "model": {"action": "append", "default": [], "type": setting, "metavar": "NAME=VALUE"},
    "out": {"metavar": "FOLDER"},
}
_RUN: dict[str, dict[str, str]] = {
    _MARKET: {
        "candles": f"{CANDLES}; without it, --symbol is fetched, or the synthetic market taken",
        "symbol": "instrument, such as BTCUSDT; names that of a file that does not",
        "interval": "bar length as Bybit's code: 1 … 720 minutes, D, W",
        "start": f"first bar used; {TIME}",
        "train_end": "end of the training range, exclusive: 70%% of the bars if not given",
        "validation_end": "end of the validation range, exclusive: 85%% of the bars if not given",
        "end": "end of the test range, exclusive: that of the record if not given",
    },
    "the world model": {
        "preset": "market: M draws the next bar, which no action moves; paper: Ha & "
        "Schmidhuber's, in which M hears the action (default: market)",
        "world_model": "folder of a world model of this market to take instead of training one",
        "features": "what V sees beside the candles' own features, joined by commas: volume_profile, funding "
        "(of --funding), column:NAME (of the file), with settings as in "
        "column:book_imbalance:lag=0:transform=log:dream=held",
        "seed": "of training, search and dreams: the same seed, the same result",
        "vae_epochs": "epochs of V at most; it stops earlier where validation does not improve",
        "mdn_rnn_epochs": "epochs of M at most, likewise",
        "members": "world models to train of the market: forecasts pool them, a dream draws one",
        "model": "any other setting of the world model, such as hidden_size=64; repeatable",
        "refit": "train anew whenever so many bars of the test range have gone by, on all bars up to "
        "there: what that is worth to the forecasts, by quarter; the policies are not searched for anew",
        "device": "where V and M are trained and the search dreams; auto is CUDA where there is "
        "one (default: cpu)",
    },
    "the search for a controller, in the dream": {
        "population": "controllers that CMA-ES tries in a generation",
        "generations": "generations of CMA-ES in a search, at most of each start",
        "covariance": "of CMA-ES: diagonal, or full, which also learns how parameters go together",
        "restarts": "starts anew with twice the population each time (IPOP)",
        "objective": "what the search maximises, and validation chooses by: the mean log return of "
        "the dreams; sharpe, sortino or calmar ratio; cvar, the mean of the worst dreams; or "
        "mean_deviation, mean less aversion times the deviation over dreams",
        "tail": "share of the dreams that cvar looks at",
        "aversion": "what mean_deviation multiplies the deviation by",
        "inputs": "what the controller reads: parts of latent_hidden_account",
        "hidden_size": "units of a hidden layer of the controller, which processors alone search "
        "for; 0 is a linear controller",
        "search_seeds": "searches, each with a seed of its own: validation deploys the controller "
        "of one, and all are reported as median and range (default: 5, and 1 for paper)",
        "dreams": "dreams in which each controller trades; their mean is its score",
        "horizon": "bars of a dream",
        "temperature": "τ of the dreams: above 1 they are wilder than the market, 0 always takes "
        "the likeliest bar",
        "pessimism": "λ: a position is paid so much less in them where the world model's members disagree; "
        "it takes several, see --members",
        "recent": "share of the training range, its last, in which dreams begin",
        "drift": DRIFT,
        "evaluation_dreams": "dreams that measure each policy in the end",
        "workers": "processes that dream for the search, 0 for this one alone; the result is the "
        "same (default: 0, and one a core for paper)",
        "executor": EXECUTOR,
        "ray_address": RAY_ADDRESS,
    },
    "the account": {
        "taker_fee": "fraction of the notional traded",
        "slippage": "fraction of the notional traded",
        "funding": "what positions pay at funding instants: a file of rates, bybit:SYMBOL "
        "(stored), a constant rate, or off (the default)",
        "unrecorded_funding_rate": "rate in replay at instants that were due and are not recorded "
        "(default: 0 inside the record, which has to cover validation and test)",
        "instrument": "tick, step, funding interval and end of a file's symbol: bybit:SYMBOL "
        "(stored), or a JSON object; stored candles bring their own",
        "account": "any other setting of the account, such as leverage=3 or fill_delay=1; "
        "repeatable",
    },
    "the output": {
        "out": "folder for the results of this run alone (default: runs/latest)",
        "resume": "go on from the checkpoints in the folder, to the same result as if never "
        "stopped",
        "overwrite": "replace another run's or job's results in the folder, or this run's, "
        "unfinished",
    },
}
