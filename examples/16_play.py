"""Write a page on which you trade recorded bars and dreams by hand, and guess which windows are dreams.

python examples/16_play.py --out play.html    # then open it in a browser
"""

from __future__ import annotations

import argparse

from worldmodel_trading import play

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--bars", type=int, default=240)
parser.add_argument("--out", default="play.html")
given = parser.parse_args()

page = play("default", out=given.out, bars=given.bars, overwrite=True)
print(f"open {page} in a browser: {page.stat().st_size / 1e6:.1f} MB, and no network needed")
