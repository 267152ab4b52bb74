"""Sweep controllers in dreams, verify the few best in replay, and see whether any is more than luck.

python examples/15_explore.py --count 20000
"""

from __future__ import annotations

import argparse

from worldmodel_trading import explore

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=20_000)
parser.add_argument("--dreams", type=int, default=64)
parser.add_argument("--horizon", type=int, default=720)
parser.add_argument("--out", default="runs/explore-example")
given = parser.parse_args()

found = explore(
    "default",  # the world model that ships, on the embedded market
    spaces=("linear", "momentum"),
    count=given.count,
    dreams=given.dreams,
    horizon=given.horizon,
    finalists=min(500, given.count // 2),
    fresh_dreams=given.dreams,
    audited=0,
    out=given.out,
    overwrite=True,
)
for name in found.best:
    verdict = found.told["verdicts"]["test"][name]
    print(f"{name}: {'good' if verdict['good'] else 'may be luck'}")
