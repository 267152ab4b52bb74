import numpy as np
import pytest
import torch

from worldmodel_trading.evaluation.fidelity.random_encoder import with_random_encoder
from worldmodel_trading.market.errors import ConfigError


@pytest.fixture(scope="module")
def control(market_model, candles):
    return with_random_encoder(
        market_model, candles.rows(0, 900), candles.rows(900, 1_200), seed=3, epochs=1
    )


def test_its_latents_are_standardised_and_no_trained_ones(control, market_model, candles):
    latents, trained = (m.latents(candles.rows(0, 900)) for m in (control, market_model))
    rows = latents.valid
    # over the bars that count, not only those after the warm-up: hence roughly
    np.testing.assert_allclose(latents.z[rows].std(axis=0), 1.0, atol=0.3)
    assert np.abs(latents.z[rows] - trained.z[rows]).mean() > 0.3


def test_its_m_is_trained_on_them(control, market_model):
    before, after = market_model.mdn_rnn.state_dict(), control.mdn_rnn.state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in before)
    assert control.bank.z.shape == market_model.bank.z.shape
    assert control.config == market_model.config


def test_it_repeats_with_the_seed(control, market_model, candles):
    again = with_random_encoder(
        market_model, candles.rows(0, 900), candles.rows(900, 1_200), seed=3, epochs=1
    )
    for name, value in control.mdn_rnn.state_dict().items():
        assert torch.equal(again.mdn_rnn.state_dict()[name], value)


def test_a_decoded_return_has_no_such_control(paper_model, candles):
    with pytest.raises(ConfigError, match="expected 'market'"):
        with_random_encoder(
            paper_model, candles.rows(0, 900), candles.rows(900, 1_200), seed=3, epochs=1
        )
