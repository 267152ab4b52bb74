"""A page made again from what its job left in the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worldmodel_trading.evaluation.fidelity.report import rewrite_fidelity
from worldmodel_trading.evaluation.report.comparison_page import rewrite_comparison
from worldmodel_trading.evaluation.report.explore_page import rewrite_explore
from worldmodel_trading.evaluation.report.run_page import rewrite_run
from worldmodel_trading.evaluation.report.stress_page import rewrite_stress
from worldmodel_trading.evaluation.report.universe_page import rewrite_universe
from worldmodel_trading.market.errors import OutputError
from worldmodel_trading.market.files.writer import refuse_unwritable, sole_writer
from worldmodel_trading.output import Job, is_begun, job_of
from worldmodel_trading.progress import tell

_PAGES: dict[Job, Callable[[Path], Path]] = {
    "run": rewrite_run,
    "fidelity": rewrite_fidelity,
    "compare": rewrite_comparison,
    "stress": rewrite_stress,
    "explore": rewrite_explore,
    "universe": rewrite_universe,
}


def report(folder: str) -> Path:
    """Write the page of a run, a fidelity measurement, a comparison, a stress test or an exploration anew.

    Args:
        folder: What ``--out`` was.

    Returns:
        The page.

    Raises:
        OutputError: The folder is none of such a job, its job is not finished, or it cannot be written to.
        ConfigError: What the page is made from is not there, or another version wrote it.
    """
    path = Path(folder)
    job = job_of(path) if path.is_dir() else None
    if job not in _PAGES:
        found = f"holds the results of the job {job}" if job else "holds no results of a job"
        raise OutputError(
            f"{folder} {found}, of which no page is made again here; expected the --out folder of {', '.join(_PAGES)}"
        )
    if is_begun(path):
        raise OutputError(f"the {job} in {folder} was stopped before its end: go on with --resume")
    refuse_unwritable(path)
    with sole_writer(path):
        page = _PAGES[job](path)
    tell(f"Report: {page}")
    return page
