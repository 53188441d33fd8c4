// Chart.js in the page's own colours, drawn again when the system turns dark or light.

const dark = matchMedia("(prefers-color-scheme: dark)");

/**
 * Draw a chart and keep its colours.
 * @param canvas where
 * @param config (colour) => Chart.js configuration; colour("--name") is a CSS colour
 */
export function draw(canvas, config) {
  let chart = null;
  const again = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    Chart.defaults.color = colour("--quiet");
    Chart.defaults.borderColor = colour("--line");
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 13;
    Chart.defaults.maintainAspectRatio = false;
    Chart.defaults.animation = false;
    if (chart) chart.destroy();
    chart = new Chart(canvas, config(colour));
  };
  again();
  dark.addEventListener("change", again);
  return () => {
    dark.removeEventListener("change", again);
    chart.destroy();
  };
}
