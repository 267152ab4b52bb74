"""A world model from candles to a verdict, cell by cell: load, train, dream, compare, look.

    marimo edit examples/notebook.py
    marimo edit examples/notebook.py -- --candles BTCUSDT-60.csv
    python examples/notebook.py -- --epochs 1        # the same as a script, smaller

Arguments, all after ``--``: ``--candles FILE``, ``--bars N`` (the newest N of the file), ``--epochs N``
(of each stage of the training), ``--generations N`` (of the search), ``--seed N``.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    from worldmodel_trading import (
        BybitReplayEnv,
        CMAESConfig,
        DreamEnv,
        DreamSearchConfig,
        MarketConfig,
        Regimes,
        buy_and_hold,
        comparison_table,
        diebold_mariano,
        evaluate_policy,
        fit_baselines,
        flat,
        inspect_candles,
        open_candles,
        open_recorded,
        train_controller,
        train_world_model,
    )

    _ = torch.set_num_threads(1)  # small networks: more threads only wait for each other
    return (
        BybitReplayEnv,
        CMAESConfig,
        DreamEnv,
        DreamSearchConfig,
        MarketConfig,
        Regimes,
        buy_and_hold,
        comparison_table,
        diebold_mariano,
        evaluate_policy,
        fit_baselines,
        flat,
        inspect_candles,
        mo,
        np,
        open_candles,
        open_recorded,
        plt,
        train_controller,
        train_world_model,
    )


@app.cell
def _(mo):
    mo.md("""
    # From candles to a verdict

    A world model learns how one market's bars follow each other. Then it can dream: draw bars that
    were never traded. An agent can be searched for in those dreams, in seconds. Whether the dreams,
    or the agent, are worth anything is decided on recorded bars that neither has seen.

    Every sentence below that says how good something is was computed by the cell that shows it.
    """)
    return


@app.cell
def _(mo):
    given = mo.cli_args()
    source = str(given.get("candles") or "synthetic")
    num_bars = int(given.get("bars") or 26_280)
    epochs = int(given.get("epochs") or 16)
    generations = int(given.get("generations") or 20)
    seed = int(given.get("seed") or 0)
    return epochs, generations, num_bars, seed, source


@app.cell
def _(mo):
    mo.md("""
    ## Load

    Without a file this is the embedded market: synthetic hourly bars whose hidden regimes have a
    real edge. `--candles FILE` takes yours: CSV, Parquet or JSON, its columns found by name.
    """)
    return


@app.cell
def _(inspect_candles, mo, num_bars, open_candles, source):
    _record = open_candles(source)
    candles = _record.rows(max(0, len(_record) - num_bars), len(_record))
    findings = inspect_candles(candles)
    _odd = "\n".join(f"- {finding}" for finding in findings) or "Nothing about them is odd."
    mo.md(f"`{candles!r}`\n\n{_odd}")
    return candles, findings


@app.cell
def _(candles, mo, plt):
    _figure, _axes = plt.subplots(figsize=(9, 2.5))
    _axes.semilogy(candles.open_time_ms.astype("datetime64[ms]"), candles.close, linewidth=0.7)
    _axes.set(title=f"{candles.symbol}, close")
    mo.center(_figure)
    return


@app.cell
def _(mo):
    mo.md("""
    ## Train

    The record is cut in time: the model learns from the first 70%, the next 15% stop its training and
    choose the agent, and the last 15% are the test, which nothing looks at before the verdict.
    """)
    return


@app.cell
def _(MarketConfig, candles, epochs, mo, seed, train_world_model):
    cuts = [int(share * len(candles)) for share in (0.70, 0.85)]
    test_rows = len(candles) - cuts[1]
    config = MarketConfig.for_interval(
        candles.interval,
        forecast_epochs=epochs,
        vae_epochs=epochs,
        mdn_rnn_epochs=epochs,
        head_epochs=epochs,
    )
    world_model, history = train_world_model(
        candles.rows(0, cuts[0]), candles.rows(*cuts), config, seed=seed
    )
    mo.md(
        f"`{world_model!r}`\n\nWhat its training noted:\n"
        + "".join(f"\n- {note}" for note in history.notes)
    )
    return config, cuts, test_rows, world_model


@app.cell
def _(mo):
    mo.md("""
    ## Can it forecast?

    After each close the model gives a whole density of the next return. Its score is the mean negative
    log-likelihood of what then happened, in nats: lower is better. The floors are classical models of
    volatility, and a network of the same width without memory, fitted on the same 70%.
    """)
    return


@app.cell
def _(candles, config, cuts, diebold_mariano, fit_baselines, mo, np, seed, world_model):
    _returns = 100 * candles.log_returns()  # percent; row t is the return of bar t
    _forecast = world_model.return_forecast(candles)  # row t is made at the close of bar t
    _losses = {"world model": np.full(len(candles), np.nan)}
    _losses["world model"][1:] = -_forecast.log_prob(np.append(_returns[1:], np.nan))[:-1]
    for _name, _floor in fit_baselines(
        candles, (0, cuts[0]), seed=seed, settings=config
    ).forecasts.items():
        _losses[_name] = -_floor.rows(0, len(candles)).log_prob(_returns)
    _known = np.isfinite(list(_losses.values())).all(axis=0)
    _known[: cuts[1]] = False  # the test range alone
    losses = {_name: _loss[_known] for _name, _loss in _losses.items()}

    nats = {_name: float(_loss.mean()) for _name, _loss in losses.items()}
    best_floor = min((_name for _name in nats if _name != "world model"), key=nats.__getitem__)
    gap = diebold_mariano(losses["world model"], losses[best_floor])
    if gap.high < 0:
        forecast_verdict = f"The world model forecasts better than its best floor, {best_floor}."
    elif gap.low > 0:
        forecast_verdict = (
            f"**{best_floor} forecasts better than the world model.** Believe it, not the dreams."
        )
    else:
        forecast_verdict = (
            f"The world model and its best floor, {best_floor}, cannot be told apart."
        )
    _rows = "".join(f"\n| {_name} | {nats[_name]:.4f} |" for _name in sorted(nats, key=nats.get))
    mo.md(
        f"| forecast | nats a bar on {_known.sum():,} test bars |\n|---|---|{_rows}\n\n"
        f"{forecast_verdict} World model minus {best_floor}: {gap.value:+.4f} nats "
        f"(95%: {gap.low:+.4f} to {gap.high:+.4f})."
    )
    return best_floor, forecast_verdict, gap, nats


@app.cell
def _(mo):
    mo.md("""
    ## Dream

    A hundred dreams go on from the same moment, the beginning of the test range, knowing what had
    closed by then. The band holds 90% of them; the black line is what happened.
    """)
    return


@app.cell
def _(candles, cuts, np, seed, test_rows, world_model):
    _bars = min(168, test_rows - 1)
    _paths = world_model.hallucinate(
        100, _bars, seed=seed, candles=candles, at=int(candles.open_time_ms[cuts[1]])
    )
    dreamed = np.stack([path.close for path in _paths])
    happened = candles.close[cuts[1] : cuts[1] + _bars]
    band = np.percentile(dreamed, (5, 50, 95), axis=0)
    outside = float(((happened < band[0]) | (happened > band[2])).mean())
    return band, dreamed, happened, outside


@app.cell
def _(band, dreamed, happened, mo, outside, plt):
    _figure, _axes = plt.subplots(figsize=(9, 3.5))
    _axes.plot(dreamed[:30].T, color="tab:blue", linewidth=0.4, alpha=0.4)
    _axes.fill_between(range(len(happened)), band[0], band[2], alpha=0.2, label="90% of the dreams")
    _axes.plot(band[1], color="tab:blue", label="their median")
    _axes.plot(happened, color="black", label="what happened")
    _axes.set(xlabel="bars after the beginning of the test range")
    _axes.legend()
    mo.vstack(
        [
            _figure,
            mo.md(
                f"What happened was outside the band at {outside:.0%} of the bars. That is one path: "
                "neighbouring bars are outside together, so it says little about the band."
            ),
        ]
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## Search for an agent in the dream

    A linear controller on what the model knows, found by CMA-ES. Each generation meets fresh dreams.
    The validation range chooses among the generations; then the test range is played once.
    """)
    return


@app.cell
def _(
    CMAESConfig,
    DreamSearchConfig,
    candles,
    cuts,
    generations,
    open_recorded,
    seed,
    train_controller,
    world_model,
):
    validation_start, test_start = (int(candles.open_time_ms[_cut]) for _cut in cuts)
    controller, found = train_controller(
        world_model,
        DreamSearchConfig(
            CMAESConfig(population=32, generations=generations), dreams=16, horizon=256
        ),
        seed=seed,
        validation=open_recorded(candles, world_model, validation_start, test_start),
    )
    return controller, found, test_start, validation_start


@app.cell
def _(
    BybitReplayEnv,
    DreamEnv,
    buy_and_hold,
    candles,
    comparison_table,
    controller,
    evaluate_policy,
    flat,
    found,
    mo,
    seed,
    test_start,
    validation_start,
    world_model,
):
    _whole = {"episode_length": None, "random_start": False}
    _venues = {
        "dream": (DreamEnv(world_model, horizon=720), 48),
        "validation": (
            BybitReplayEnv(candles, world_model, validation_start, test_start, **_whole),
            1,
        ),
        "test": (BybitReplayEnv(candles, world_model, test_start, None, **_whole), 1),
    }
    performance = {
        _name: {
            _venue: evaluate_policy(
                _env, _policy, bars_per_year=candles.bars_per_year, episodes=_episodes, seed=seed
            ).performance
            for _venue, (_env, _episodes) in _venues.items()
        }
        for _name, _policy in (
            ("controller", controller),
            ("holding", buy_and_hold()),
            ("flat", flat()),
        )
    }
    mo.md(
        f"{found.evaluations:,} controllers were scored.\n\n```text\n{comparison_table(performance)}\n```"
    )
    return (performance,)


@app.cell
def _(candles, mo, np, performance, test_rows):
    _on_test = {name: each["test"].log_return for name, each in performance.items()}
    best_on_test = " and ".join(
        _name for _name, _log in _on_test.items() if _log > max(_on_test.values()) - 1e-9
    )
    _years = test_rows / candles.bars_per_year
    sharpe_error = float(np.sqrt(1 / _years))  # of an annual Sharpe ratio near 0
    _promised, _paid = (
        performance["controller"][_venue].annual_log_return for _venue in ("dream", "test")
    )
    agent_verdict = (
        f"On the test range, after costs, the best was: {best_on_test}. The dream promised the "
        f"controller {_promised:+.2f} log return a year, the test range paid {_paid:+.2f}."
    )
    mo.md(
        f"{agent_verdict} A Sharpe ratio over these {_years:.2f} years has a standard error of about "
        f"{sharpe_error:.1f}, and this is one search of one model: "
        "`worldmodel-trading compare cma_es --seeds 5` finds the range that a claim needs."
    )
    return agent_verdict, best_on_test, sharpe_error


@app.cell
def _(mo):
    mo.md("""
    ## Look: which moods does it know?

    Regimes are found in what the model remembers, named by what the bars after them did in training,
    and followed bar by bar without a look ahead.
    """)
    return


@app.cell
def _(Regimes, candles, mo, np, seed, world_model):
    regimes = Regimes.fit(
        world_model,
        candles.between(None, world_model.provenance.train_end_ms),
        3,
        seed,
        bootstraps=0,
    )
    known = regimes.filter(world_model, candles)
    known = known[np.isfinite(known).all(axis=1)]
    _rows = "".join(
        f"\n| {_name} | {_traits.share:.0%} | {_traits.volatility:.2f}% | {_traits.duration:.0f} |"
        for _name, _traits in zip(regimes.names, regimes.traits, strict=True)
    )
    mo.md(
        f"| regime | of all bars | volatility a bar | bars at a time |\n|---|---|---|---|{_rows}\n\n"
        f"At the newest close: {regimes.names[known[-1].argmax()]}, {known[-1].max():.0%}."
    )
    return known, regimes


@app.cell
def _(mo):
    mo.md("""
    ## From here

    - `world_model.save_pretrained("runs/notebook/world_model")` keeps it; every command takes that
      folder as `--world-model`.
    - `worldmodel-trading fidelity` measures how like the market its dreams are, with goals.
    - `worldmodel-trading compare` puts any agents through dreams and recorded bars, and takes its own
      result apart.
    """)
    return


@app.cell
def _(agent_verdict, forecast_verdict, mo):
    if mo.app_meta().mode == "script":
        print(forecast_verdict)
        print(agent_verdict)
    return


if __name__ == "__main__":
    app.run()
