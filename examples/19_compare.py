"""Is an agent any good, and does the dream know? A comparison that takes its own result apart.

python examples/19_compare.py --agents ppo momentum    # ppo is trained in the dream first

Prints each agent's return in dreams and on bars that nobody chose on, what of it may be luck, and the
ladder: questions from forecast to calibration, with what was met. The page is in the folder.
"""

from __future__ import annotations

import argparse

from worldmodel_trading import compare

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--agents", nargs="+", default=["momentum", "reversion"])
parser.add_argument("--dreams", type=int, default=64)
parser.add_argument("--horizon", type=int, default=720)
parser.add_argument("--searches", type=int, default=1, help="in dreams, to see what searching buys")
parser.add_argument("--no-audit", action="store_true", help="only the agents, in seconds")
parser.add_argument("--out", default="runs/compare-example")
given = parser.parse_args()

if __name__ == "__main__":
    found = compare(
        given.agents,
        "default",  # the world model that ships, on the embedded market
        dreams=given.dreams,
        horizon=given.horizon,
        policy_dreams=given.dreams,
        searches=given.searches,
        audit=not given.no_audit,
        out=given.out,
        overwrite=True,
    )
    for agent, places in found.summary().items():
        shown = ", ".join(
            f"{place} {measures['net'].median:+.2f}" for place, measures in places.items()
        )
        print(f"{agent}, log return a year after costs: {shown}")
    for agent, verdict in found.verdicts["test"].items():
        print(f"{agent} on test: {'good' if verdict.good else 'may be luck'}")
    for rung in found.ladder:
        met = {True: "yes", False: "no", None: "cannot be told"}[rung.met]
        print(f"{rung.question} {met}: {rung.answer}")
    print(f"the page: {given.out}/comparison.html")
