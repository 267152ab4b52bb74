"""The lowest versions that the package promises are those that `make test-lowest` installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
EXTRAS = ("agents", "hub", "live", "minari", "mlflow", "ray", "render", "sweep", "wandb", "test")


def promised() -> dict[str, Version]:
    """The lower bound of everything that users and tests install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in optional[extra])]
    found = [Requirement(line) for line in lines]
    bounds = {
        canonicalize_name(one.name): [
            Version(s.version) for s in one.specifier if s.operator == ">="
        ]
        for one in found
        if one.name != project["name"]
    }
    assert all(len(lowest) == 1 for lowest in bounds.values()), bounds
    return {name: lowest for name, (lowest,) in bounds.items()}


def test_every_lower_bound_is_the_version_that_is_tested() -> None:
    text = (ROOT / "constraints-lowest.txt").read_text("utf-8")
    pins = re.findall(r"^([\w-]+)==(\S+)$", text, flags=re.MULTILINE)
    assert {canonicalize_name(name): Version(pin) for name, pin in pins} == promised()


def test_every_dependency_is_pinned_for_the_tests() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    pins = re.findall(r"^([\w-]+)==(\S+)$", text, flags=re.MULTILINE)
    tested = {canonicalize_name(name): Version(pin) for name, pin in pins}
    for name, lowest in promised().items():
        if name != "setuptools":  # every environment brings one
            assert tested[name] >= lowest
