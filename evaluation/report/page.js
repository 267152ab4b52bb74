// Draws every chart in the colours that the reader's system asks for, and again when they change.
(() => {
  const exchanges = JSON.parse(document.getElementById("shades").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const shaded = value => typeof value === "string" ? (dark.matches && exchanges[value]) || value
    : Array.isArray(value) ? value.map(shaded)
    : value && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).map(([key, part]) => [key, shaded(part)]))
      : value;
  const config = {responsive: true, displayModeBar: false};
  const fitted = (layout, data) => {
    if (touch) layout.dragmode = false;  // a finger on a chart scrolls the page
    if (innerWidth > 520) return layout;
    const names = data.filter(trace => trace.showlegend).length;
    layout.height += 29 * Math.max(0, names - 2);  // they stand beneath each other
    layout.legend.maxheight = 30 * (names + 1);
    if (!layout.xaxis.dtick) layout.xaxis.nticks = 4;
    return layout;
  };
  const draw = () => document.querySelectorAll("figure.chart").forEach(figure => {
    const {data, layout} = shaded(JSON.parse(figure.querySelector("script").textContent));
    const place = figure.querySelector(".plot");
    place.style.height = `${fitted(layout, data).height}px`;
    Plotly.react(place, data, layout, config);
  });
  dark.addEventListener("change", draw);
  draw();
})();
