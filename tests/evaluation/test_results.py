import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.market.errors import ConfigError


def test_round_trip_of_numpy_and_paths(tmp_path):
    results = {
        "seed": np.int64(3),
        "nll": np.float32(0.5),
        "ok": np.bool_(True),
        "curve": np.array([[1.0, 2.0]]),
        "source": Path("candles.csv"),
        "none": None,
        "words": ("σ", "b"),
    }
    path = write_results(tmp_path / "new" / "results.json", results)
    assert json.loads(path.read_text("utf-8")) == {
        "seed": 3,
        "nll": 0.5,
        "ok": True,
        "curve": [[1.0, 2.0]],
        "source": "candles.csv",
        "none": None,
        "words": ["σ", "b"],
    }


@dataclass(frozen=True)
class Span:
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    spans: dict[str, Span]
    unwritten: object = None

    def to_dict(self):
        return {"spans": self.spans}


def test_records_are_their_fields_or_what_they_say_they_are(tmp_path):
    measured = Measured({"σ": Span(np.float64(0.5), 2.0)}, unwritten=object())
    path = write_results(tmp_path / "results.json", measured)
    assert json.loads(path.read_text("utf-8")) == {"spans": {"σ": {"low": 0.5, "high": 2.0}}}
    with pytest.raises(ConfigError, match=r"results\.spans\.σ\.low is nan"):
        write_results(path, Measured({"σ": Span(np.nan, 2.0)}))


@pytest.mark.parametrize("wrong", [float("nan"), np.inf, np.float32("nan")])
def test_a_number_that_json_lacks_is_named_and_nothing_is_written(tmp_path, wrong):
    path = write_results(tmp_path / "results.json", {"a": 1})
    with pytest.raises(ConfigError, match=r"results\.performance\.flat\[1\] is"):
        write_results(path, {"performance": {"flat": [0.0, wrong]}})
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_object_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"results\.env is a object"):
        write_results(tmp_path / "r.json", {"env": object()})
    assert not list(tmp_path.iterdir())
