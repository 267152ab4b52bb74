"""A straightforward dream of one lane in numpy: what one would write first, and no worse.

The whole rollout: policy, account, M's step, draws. Its returns equal the engine's to rounding,
which a test checks.
"""

from __future__ import annotations

import numpy as np

from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.market.arrays import Float32Array, FloatArray
from worldmodel_trading.market.features import calendar
from worldmodel_trading.market.intervals import INTERVALS_MS
from worldmodel_trading.models.paper_world_model import PaperWorldModel

_LATENT_LIMIT = np.float32(10.0)


class NumpyLane:
    """One lane of the ``paper`` preset's dream.

    Args:
        world_model: Of the ``paper`` preset.
        segment: Warm-up segment that it starts from.
    """

    def __init__(self, world_model: PaperWorldModel, segment: int = 0) -> None:
        config = world_model.config
        self._z_size, self._components = config.latent_size, config.num_components
        self._interval_ms = world_model.provenance.interval_ms
        self._scale = float(world_model.scaler.scale[0])
        self._mean = float(world_model.scaler.mean[0])
        self._weights = {
            name: values.detach().numpy().copy()
            for module in (world_model.mdn_rnn, world_model.vae)
            for name, values in module.named_parameters()
        }
        w = self._weights
        self._gates = np.hstack([w["lstm.weight_ih_l0"], w["lstm.weight_hh_l0"]])  # [4 H, I + H]
        self._gates_bias = w["lstm.bias_ih_l0"] + w["lstm.bias_hh_l0"]
        self._calendar = calendar(np.arange(0, INTERVALS_MS["W"], self._interval_ms))
        start = PaperEngine(world_model).start(np.array([segment]))
        self.z, self.h, self.c = start.z[0], start.h[0], start.c[0]
        self._time_ms = int(start.open_time_ms[0])

    def rollout(
        self,
        policy: FloatArray,
        uniforms: Float32Array,
        normals: Float32Array,
        cost_rate: float,
    ) -> float:
        """The log of the final equity of a linear controller.

        Args:
            policy: W and b [Z + H + 2].
            uniforms: [T, 2]; the second decides.
            normals: [T, 1 + Z]; all but the first decide.
            cost_rate: Fee and slippage, fraction of the notional traded.
        """
        policy = policy.astype(np.float32)
        equity, weight = 1.0, 0.0
        for uniform, normal in zip(uniforms, normals, strict=True):
            observation = np.concatenate([self.z, self.h, np.array([weight], np.float32)])
            target = float(np.tanh(observation @ policy[:-1] + policy[-1]))
            cost = cost_rate * abs(target - weight)
            simple_return = np.expm1(self.step(target, uniform, normal))
            growth = 1.0 + target * simple_return
            equity *= (1.0 - cost) * growth
            weight = target * (1.0 + simple_return) / growth
        return float(np.log(equity))

    def step(self, action: float, uniform: Float32Array, normal: Float32Array) -> float:
        """Dream one bar that hears the action; its log return."""
        self._advance(action)
        w, k, size = self._weights, self._components, self._z_size
        raw = w["latent_head.weight"] @ self.h + w["latent_head.bias"]
        means, widths = raw[k : k + k * size].reshape(k, size), raw[k + k * size :].reshape(k, size)
        j = _choose(raw[:k], uniform[1])
        latent = means[j] + _sigma(widths[j]) * normal[1:]
        self.z = np.minimum(np.maximum(latent, -_LATENT_LIMIT), _LATENT_LIMIT)
        self._time_ms += self._interval_ms
        inner = _silu(w["decoder.0.weight"] @ self.z + w["decoder.0.bias"])
        inner = _silu(w["decoder.2.weight"] @ inner + w["decoder.2.bias"])
        scaled = w["decoder.4.weight"][0] @ inner + w["decoder.4.bias"][0]
        return float(scaled) * self._scale + self._mean

    def _advance(self, action: float) -> None:
        bar = (self._time_ms // self._interval_ms + 1) % len(self._calendar)
        heard = (self.z, np.array([action], np.float32), self._calendar[bar], self.h)
        i, f, g, o = (self._gates @ np.concatenate(heard) + self._gates_bias).reshape(4, -1)
        self.c = _sigmoid(f) * self.c + _sigmoid(i) * np.tanh(g)
        self.h = _sigmoid(o) * np.tanh(self.c)


def _choose(logits: Float32Array, uniform: np.float32) -> int:
    weights = np.exp(logits - logits.max())
    passed = np.cumsum(weights)
    return int(np.searchsorted(passed[:-1], uniform * passed[-1], side="right"))


def _sigma(log_sigma: Float32Array) -> Float32Array:
    return np.exp(np.minimum(np.maximum(log_sigma, np.float32(-6.0)), np.float32(3.0)))


def _sigmoid(x: Float32Array) -> Float32Array:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-x))


def _silu(x: Float32Array) -> Float32Array:
    return x * _sigmoid(x)
