"""What momentum loses when the market falls by 8% within 24 hours, dreamed by importance splitting.

    python 12_stress.py --paths 1024

The world model is the one that ships, of the synthetic market.
"""

from __future__ import annotations

import argparse

from worldmodel_trading import stress


def main() -> None:
    """Stress-test momentum and print its tails beside holding's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=1024, help="dreams of each scenario")
    parser.add_argument("--out", default="stress", help="folder for the numbers and the page")
    options = parser.parse_args()

    condition = "return < -0.08 within 24"
    found = stress(
        ["momentum"],
        out=options.out,
        events=(),
        conditions=(condition,),
        bars=24,
        paths=options.paths,
        overwrite=True,
    )
    scenario = found.scenarios[condition]
    chance = scenario.probability
    print(f"chance {chance.value:.2%}, between {chance.low:.2%} and {chance.high:.2%}")
    for agent in ("momentum", "hold"):
        tail = found.losses[agent][condition]["usual"].shortfall
        print(f"{agent}: the worst paths lose {tail.value:.1%}")


if __name__ == "__main__":
    main()
