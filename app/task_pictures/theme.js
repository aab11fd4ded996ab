// Colours and letters of the app's theme, light or dark.

const SHADES = 64;

function channels(colour) {
  GLYPHS.fillStyle = "#000";
  GLYPHS.fillStyle = colour;
  const known = GLYPHS.fillStyle;
  if (known[0] === "#") return [1, 3, 5].map((i) => parseInt(known.slice(i, i + 2), 16));
  return known.match(/[\d.]+/g).slice(0, 3).map(Number);
}

function mixed(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return `rgb(${a.map((value, i) => Math.round(value + share * (b[i] - value))).join(",")})`;
}

/** Black or white, whichever is read better on this colour. */
function inkOn(colour) {
  const [r, g, b] = channels(colour).map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#10151B" : "#FFFFFF";
}

function themeOf(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(`--st-${name}`).trim();
  const stops = value("chart-sequential-colors").split(/,(?![^(]*\))/).map((stop) => stop.trim());
  const text = value("text-color"), background = value("background-color");
  const shades = Array.from({ length: SHADES }, (_, i) => {
    const at = (i / (SHADES - 1)) * (stops.length - 1);
    const below = Math.min(Math.floor(at), stops.length - 2);
    return mixed(stops[below], stops[below + 1], at - below);
  });
  return {
    text,
    background,
    faint: mixed(background, text, 0.65),
    line: mixed(background, text, 0.2),
    accent: value("primary-color"),
    family: value("font") || "sans-serif",
    shades,
    inks: shades.map(inkOn),
  };
}
