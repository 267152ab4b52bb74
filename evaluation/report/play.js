// Plays recorded bars and dreams with one account, and asks which windows are dreams.
(() => {
  const game = JSON.parse(document.getElementById("game").textContent);
  const at = id => document.getElementById(id);
  const unpacked = text => {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    return new Int16Array(bytes.buffer);
  };
  const dreams = unpacked(game.dreams);
  const regimes = Object.fromEntries(Object.entries(game.regimes).map(([name, text]) => [name, unpacked(text)]));
  const [open, high, low, close] = game.candles;
  const HERE = "as it stands";

  // The account: costs of |a − w|, growth 1 + aR, and the weight's drift; see market/account/formulas.py.
  const account = () => ({equity: 1, weight: 0, costs: 0});
  const settle = (mine, target, simpleReturn) => {
    if (mine.equity <= 0) return;
    const traded = Math.abs(target - mine.weight);
    const cost = game.fee * traded + game.slippage * traded;
    const growth = 1 + target * simpleReturn;
    mine.costs += cost * mine.equity;
    mine.equity = Math.max(mine.equity * (1 - cost) * growth, 0);
    mine.weight = growth > 0 ? target * (1 + simpleReturn) / growth : 0;
  };

  const play = {
    clock: 0, side: 0, you: account(), holding: account(), dream: null, timer: null,
    shown: [], curve: [[1, 1]],
  };
  for (let i = 0; i <= game.first; i++)
    play.shown.push({open: open[i], high: high[i], low: low[i], close: close[i], dreamed: false});
  const last = () => play.shown[play.shown.length - 1].close;

  const recordedBar = () => {
    const row = game.first + 1 + play.clock, scale = last() / close[row - 1];
    return {open: open[row] * scale, high: high[row] * scale, low: low[row] * scale, close: close[row] * scale,
      change: close[row] / close[row - 1] - 1, dreamed: false};
  };
  const dreamtBar = () => {
    const {paths, offset} = play.dream, place = 3 * (offset + play.dream.bar);
    const [gain, upper, lower] = [0, 1, 2].map(k => paths[place + k] * game.scale);
    const before = last(), after = before * Math.exp(gain);
    play.dream.bar += 1;
    return {open: before, high: Math.max(before, after) * Math.exp(upper), low: Math.min(before, after) * Math.exp(-lower),
      close: after, change: Math.expm1(gain), dreamed: true};
  };

  const left = () => game.bars - play.clock;
  const step = () => {
    if (left() <= 0) return stop();
    const bar = play.dream ? dreamtBar() : recordedBar();
    settle(play.you, play.side, bar.change);
    settle(play.holding, 1, bar.change);
    play.shown.push(bar);
    play.curve.push([play.you.equity, play.holding.equity]);
    play.clock += 1;
    if (play.dream && play.dream.bar >= game.horizon) wake("The dream was over: this is the record again.");
    if (left() <= 0) { stop(); say("That was all. Reload the page to play again."); }
    draw();
  };
  const fall = () => {
    if (left() <= 0) return;
    const temperature = at("temperature").selectedIndex, seed = at("seed").selectedIndex, regime = at("regime").value;
    const inRegime = regime !== HERE;
    const path = temperature * game.count + seed;
    const offset = inRegime ? path * game.horizon : (path * game.bars + play.clock) * game.horizon;
    play.dream = {paths: inRegime ? regimes[regime] : dreams, offset, bar: 0};
    say("A dream: from here on the world model draws the bars.");
    draw();
  };
  const wake = text => { play.dream = null; say(text); };
  const toggle = () => { play.dream ? (wake("The record again, from the price that the dream left."), draw()) : fall(); };
  const choose = side => { play.side = side; draw(); };
  const stop = () => { clearInterval(play.timer); play.timer = null; at("run").textContent = "Play"; };
  const run = () => {
    if (play.timer) return stop();
    play.timer = setInterval(step, 350);
    at("run").textContent = "Pause";
  };
  const say = text => { at("said").textContent = text; };

  // Pictures, in the colours that the reader's system asks for.
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const config = {responsive: true, displayModeBar: false};
  const layout = (more = {}) => ({
    autosize: true, margin: {l: 8, r: 12, t: 8, b: 8}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: color("muted"), size: 12}, hovermode: "x", showlegend: false, dragmode: false,
    hoverlabel: {bgcolor: color("paper"), bordercolor: color("muted"), font: {color: color("ink")}},
    xaxis: {rangeslider: {visible: false}, gridcolor: color("line"), automargin: true, zeroline: false, fixedrange: true},
    yaxis: {gridcolor: color("line"), automargin: true, side: "right", zeroline: false, fixedrange: true},
    ...more,
  });
  const candles = (bars, x, up, down) => ({
    type: "candlestick", x, open: bars.map(b => b.open), high: bars.map(b => b.high), low: bars.map(b => b.low),
    close: bars.map(b => b.close), increasing: {line: {color: color(up)}}, decreasing: {line: {color: color(down)}},
  });
  const SEEN = 120;
  const drawMarket = () => {
    const first = Math.max(0, play.shown.length - SEEN);
    const rows = play.shown.slice(first).map((bar, i) => ({...bar, x: first + i - game.first}));
    const of = dreamed => rows.filter(bar => bar.dreamed === dreamed);
    const traces = [false, true].map(dreamed =>
      candles(of(dreamed), of(dreamed).map(bar => bar.x), dreamed ? "c3" : "c2", dreamed ? "c4" : "c1"));
    Plotly.react("market", traces, layout(), config);
  };
  const drawAccounts = () => {
    const x = play.curve.map((_, i) => i);
    const line = (which, name, hue) => ({
      type: "scatter", mode: "lines", x, y: play.curve.map(pair => 100 * pair[which]), name,
      line: {color: color(hue), width: 2},
    });
    const traces = [line(1, "holding", "c5"), line(0, "you", "c0")];
    const legend = {orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom"};
    Plotly.react("accounts", traces, layout({showlegend: true, legend}), config);
  };
  const money = value => (100 * value).toFixed(2);
  const draw = () => {
    at("side").textContent = {1: "long", 0: "flat", "-1": "short"}[play.side];
    [["long", 1], ["flat", 0], ["short", -1]].forEach(([id, side]) => at(id).classList.toggle("on", side === play.side));
    at("equity").textContent = money(play.you.equity);
    at("holding").textContent = money(play.holding.equity);
    at("costs").textContent = money(play.you.costs);
    at("mode").textContent = play.dream ? "dreamed" : "recorded";
    at("switch").textContent = play.dream ? "Back to the record" : "Into a dream";
    at("left").textContent = left();
    ["next", "run", "switch"].forEach(id => { at(id).disabled = left() <= 0; });
    drawMarket();
    drawAccounts();
    drawWindow();
  };

  // The quiz: how many of the windows are told rightly, with the 95% interval of that share.
  const answers = Uint8Array.from(atob(game.answers), c => c.charCodeAt(0));
  const quiz = {number: 0, right: 0};
  const drawWindow = () => {
    if (quiz.number >= answers.length) return;
    const bars = game.windows[quiz.number].map(([o, h, l, c]) => ({open: o, high: h, low: l, close: c}));
    at("asked").textContent = `Window ${quiz.number + 1} of ${answers.length}: recorded, or a dream?`;
    Plotly.react("window", [candles(bars, bars.map((_, i) => i), "c2", "c1")], layout(), config);
  };
  const answer = dreamed => {
    if (quiz.number >= answers.length) return;
    const right = Boolean(answers[quiz.number]) === dreamed;
    quiz.number += 1;
    quiz.right += right ? 1 : 0;
    const [from, to] = game.intervals[quiz.right].map(share => `${Math.round(100 * share)}%`);
    const done = quiz.number >= answers.length;
    at("score").textContent = done
      ? `${quiz.right} of ${answers.length} are right: ${Math.round(100 * quiz.right / answers.length)}%, `
        + `95% interval ${from} to ${to}; who cannot tell them apart has 50%.`
      : `${right ? "Right" : "Wrong"}: it was ${answers[quiz.number - 1] ? "a dream" : "recorded"}. `
        + `${quiz.right} of ${quiz.number} are right.`;
    ["is-dream", "is-recorded"].forEach(id => { at(id).disabled = done; });
    if (done) at("asked").textContent = "All windows are told."; else drawWindow();
  };

  const fill = (id, names) => { at(id).innerHTML = names.map(name => `<option>${name}</option>`).join(""); };
  fill("temperature", game.temperatures);
  at("temperature").selectedIndex = Math.max(0, game.temperatures.indexOf(1));
  fill("seed", [...Array(game.count).keys()].map(number => number + 1));
  fill("regime", [HERE, ...Object.keys(regimes)]);
  const doing = {long: () => choose(1), flat: () => choose(0), short: () => choose(-1), next: step, run, switch: toggle,
    "is-dream": () => answer(true), "is-recorded": () => answer(false)};
  Object.entries(doing).forEach(([id, act]) => at(id).addEventListener("click", act));
  ["temperature", "seed", "regime"].forEach(id => at(id).addEventListener("change", () => { if (play.dream) fall(); }));
  const keys = {l: "long", f: "flat", s: "short", " ": "next", d: "switch"};
  document.addEventListener("keydown", event => {
    if (event.target.tagName === "SELECT" || !keys[event.key]) return;
    event.preventDefault();
    doing[keys[event.key]]();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  say("Recorded bars. Choose a side, then the next bar.");
  draw();
  window.played = play;  // for whoever wants the numbers, with all their digits
})();
