// Memberships: a row per task, ordered by cluster; a column per cluster, headed by its number.

const RAMP = { width: 132, height: 10 };
const MOST_ROWS = 150; // tasks whose rows are all there at once; of more a lens shows some, see lens.js

/** Eyes tell small shares apart when strength follows the square root; the legend says so. */
const strength = (share) => Math.sqrt(Math.min(Math.max(share, 0), 1));

const heatmap = {
  name: "memberships",

  plan(data, width, theme, look = {}) {
    const n = data.names.length, k = data.colours.length, many = n > MOST_ROWS;
    const row = n <= 20 ? 26 : n <= 45 ? 18 : many ? LENS.row : 14;
    const size = row > 20 ? 13 : row > 15 ? 12 : 10.5;
    const measure = (name) => textWidth(name, size, 400, theme.family);
    const labels = Math.min(Math.max(...namesOf(data).map(measure)), width * 0.34, 190);
    const shares = `Share of each of ${n.toLocaleString("en-US")} tasks in each of ${k} clusters`;
    const note = many ? `${shares}. ${LENS.note}` : `${shares}; a row sums to 1`;
    const head = headOf("Memberships", note, width, theme), top = 96 + head.more;
    const lens = many ? lensOf(n, width, top, look) : null;
    const left = Math.ceil(labels) + 16 + (lens?.room ?? 0);
    const column = Math.min((width - left - 1) / k, 96);
    const place = new Array(n);
    data.order.forEach((task, i) => (place[task] = i));
    const numbers = column >= 30 && row >= 14, [from, to] = lens ? [lens.from, lens.to] : [0, n];
    return { n, k, row, size, labels, left, top, column, place, numbers, head, lens, from, to,
      height: top + (to - from) * row + 6 };
  },

  draw(pen, data, plan, theme) {
    const { k, row, size, labels, left, top, column, from, to } = plan;
    drawHead(pen, plan.head, theme);
    this.legend(pen, theme, 0, top - 48);
    this.heads(pen, data, plan, theme);
    if (plan.lens) drawLens(pen, data, plan, theme);
    const shareAt = (i) => data.values[data.order[from + Math.floor(i / k)] * k + (i % k)];
    const shadeAt = (i) => Math.round(strength(shareAt(i)) * (SHADES - 1));
    pen.cells(left, top, [column, row], [k, to - from], column >= 10 ? 1 : 0, shadeAt, theme);
    data.order.slice(from, to).forEach((task, i) => {
      const y = top + i * row, name = shortName(data, task, labels, size, theme.family);
      pen.text(left - 12, y + row / 2, name, { fill: theme.text, size, align: "right" });
      pen.cell(left - 8, y, 4, row, data.colours[data.labels[task]]);
    });
    if (!plan.numbers) return;
    for (let i = 0; i < (to - from) * k; i += 1) {
      const x = left + ((i % k) + 0.5) * column, y = top + (Math.floor(i / k) + 0.5) * row;
      pen.text(x, y, shareAt(i).toFixed(2), {
        fill: theme.inks[shadeAt(i)], size: Math.min(size, 12), align: "center",
      });
    }
  },

  legend(pen, theme, x, y) {
    for (let i = 0; i < RAMP.width; i += 1) {
      const shade = theme.shades[Math.floor((i / RAMP.width) * SHADES)];
      pen.cell(x + i, y, 1, RAMP.height, shade);
    }
    for (const share of [0, 0.1, 0.3, 1]) {
      const at = x + strength(share) * RAMP.width;
      const align = share === 0 ? "left" : share === 1 ? "right" : "center";
      pen.text(at, y + RAMP.height + 8, String(share), { size: 10, align, fill: theme.faint });
    }
    pen.text(x + RAMP.width + 10, y + 5, "Membership, on a square-root scale", {
      size: 10.5, fill: theme.faint,
    });
  },

  heads(pen, data, plan, theme) {
    const { k, left, top, column } = plan;
    const widest = textWidth(String(k), 11, 600, theme.family) + 4;
    const every = [1, 2, 5, 10, 20].find((step) => step * column >= widest) ?? 50;
    data.colours.forEach((colour, j) => {
      const x = left + j * column, inside = every === 1;
      pen.cell(x, top - (inside ? 20 : 6), Math.max(column - 1, 1), inside ? 16 : 4, colour);
      if (inside || (j + 1) % every === 0) {
        const at = Math.min(x + column / 2 - 0.5, left + k * column - widest / 2);
        pen.text(at, top - (inside ? 11.5 : 13), String(j + 1), {
          size: 11, weight: 600, align: "center", fill: inside ? inkOn(colour) : theme.text,
        });
      }
    });
  },

  mark(pen, data, plan, theme, task, style) {
    const { left, top, row, k, column, place, lens, from, to } = plan, at = place[task];
    if (lens) markInLens(pen, plan, at, style);
    if (at < from || at >= to) return;
    const x = 1 + (lens?.room ?? 0), y = top + (at - from) * row;
    pen.rect(x, y - 1, left + k * column - x - 1, row + 1, { ...style, radius: 3 });
  },

  at(data, plan, x, y) {
    if (x < (plan.lens?.room ?? 0)) return null;
    const row = Math.floor((y - plan.top) / plan.row);
    const i = row >= 0 && row < plan.to - plan.from ? data.order[plan.from + row] : undefined;
    const cluster = Math.floor((x - plan.left) / plan.column);
    if (i === undefined || cluster >= plan.k) return null;
    if (cluster < 0) return { i, lines: [data.says[i]] };
    const share = data.values[i * plan.k + cluster];
    return { i, lines: [nameOf(data, i), `Cluster ${cluster + 1}: ${share.toFixed(3)}`] };
  },

  order: (data) => data.order,

  begin: (canvas) => beginLens(canvas),

  drawn: (canvas) => placeLens(canvas),

  reveal: ({ plan, look }, task) => lookAtRow(plan, look, plan.place[task]),
};
