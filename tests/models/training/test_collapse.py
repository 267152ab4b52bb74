import torch

from worldmodel_trading.models.mixture import LOG_SIGMA_MIN, Mixture
from worldmodel_trading.models.training.collapse import mixture_warnings
from worldmodel_trading.models.vae import active_units


def mixture(logits, log_sigmas) -> Mixture:
    count = 50
    return Mixture(
        torch.tensor(logits).expand(count, 2),
        torch.zeros(count, 2, 1),
        torch.tensor(log_sigmas)[:, None].expand(count, 2, 1),
    )


def test_a_healthy_mixture_is_not_warned_about():
    assert mixture_warnings("return", mixture([0.0, 0.5], [-1.0, 0.3])) == []


def test_sigma_at_its_floor_is_said():
    (text,) = mixture_warnings("return", mixture([0.0, 0.0], [LOG_SIGMA_MIN, 0.0]))
    assert "σ of the return is at its floor for 50% of the probability" in text


def test_one_component_that_carries_all_is_said():
    (text,) = mixture_warnings("latent", mixture([9.0, 0.0], [0.0, 0.0]))
    assert "mixture of the latent has degenerated: one component of 2 carries 100.0%" in text


def test_a_lonely_floor_without_weight_is_no_alarm():
    assert mixture_warnings("return", mixture([3.5, 0.0], [0.0, LOG_SIGMA_MIN])) == []


def test_active_units_are_those_that_vary():
    means = torch.zeros(100, 3)
    means[:, 0] = torch.linspace(-1, 1, 100)
    means[:, 2] = 0.05 * torch.linspace(-1, 1, 100)  # variance 0.0009
    assert active_units(means) == 1


def test_a_v_that_must_not_speak_is_noticed(split, paper_config):
    from dataclasses import replace

    from worldmodel_trading.models.training.train import train_world_model

    silent = replace(paper_config, kl_weight=1e4, kl_warmup_epochs=0, free_bits=0.0, vae_epochs=12)
    _, history = train_world_model(*split, silent, seed=0)
    assert any("V has collapsed" in text and "lower kl_weight" in text for text in history.warnings)
