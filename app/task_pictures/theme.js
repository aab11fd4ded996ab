// Colours and letters of the app's theme, light or dark.

const SHADES = 64;

const CHANNELS = new Map(); // by colour

function channels(colour) {
  if (!CHANNELS.has(colour)) CHANNELS.set(colour, parsed(colour));
  return CHANNELS.get(colour);
}

function parsed(colour) {
  GLYPHS.fillStyle = "#000";
  GLYPHS.fillStyle = colour;
  const known = GLYPHS.fillStyle;
  if (known[0] === "#") return [1, 3, 5].map((i) => parseInt(known.slice(i, i + 2), 16));
  return known.match(/[\d.]+/g).slice(0, 3).map(Number);
}

function mixedChannels(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return a.map((value, i) => Math.round(value + share * (b[i] - value)));
}

function mixed(from, to, share) {
  return `rgb(${mixedChannels(from, to, share).join(",")})`;
}

/** Black or white, whichever is read better on this colour. */
function inkOn(colour) {
  return inkOnChannels(channels(colour));
}

function inkOnChannels(found) {
  const [r, g, b] = found.map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#10151B" : "#FFFFFF";
}

const THEMES = new Map(); // by what they follow from, since their shades take a while

function themeOf(element) {
  const style = getComputedStyle(element);
  const names = [
    "chart-sequential-colors", "text-color", "background-color", "primary-color", "font",
  ];
  const told = names.map((name) => style.getPropertyValue(`--st-${name}`).trim());
  const key = told.join();
  if (!THEMES.has(key)) THEMES.set(key, theme(...told));
  return THEMES.get(key);
}

function theme(sequential, text, background, accent, font) {
  const stops = sequential.split(/,(?![^(]*\))/).map((stop) => stop.trim());
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
    accent,
    family: font || "sans-serif",
    shades,
    pixels: shades.map((shade) => {
      const [r, g, b] = channels(shade);
      return (255 << 24) | (b << 16) | (g << 8) | r; // as a canvas has them in memory
    }),
    inks: shades.map(inkOn),
  };
}
