"""Pictures: what they show, that they change nothing, and the wrappers that film them."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import HumanRendering, RecordVideo

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_view import FUTURE_BARS, bars_between, dreamed_on, warm_up_bars
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.envs.picture_axes import (
    BAR,
    LEFT,
    RIGHT,
    Panel,
    Window,
    time_label,
    time_ticks,
)
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.trace import PICTURE_SIZE, EpisodeTrace, PastBars
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, MissingPackageError
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel

HOUR = 3_600_000
MONDAY = 1_704_067_200_000  # 2024-01-01 00:00 UTC
HEIGHT, WIDTH = PICTURE_SIZE[1], PICTURE_SIZE[0]
HALF = np.array([0.5], np.float32)


@pytest.fixture
def _headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def trace(steps: int, past: int = 3, horizon: int = 100, interval_ms: int = HOUR) -> EpisodeTrace:
    """An episode of prices 100, 101, 102, …; each bar costs a hundredth of the equity."""
    times = MONDAY + interval_ms * np.arange(1 - past, 1)
    bars = np.full((past, 4), 100.0)
    made = EpisodeTrace("market", PastBars(interval_ms, times, bars), horizon)
    for i in range(1, steps + 1):
        price = 100.0 + i
        bar = (price - 1.0, price + 0.5, price - 1.5, price)
        made.append(MONDAY + i * interval_ms, bar, 1.0 + 0.1 * i, 0.5, 0.01)
    return made


def test_a_trace_holds_what_came_before_and_sums_costs() -> None:
    made = trace(2)
    np.testing.assert_array_equal(made.column("close"), [100, 100, 100, 101, 102])
    np.testing.assert_array_equal(made.column("low", 3), [99.5, 100.5])
    # 1% of an equity of 1, then 1% of one of 1.1
    np.testing.assert_allclose(made.column("costs"), [0, 0, 0, 0.01, 0.021])
    assert (made.first, made.newest, made.last) == (2, 4, 102)
    assert made.time_ms[-1] == MONDAY + 2 * HOUR


def test_the_time_axis_moves_by_one_bar_a_step() -> None:
    """Labels belong to times: each is one bar further left after every step, and none is lost."""
    now = RIGHT - BAR
    before = dict((label, x) for x, label in time_ticks(trace(40), now))
    for steps in range(41, 80):
        after = dict((label, x) for x, label in time_ticks(trace(steps), now))
        for label in before.keys() & after.keys():
            assert after[label] == before[label] - BAR
        gone, come = before.keys() - after.keys(), after.keys() - before.keys()
        assert all(before[label] - BAR < LEFT for label in gone)
        assert all(after[label] > RIGHT - BAR for label in come)
        before = after


def test_ticks_lie_at_their_times_and_are_far_enough_apart() -> None:
    made, now = trace(30), RIGHT - BAR
    places = list(time_ticks(made, now))
    # 14 hours × 6 pixels are the least gap: so every 24 hours
    assert [label for _, label in places] == ["Tue 2 Jan", "Mon 1 Jan", "Sun 31 Dec", "Sat 30 Dec", "Fri 29 Dec", "Thu 28 Dec"]  # fmt: skip
    assert dict((label, x) for x, label in places)["Tue 2 Jan"] == now - 6 * BAR
    weekly = list(time_ticks(trace(30, interval_ms=168 * HOUR), now))
    assert [label for _, label in weekly[:2]] == ["29 Apr 2024", "30 Oct 2023"]
    assert all(left + 26 * BAR == right for (right, _), (left, _) in pairwise(weekly))
    minutes = [label for _, label in time_ticks(trace(30, interval_ms=60_000), now)]
    assert minutes[:2] == ["00:30", "00:15"]
    assert "Mon 1 Jan" in minutes


def test_labels_say_no_more_than_they_must() -> None:
    assert time_label(MONDAY + 14 * HOUR, HOUR) == "14:00"
    assert time_label(MONDAY, HOUR) == "Mon 1 Jan"
    assert time_label(MONDAY, 24 * HOUR) == "Mon 1 Jan"
    assert time_label(MONDAY, 168 * HOUR) == "1 Jan 2024"


def test_round_values_on_an_axis() -> None:
    values, decimals = Panel(0, 100, 99.3, 101.9).ticks(5)
    np.testing.assert_allclose(values, [99.5, 100.0, 100.5, 101.0, 101.5])
    assert decimals == 1
    values, decimals = Panel(0, 100, 4.1e-5, 5.2e-5).ticks(4)
    np.testing.assert_allclose(values, 1e-5 * np.array([4.2, 4.4, 4.6, 4.8, 5.0, 5.2]))
    assert decimals == 6
    panel = Panel.around(10, 100, (7.0, 7.0))  # nothing moves: still an axis
    assert panel.low < 7.0 < panel.high
    assert panel.y(7.0) == pytest.approx(60.0)


def test_limits_let_go_of_old_bars_bit_by_bit() -> None:
    """A spike that leaves on the left takes its leave over many bars, not at once."""
    past = np.full((200, 4), 100.0)
    past[100, 1] = 200.0
    times = MONDAY + HOUR * np.arange(-199, 1)
    highs = []
    made = EpisodeTrace("market", PastBars(HOUR, times, past), 200)
    for i in range(1, 120):
        window = Window.of(made, RIGHT - BAR)
        low, high = (made.column(name, window.start) for name in ("low", "high"))
        highs.append(window.limits(low, high, 100.0)[1])
        made.append(MONDAY + i * HOUR, (100.0, 100.0, 100.0, 100.0), 1.0, 0.0, 0.0)
    assert highs[0] == 200.0
    assert highs[-1] == 100.0
    steps = -np.diff(highs)
    assert steps.min() >= 0.0
    assert 0.0 < steps.max() <= 100.0 / 25


def test_a_replay_shows_the_record(candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=30, render_mode="rgb_array")
    env.reset(options={"start": int(candles.open_time_ms[400])})
    for _ in range(10):
        env.step(HALF)
    made = env._trace
    assert made is not None
    for name in ("open", "high", "low", "close"):
        shown = made.column(name)
        expected = getattr(candles, name)[411 - len(shown) : 411]
        np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(made.time_ms, candles.open_time_ms[411 - len(shown) : 411])
    assert made.column("weight")[made.first] == 0.0
    assert made.column("costs")[-1] > 0.0


def test_what_came_before_ends_at_a_gap(candles: Candles) -> None:
    kept = np.r_[0:300, 310:600]
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    gapped = Candles(*(getattr(candles, name)[kept] for name in names))
    past = PastBars.of(gapped, 320)
    assert len(past.time_ms) == 21
    assert past.time_ms[0] == gapped.open_time_ms[300]


def test_a_dream_s_candles_by_hand(paper_model: PaperWorldModel) -> None:
    """A fall of 10% whose range is 0.3: what exceeds the body goes half above and half below."""
    engine = PaperEngine(paper_model)
    features = np.zeros((1, len(paper_model.config.features.names)))
    features[0, paper_model.config.features.names.index("range")] = 0.3
    opening, high, low, close = bars_between(engine, np.array([100.0, 90.0]), features)[0]
    half = np.exp(0.5 * (0.3 - np.log(100.0 / 90.0)))
    assert (opening, close) == (100.0, 90.0)
    assert high == pytest.approx(100.0 * half)
    assert low == pytest.approx(90.0 / half)
    assert np.log(high / low) == pytest.approx(0.3)


def test_a_dream_of_latents_begins_with_the_bars_that_it_heard(
    paper_model: PaperWorldModel, candles: Candles
) -> None:
    bank, engine = paper_model.bank, PaperEngine(paper_model)
    past = warm_up_bars(engine, int(bank.open_time_ms[5]), float(bank.close[5]))
    row = int(np.searchsorted(candles.open_time_ms, bank.open_time_ms[5]))
    rows = slice(row - len(past.bars) + 1, row + 1)
    np.testing.assert_array_equal(past.time_ms, candles.open_time_ms[rows])
    assert past.bars[-1, 3] == candles.close[row]  # the others are decoded from latents
    np.testing.assert_array_equal(past.bars[1:, 0], past.bars[:-1, 3])
    assert (past.bars[:, 1] >= past.bars[:, 2]).all()


@pytest.mark.parametrize("observation", ["latent", "features"])
def test_a_dream_s_bars_are_whole(tiny_model: WorldModel, observation: Any) -> None:
    env = DreamEnv(tiny_model, horizon=40, observation=observation, render_mode="rgb_array")
    env.reset(seed=3)
    closes = [env.step(HALF)[4]["price"] for _ in range(40)]
    made = env._trace
    assert made is not None
    opening, high, low, close = (
        made.column(name, made.first + 1) for name in ("open", "high", "low", "close")
    )
    np.testing.assert_array_equal(close, closes)
    np.testing.assert_array_equal(opening[1:], close[:-1])
    assert (high >= np.maximum(opening, close)).all()
    assert (low <= np.minimum(opening, close)).all()
    assert (high > np.maximum(opening, close)).any()


def test_a_dream_along_a_record_shows_the_record(
    market_model: WorldModel, candles: Candles
) -> None:
    env = DreamEnv(market_model, horizon=20, render_mode="rgb_array")
    env.reset(options={"candles": candles, "start": int(candles.open_time_ms[500])})
    for _ in range(5):
        env.step(HALF)
    made = env._trace
    assert made is not None
    for name in ("open", "high", "low", "close"):
        expected = getattr(candles, name)[486:506]
        np.testing.assert_allclose(made.column(name)[-20:], expected, rtol=1e-12)


def test_the_fan_is_where_the_dream_goes_on(tiny_model: WorldModel) -> None:
    """It begins at the newest state, leaves it alone, and its spread grows with time."""
    env = DreamEnv(tiny_model, horizon=60, render_mode="rgb_array")
    env.reset(seed=1)
    for _ in range(7):
        price = env.step(HALF)[4]["price"]
    fan = env._future()
    assert fan.shape[1] == FUTURE_BARS
    np.testing.assert_array_equal(fan, env._future())
    spread = np.log(fan / price).std(axis=0)
    assert spread[-1] > 2.0 * spread[0] > 0.0
    engine = env.engine
    state = engine.start(np.array([2]))
    before = copy.deepcopy(state)
    still = dreamed_on(engine, state, 100.0, 0.0, 0.0)  # τ = 0: one dream, many times
    np.testing.assert_allclose(still, np.broadcast_to(still[:1], still.shape), rtol=1e-5)
    for name in ("z", "h", "c", "open_time_ms"):
        np.testing.assert_array_equal(getattr(state, name), getattr(before, name))


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_frames_repeat_and_depend_on_nothing_but_what_they_show(name: str) -> None:
    frames = []
    for every in (1, 5):  # rendered at each step, or at some
        env = gym.make(name, render_mode="rgb_array")
        env.reset(seed=4)
        for step in range(10):
            env.step(HALF)
            if (step + 1) % every == 0:
                frame = env.render()
        frames.append(frame)
        twin = copy.deepcopy(env.unwrapped)
        np.testing.assert_array_equal(twin.render(), frame)
        again = pickle.loads(pickle.dumps(env.unwrapped))
        np.testing.assert_array_equal(again.render(), frame)
    np.testing.assert_array_equal(*frames)
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert frames[0].dtype == np.uint8
    assert frames[0].flags.writeable


def test_a_frame_shows_position_equity_costs_and_fan(market_model: WorldModel) -> None:
    """By hue in each strip: green for a long account, blue, amber, and violet ahead of now."""
    env = DreamEnv(market_model, horizon=100, render_mode="rgb_array")
    env.reset(seed=0)

    def share(frame: Any, rows: slice, columns: slice, high: int, low: int) -> float:
        """Of the columns, those in which one primary colour stands out against another."""
        panel = frame[rows, columns].astype(int)
        return float((panel[..., high] - panel[..., low] > 60).any(axis=0).mean())

    now = RIGHT - BAR * (FUTURE_BARS + 1)
    red, green, blue = range(3)
    strips = {
        "position": (slice(366, 416), green, red),
        "equity": (slice(438, 504), blue, red),
        "costs": (slice(526, 556), red, blue),
    }
    lived = slice(now - 50 * BAR, now)
    begun = env.render()
    for _ in range(60):
        env.step(np.ones(1, np.float32))
    shown = env.render()
    for rows, high, low in strips.values():
        assert share(begun, rows, lived, high, low) == 0.0
        assert share(shown, rows, lived, high, low) > 0.8
    ahead = slice(now + BAR, RIGHT - BAR)
    assert share(shown, slice(56, 360), ahead, blue, green) == 1.0
    assert share(shown, slice(366, 556), ahead, blue, green) == 0.0


@pytest.mark.usefixtures("_headless")
@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_a_window_follows_by_itself_and_closes(name: str) -> None:
    env = gym.make(name, render_mode="human")
    plain = gym.make(name)
    env.reset(seed=2)
    plain.reset(seed=2)
    window = pygame.display.get_surface()
    assert window is not None
    assert window.get_size() == PICTURE_SIZE
    first = pygame.surfarray.array3d(window)
    for _ in range(2):
        seen, expected = env.step(HALF), plain.step(HALF)
        np.testing.assert_array_equal(seen[0], expected[0])
    assert env.render() is None
    assert (pygame.surfarray.array3d(window) != first).any()
    env.close()
    assert not pygame.display.get_init()
    env.close()


@pytest.mark.usefixtures("_headless")
def test_gymnasium_s_own_window_shows_our_pixels() -> None:
    plain = gym.make("BybitReplay-v0", render_mode="rgb_array")
    env = HumanRendering(plain)
    env.reset(seed=0)
    env.step(HALF)
    shown = pygame.surfarray.array3d(env.window)
    np.testing.assert_array_equal(shown.swapaxes(0, 1), plain.render())
    env.close()


def test_where_there_is_no_display_the_error_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    env = gym.make("BybitReplay-v0", render_mode="human")
    with pytest.raises(ConfigError, match=r"finds no display.*use 'rgb_array'"):
        env.reset(seed=0)


def test_an_episode_is_filmed(tmp_path: Path) -> None:
    import imageio_ffmpeg

    env = gym.make("WorldModelDream-v0", render_mode="rgb_array", horizon=8)
    env = RecordVideo(env, str(tmp_path / "films"), episode_trigger=lambda episode: True)
    env.reset(seed=0)
    done = False
    while not done:
        *_, terminated, truncated, _ = env.step(HALF)
        done = terminated or truncated
    env.close()
    (film,) = (tmp_path / "films").glob("*.mp4")
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(film))
    assert frames == 9  # the first, and one after each step
    assert seconds == pytest.approx(9 / env.metadata["render_fps"], abs=0.05)
    reader = imageio_ffmpeg.read_frames(str(film))
    assert next(reader)["size"] == PICTURE_SIZE
    reader.close()


WITHOUT_PYGAME = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "pygame":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "pygame" else real(name, *a)
import gymnasium as gym
import worldmodel_trading
env = gym.make("BybitReplay-v0", render_mode="ansi")
env.reset(seed=0)
print(env.render())
for mode in ("rgb_array", "human"):
    try:
        gym.make("BybitReplay-v0", render_mode=mode)
    except gym.error.DependencyNotInstalled as error:
        print(type(error).__name__, error)
"""


def test_without_pygame_pictures_name_the_extra_and_all_else_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYGAME],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    text, *refused = done.stdout.splitlines()
    assert "price" in text
    assert len(refused) == 2
    for line in refused:
        assert line.startswith("PygameMissingError")
        assert "pip install 'worldmodel-trading[render]'" in line


def test_the_missing_library_is_an_error_of_both_houses() -> None:
    from worldmodel_trading.envs.rendering import PygameMissingError

    assert issubclass(PygameMissingError, MissingPackageError)
    assert issubclass(PygameMissingError, DependencyNotInstalled)


def test_importing_draws_no_greeting() -> None:
    """pygame greets on standard output unless it is told not to."""
    code = (
        "import gymnasium as gym, worldmodel_trading\n"
        "env = gym.make('BybitReplay-v0', render_mode='rgb_array')\n"
        "env.reset(seed=0); env.render()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
