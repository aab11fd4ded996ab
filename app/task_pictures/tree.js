// What pictures of distances share: the legend of their shades, and a tree above the columns.

const TREE = 96;

/** Near is dark. */
const shadeOf = (distance, [low, high]) =>
  Math.round(Math.min(Math.max(1 - (distance - low) / (high - low || 1), 0), 1) * (SHADES - 1));

function drawRange(pen, [low, high], theme, x, y, title) {
  for (let i = 0; i < RAMP.width; i += 1) {
    const shade = theme.shades[SHADES - 1 - Math.floor((i / RAMP.width) * SHADES)];
    pen.cell(x + i, y, 1, RAMP.height, shade);
  }
  const tick = { size: 10, fill: theme.faint };
  pen.text(x, y + RAMP.height + 8, low.toFixed(1), tick);
  pen.text(x + RAMP.width, y + RAMP.height + 8, high.toFixed(1), { ...tick, align: "right" });
  pen.text(x + RAMP.width + 10, y + 5, title, { size: 10.5, fill: theme.faint });
}

/** Heights are distances too: where two branches meet, so far apart are they on average. `above` is
 *  how far above `top` it ends. */
function drawTree(pen, tree, { left, top, cell, above = 3 }, theme) {
  const highest = Math.max(...tree.map((line) => Math.max(line[1], line[3])), 1e-12);
  const across = (x) => left + (x + 0.5) * cell;
  const up = (height) => top - above - (height / highest) * (TREE - 12);
  for (const [x0, y0, x1, y1] of tree) {
    const points = [[across(x0), up(y0)], [across(x1), up(y1)]];
    pen.line(points, { stroke: theme.faint, width: 1 });
  }
}
