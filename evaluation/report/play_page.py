"""The page on which a person trades replay and dreams by hand, and guesses which is which."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...market.arrays import FloatArray
from ...market.files.writer import write_whole
from ...market.intervals import INTERVALS_MS
from ..game import Game
from ..significance import share_interval
from .components import page, section
from .theme import beside

_INT16 = np.iinfo(np.int16).max
_CONTROLS = """<div class="game">
<p class="bar"><button id="long">Long</button><button id="flat">Flat</button><button id="short">Short</button>
<span class="gap"></span><button id="next">Next bar</button><button id="run">Play</button></p>
<p class="bar"><button id="switch">Into a dream</button>
<label>temperature <select id="temperature"></select></label>
<label>dream <select id="seed"></select></label>
<label>beginning <select id="regime"></select></label></p>
<dl class="tiles"><div><dt>You are</dt><dd id="side">flat</dd></div>
<div><dt>Your account</dt><dd id="equity">100.00</dd></div>
<div><dt>Holding</dt><dd id="holding">100.00</dd></div>
<div><dt>Paid in costs</dt><dd id="costs">0.00</dd></div>
<div><dt>The market is</dt><dd id="mode">recorded</dd></div>
<div><dt>Bars left</dt><dd id="left"></dd></div></dl>
<figure><figcaption id="said"></figcaption><div class="plot" id="market" role="img"
 aria-label="Candles of the market that is played"></div></figure>
<figure><figcaption>What 100 became: you, and holding</figcaption><div class="plot" id="accounts" role="img"
 aria-label="Your account beside holding"></div></figure>
</div>
"""
_QUIZ = """<div class="game"><p id="asked"></p>
<figure><div class="plot" id="window" role="img" aria-label="A window of candles, recorded or dreamed"></div></figure>
<p class="bar"><button id="is-dream">A dream</button><button id="is-recorded">Recorded</button></p>
<p id="score"></p></div>
"""


def write_play_page(file: Path, game: Game) -> Path:
    """Write the page, which opens without a network."""
    return write_whole(file, play_html(game))


def play_html(game: Game) -> str:
    """The page."""
    from plotly.offline import get_plotlyjs

    candles = game.candles
    told = json.dumps(game_data(game), separators=(",", ":")).replace("<", "\\u003c")
    library = get_plotlyjs().replace("</script", "<\\/script")
    quiz = f"{len(game.windows)} windows: which are dreams?"
    body = (
        section(
            "Trade it",
            f"At any bar, go on in a dream that begins where the market stands, or in the record again. A click "
            f"chooses what you hold through the bars to come; a trade costs {game.fee + game.slippage:.3%} of "
            f"what is traded. Keys: l, f, s, space for the next bar, d for the dream.",
            _CONTROLS,
        )
        + section(quiz, _QUIZ)
        + f"<style>{beside('play.css')}</style>"
        + f'<script id="game" type="application/json">{told}</script>'
        + f"<script>{library}</script>\n<script>{beside('play.js')}</script>"
    )
    return page(
        f"Play {candles.symbol}", body, "recorded bars, and what a world model dreams of them"
    )


def game_data(game: Game) -> dict[str, Any]:
    """What the script plays, as JSON; dreams as 16-bit integers, in units of their scale."""
    candles, config = game.candles, game.config
    columns = ("open", "high", "low", "close")
    everything = [game.dreams, *game.regimes.values()]
    scale = max(float(np.abs(part).max()) for part in everything) / _INT16 or 1.0
    spans = [
        share_interval(right / len(game.windows), len(game.windows))
        for right in range(len(game.windows) + 1)
    ]
    return {
        "symbol": candles.symbol,
        "time": candles.open_time_ms.tolist(),
        "interval": INTERVALS_MS.get(candles.interval, candles.interval_ms),
        "candles": [getattr(candles, name).tolist() for name in columns],
        "first": game.first,
        "fee": game.fee,
        "slippage": game.slippage,
        "horizon": config.horizon,
        "count": config.dreams,
        "bars": config.bars,
        "temperatures": list(config.temperatures),
        "scale": scale,
        "dreams": _packed(game.dreams, scale),
        "regimes": {name: _packed(part, scale) for name, part in game.regimes.items()},
        "windows": np.round(game.windows, 4).tolist(),
        "answers": base64.b64encode(game.dreamed.astype(np.uint8).tobytes()).decode(),
        "intervals": [[span.low, span.high] for span in spans],
    }


def _packed(values: FloatArray, scale: float) -> str:
    whole = np.round(values / scale).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode()
