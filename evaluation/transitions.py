"""Episodes as data for offline learning: observations, actions, rewards, endings and infos, written down."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..market.arrays import BoolArray, Float32Array, FloatArray
from ..market.errors import ConfigError, OutputError
from ..market.extras import require
from ..market.files.writer import whole_file
from .policy import Policy
from .rollout import play_episode

if TYPE_CHECKING:
    import pyarrow as pa

MINARI_FOLDER = "MINARI_DATASETS_PATH"
"""The environment variable that says where Minari keeps data sets."""
_MINARI_ROWS = 1 << 17  # of an episode: Minari reads no longer one back


@dataclass(frozen=True, eq=False)
class Transitions:
    """One episode of T steps.

    Attributes:
        observations: What was seen [T + 1, D], float32; the last after the last step.
        actions: What was done [T, 1] float32, or [T] of a discrete space.
        rewards: [T].
        terminations: Whether the episode ended by itself with the step [T].
        truncations: Whether it was cut short [T].
        infos: What the environment told besides, by name [T + 1].
        seed: Of the environment's reset.
    """

    observations: Float32Array
    actions: NDArray[Any]
    rewards: FloatArray
    terminations: BoolArray
    truncations: BoolArray
    infos: dict[str, NDArray[Any]]
    seed: int

    def __len__(self) -> int:
        return len(self.rewards)


def record_episodes(
    env: Any, policy: Policy, episodes: int, seed: int = 0, deterministic: bool = True
) -> Iterator[Transitions]:
    """Play episodes and keep all of each, one after the other.

    Args:
        env: Scalar Gymnasium environment.
        policy: What acts.
        episodes: How many; episode i is reset with ``seed + i``.
        seed: The first.
        deterministic: Passed to ``predict``.
    """
    discrete = hasattr(env.action_space, "n")
    for number in range(episodes):
        first, *steps = play_episode(env, policy, seed + number, deterministic=deterministic)
        infos = [first.info, *(step.info for step in steps)]
        actions = np.array([step.action for step in steps], env.action_space.dtype)
        yield Transitions(
            np.stack([first.observation, *(step.observation for step in steps)]),
            actions.reshape(len(steps)) if discrete else actions.reshape(len(steps), -1),
            np.array([float(step.reward) for step in steps]),
            np.array([step.terminated for step in steps]),
            np.array([step.truncated for step in steps]),
            {name: np.array([info.get(name, np.nan) for info in infos]) for name in infos[-1]},
            seed + number,
        )


@contextmanager
def write_transitions(
    path: str | os.PathLike[str], episodes: Iterable[Transitions]
) -> Iterator[Iterator[Transitions]]:
    """Write episodes to a Parquet file as they pass; whole when the block ends well, or not at all.

    A row for each observation: ``episode``, ``step``, ``observation``, the ``action`` taken there, the
    ``reward``, ``terminated`` and ``truncated`` that followed, and the infos. The last row of an episode
    has no action, and nothing follows.

    Args:
        path: The file, which is replaced.
        episodes: What passes.

    Yields:
        The episodes again, each written when it is taken.
    """
    import pyarrow.parquet as pq

    with whole_file(path) as temporary:
        writer: Any = None

        def passing() -> Iterator[Transitions]:
            nonlocal writer
            for number, episode in enumerate(episodes):
                table = _table(number, episode)
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
                yield episode

        yield passing()
        if writer is not None:
            writer.close()


def _table(number: int, episode: Transitions) -> pa.Table:
    import pyarrow as pa

    points, size = episode.observations.shape
    following = {
        "action": episode.actions.reshape(len(episode)),
        "reward": episode.rewards,
        "terminated": episode.terminations,
        "truncated": episode.truncations,
    }
    ended = np.arange(points) == len(episode)
    columns = {
        "episode": np.full(points, number),
        "step": np.arange(points),
        "observation": pa.FixedSizeListArray.from_arrays(episode.observations.ravel(), size),
        **{
            name: pa.array(np.append(values, values[-1:]), mask=ended)
            for name, values in following.items()
        },
    }
    return pa.table({**columns, **episode.infos})


def check_minari(dataset_id: str, folder: str | os.PathLike[str] | None = None) -> None:
    """See, before any work, that a data set of Minari can be made.

    Args:
        dataset_id: Its name, ``namespace/name-v0``.
        folder: Where data sets are kept; None is Minari's own folder.

    Raises:
        MissingPackageError: Minari is not installed.
        ConfigError: The name is none.
        OutputError: There is one of that name.
    """
    require("minari", "a data set of Minari")
    from minari.dataset.minari_dataset import parse_dataset_id

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError):  # the latter of a name without a version
        raise ConfigError(
            f"the data set of Minari is called {dataset_id!r}; expected a name such as "
            "bybit/btc-ppo-v0: namespace (or none), name and version"
        ) from None
    with _kept_in(folder):
        place = _place(dataset_id)
    if place.exists():
        raise OutputError(f"{place} is there already: name another data set, or another version")


def write_minari(
    dataset_id: str,
    episodes: Iterable[Transitions],
    env: Any,
    folder: str | os.PathLike[str] | None = None,
    **about: str,
) -> None:
    """Make a data set of Minari, in Arrow files, of episodes as they come.

    Args:
        dataset_id: Its name, ``namespace/name-v0``.
        episodes: What it holds.
        env: The environment that they were played in; its specification is kept.
        folder: Where data sets are kept; None is Minari's own folder, see `MINARI_FOLDER`.
        about: What `minari.create_dataset_from_buffers` says of it: ``algorithm_name``, …

    Raises:
        MissingPackageError: Minari is not installed.
        ConfigError: The name is none, or an episode is too long for Minari.
        OutputError: There is one of that name.
    """
    check_minari(dataset_id, folder)
    import minari

    with _kept_in(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what nobody has to say: an author, a link
        try:
            minari.create_dataset_from_buffers(
                dataset_id, _buffers(episodes), env, data_format="arrow", **about
            )
        except BaseException:
            shutil.rmtree(_place(dataset_id), ignore_errors=True)
            raise


def _buffers(episodes: Iterable[Transitions]) -> Any:
    """Minari's form of each; it takes them one by one, whatever its signature says."""
    from minari.data_collector import EpisodeBuffer

    for number, episode in enumerate(episodes):
        if len(episode) >= _MINARI_ROWS:
            raise ConfigError(
                f"an episode has {len(episode)} bars, and Minari reads fewer than {_MINARI_ROWS} back: "
                "play shorter ones with --horizon"
            )
        yield EpisodeBuffer(
            number,
            episode.seed,
            None,
            episode.observations,
            episode.actions,
            episode.rewards,
            episode.terminations,
            episode.truncations,
            {name: values.tolist() for name, values in episode.infos.items()},
        )


def _place(dataset_id: str) -> Path:
    from minari.storage.datasets_root_dir import get_dataset_path

    return Path(get_dataset_path(dataset_id))


@contextmanager
def _kept_in(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Have Minari keep its data sets in a folder, whose whole path it has to know."""
    before = os.environ.get(MINARI_FOLDER)
    wanted = before if folder is None else os.fspath(folder)
    if wanted is not None:
        os.environ[MINARI_FOLDER] = os.path.abspath(wanted)
    try:
        yield
    finally:
        if before is not None:
            os.environ[MINARI_FOLDER] = before
        else:
            os.environ.pop(MINARI_FOLDER, None)
