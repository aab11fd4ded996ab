// Memberships: a row per task, ordered by cluster; a column per cluster, headed by its number.

const RAMP = { width: 132, height: 10 };

/** Eyes tell small shares apart when strength follows the square root; the legend says so. */
const strength = (share) => Math.sqrt(Math.min(Math.max(share, 0), 1));

const heatmap = {
  name: "memberships",

  plan(data, width, theme) {
    const n = data.names.length, k = data.colours.length;
    const row = n <= 20 ? 26 : n <= 45 ? 18 : 14;
    const size = row > 20 ? 13 : row > 15 ? 12 : 10.5;
    const measure = (name) => textWidth(name, size, 400, theme.family);
    const labels = Math.min(Math.max(...namesOf(data).map(measure)), width * 0.34, 190);
    const note = `Share of each of ${n} tasks in each of ${k} clusters; a row sums to 1`;
    const head = headOf("Memberships", note, width, theme);
    const left = Math.ceil(labels) + 16, top = 96 + head.more;
    const column = Math.min((width - left - 1) / k, 96);
    const place = new Array(n);
    data.order.forEach((task, i) => (place[task] = i));
    const numbers = column >= 30 && row >= 14;
    return { n, k, row, size, labels, left, top, column, place, numbers, head,
      height: top + n * row + 6 };
  },

  draw(pen, data, plan, theme) {
    const { n, k, row, size, labels, left, top, column } = plan;
    drawHead(pen, plan.head, theme);
    this.legend(pen, theme, 0, top - 48);
    this.heads(pen, data, plan, theme);
    const shareAt = (i) => data.values[data.order[Math.floor(i / k)] * k + (i % k)];
    const shadeAt = (i) => Math.round(strength(shareAt(i)) * (SHADES - 1));
    pen.cells(left, top, [column, row], [k, n], column >= 10 ? 1 : 0, shadeAt, theme);
    data.order.forEach((task, i) => {
      const y = top + i * row, name = shortName(data, task, labels, size, theme.family);
      pen.text(left - 12, y + row / 2, name, { fill: theme.text, size, align: "right" });
      pen.cell(left - 8, y, 4, row, data.colours[data.labels[task]]);
    });
    if (!plan.numbers) return;
    for (let i = 0; i < n * k; i += 1) {
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
    const y = plan.top + plan.place[task] * plan.row;
    pen.rect(1, y - 1, plan.left + plan.k * plan.column - 2, plan.row + 1, { ...style, radius: 3 });
  },

  at(data, plan, x, y) {
    const i = data.order[Math.floor((y - plan.top) / plan.row)];
    const cluster = Math.floor((x - plan.left) / plan.column);
    if (i === undefined || cluster >= plan.k) return null;
    if (cluster < 0) return { i, lines: [data.says[i]] };
    const share = data.values[i * plan.k + cluster];
    return { i, lines: [nameOf(data, i), `Cluster ${cluster + 1}: ${share.toFixed(3)}`] };
  },

  order: (data) => data.order,
};
