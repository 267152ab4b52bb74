"""Is the dream like the market? Every measure of a world model, beside noise and simple rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...market.candles import Candles
from ...market.features import candles_for
from ...models.drift import with_drift
from ...models.world_model import WorldModel
from .consistency import Consistency
from .copies import Copies
from .dream_age import DreamAge
from .facts import Facts
from .forecasts import Forecasts
from .generators import Generator
from .memory import Memory
from .outlooks import Outlooks
from .pictures import Pictures
from .ranks import Ranks
from .results import FidelityResults, Head
from .starts import Starts
from .subject import FidelityConfig, Subject, check_closes, find_ranges
from .two_sample import TwoSample

if TYPE_CHECKING:
    from ...market.sources import CandleSource

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Fidelity:
    """What was measured.

    Attributes:
        results: Numbers with intervals, as written to ``fidelity.json``.
        pictures: Arrays that only the page draws.
    """

    results: FidelityResults
    pictures: Pictures = field(repr=False)


def measure_fidelity(
    world_model: WorldModel,
    candles: CandleSource,
    config: FidelityConfig | None = None,
    progress: Progress | None = None,
    *,
    allow_other_market: bool = False,
    generators: Mapping[str, Generator] | None = None,
) -> Fidelity:
    """Measure a world model against the candles that it was trained on and those after them.

    Stylised facts are compared with the training range, where dreams start; forecasts and rankings
    are scored on the validation and test ranges, which are those that the model's provenance
    names, and all bars after them.

    Args:
        world_model: What to judge.
        candles: Of the same market, training range included: anything `open_candles` opens.
        config: How thoroughly.
        progress: Called with the name of each stage as it begins.
        allow_other_market: Measure against a market that the world model was not trained on.
        generators: Other generators of bars to measure beside it, by name, see `open_generator`.

    Raises:
        TrainingBarsError: The candles hold no bars after the training range, or none of it, or
            other closes than the model was trained on.
        OtherMarketError: They are of another symbol or interval, and that is not allowed.
    """
    subject = open_subject(
        world_model,
        candles_for(world_model.config.features, candles),
        config or FidelityConfig(),
        allow_other_market=allow_other_market,
        generators=generators,
    )
    results = measure_parts(subject, progress or (lambda stage: None))
    return Fidelity(results, Pictures.of(subject, results))


def open_subject(
    world_model: WorldModel,
    candles: Candles,
    config: FidelityConfig,
    *,
    allow_other_market: bool,
    generators: Mapping[str, Generator] | None,
    beside: Subject | None = None,
) -> Subject:
    """A world model on candles of its market; see `measure_fidelity` and `Subject`."""
    world_model.provenance.check_market(
        candles.symbol, candles.interval, allow_other=allow_other_market
    )
    ranges = find_ranges(world_model, candles)
    if not allow_other_market:
        check_closes(world_model, candles)
    world_model = with_drift(world_model, config.drift)
    return Subject(world_model, candles, ranges, config, generators or {}, beside)


def measure_parts(subject: Subject, say: Progress) -> FidelityResults:
    """Measure one part after the other; what several look at is made by the first that does."""
    head = Head.of(subject)
    say("density forecasts")
    forecasts = Forecasts.measure(subject)
    say("outlooks")
    outlooks = Outlooks.measure(subject)
    say("starts")
    starts = Starts.measure(subject)
    say("dreams")
    facts = Facts.measure(subject)
    consistency = Consistency.measure(subject)
    say("two-sample tests")
    two_sample = TwoSample.measure(subject)
    copies = Copies.measure(subject)
    say("horizon decay")
    dream_age = DreamAge.measure(subject)
    say("memory and controls")
    memory = Memory.measure(subject)
    say("rank agreement")
    ranks = Ranks.measure(subject)
    return FidelityResults(
        head=head,
        forecasts=forecasts,
        outlooks=outlooks,
        starts=starts,
        facts=facts,
        consistency=consistency,
        two_sample=two_sample,
        copies=copies,
        dream_age=dream_age,
        memory=memory,
        ranks=ranks,
    )
