// Density of points on the plane of confidence and variability, and what its shades mean.

const LEAST_SHADE = 8; // of 64: a single point is seen

/** Cells of counts, confidence upwards, on whole pixels of the screen so that no gap shows. */
function density(pen, counts, bins, { x, y, w, h }, most, theme) {
  const across = (column) => Math.round(x + (column / bins) * w);
  const up = (row) => Math.round(y + h - (row / bins) * h);
  for (let row = 0; row < bins; row += 1) {
    for (let column = 0; column < bins; column += 1) {
      const count = counts[row * bins + column];
      if (!count) continue;
      const [left, top] = [across(column), up(row + 1)];
      const shade = shadeOf(count, most, theme);
      pen.cell(left, top, across(column + 1) - left, up(row) - top, shade);
    }
  }
}

function shadeOf(count, most, theme) {
  const share = Math.min(Math.log(count) / Math.log(most), 1);
  return theme.shades[LEAST_SHADE + Math.round(share * (theme.shades.length - 1 - LEAST_SHADE))];
}

function densityLegend(pen, x, y, most, theme) {
  const note = { size: 11, fill: theme.faint }, w = 100;
  pen.text(x, y, "Points in a cell", note);
  for (let i = 0; i < w; i += 2) pen.cell(x + i, y + 9, 2, 12, shadeOf(most ** (i / w), most, theme));
  for (let count = 1; count <= most; count *= 10) {
    const short = count < 1000 ? String(count) : `${count / 1000}k`;
    pen.text(x + (w * Math.log(count)) / Math.log(most), y + 30, short, { ...note, align: "center" });
  }
}
