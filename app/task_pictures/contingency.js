// Tasks by label and cluster: rows and columns in the order of the best assignment, framed.

const HEAD = { height: 18, narrow: 26 };
const TIP = { line: 5, tasks: 30 };

const contingency = {
  name: "contingency",

  plan(data, width, theme) {
    const n = data.rows.length, k = data.columns.length;
    const row = n <= 30 ? 24 : 15, size = n <= 30 ? 12.5 : 10.5;
    const measure = (name) => textWidth(name, size, 400, theme.family);
    const labels = Math.min(Math.max(...data.rows.map(measure)), width * 0.3, 230);
    const left = Math.ceil(labels) + 14;
    const column = Math.min((width - left - 2) / k, 96);
    const head = headOf(data.title, "Number of tasks. Colour: share of the row. Framed: the best"
      + " assignment of one cluster to each row", width, theme);
    const upright = column >= textWidth(String(k), 11, 600, theme.family) + 3;
    const heads = upright ? HEAD.height : HEAD.narrow, top = 52 + heads + head.more;
    const cells = data.rows.map(() => data.columns.map(() => []));
    data.rowOf.forEach((i, task) => {
      if (i >= 0) cells[i][data.columns.indexOf(data.labels[task])].push(task);
    });
    return { n, k, row, size, labels, left, column, upright, heads, head, top, cells,
      height: top + n * row + 4 };
  },

  draw(pen, data, plan, theme) {
    const { row, size, labels, left, column, top, cells } = plan;
    drawHead(pen, plan.head, theme);
    this.heads(pen, data, plan);
    cells.forEach((parts, i) => {
      const y = top + i * row, all = parts.reduce((sum, part) => sum + part.length, 0);
      const name = shortened(data.rows[i], labels, size, 400, theme.family);
      pen.text(left - 10, y + row / 2, name, { fill: theme.text, size, align: "right" });
      parts.forEach((part, j) => {
        const shade = Math.round((part.length / all) * (SHADES - 1)), x = left + j * column;
        pen.cell(x, y, column, row, theme.line);
        pen.cell(x, y, column - 1, row - 1, theme.shades[shade]);
        if (part.length) {
          pen.text(x + column / 2, y + row / 2, String(part.length), {
            fill: theme.inks[shade], size: Math.min(size, column), align: "center",
          });
        }
      });
    });
    data.assigned.forEach((j, i) => {
      if (j >= 0) this.frame(pen, plan, i, j, { stroke: theme.text, width: 1.5 });
    });
  },

  heads(pen, data, { left, column, upright, heads, top }) {
    data.columns.forEach((cluster, j) => {
      const x = left + j * column, colour = data.colours[cluster];
      pen.cell(x, top - heads - 2, column - 1, heads, colour);
      if (column < 10) return;
      pen.text(x + column / 2 - 0.5, top - 2 - heads / 2, String(cluster + 1), {
        size: 11, weight: 600, align: "center", fill: inkOn(colour), turn: upright ? 0 : -90,
      });
    });
  },

  frame(pen, { left, top, column, row }, i, j, style) {
    pen.rect(left + j * column - 0.5, top + i * row - 0.5, column, row, style);
  },

  mark(pen, data, plan, theme, task, style) {
    const i = data.rowOf[task], j = data.columns.indexOf(data.labels[task]);
    if (i < 0) return;
    const { left, top, column, row, k } = plan;
    this.frame(pen, plan, i, j, { ...style, width: style.width + 1.5 });
    const name = nameOf(data, task), w = textWidth(name, 11, 600, theme.family) + 10;
    const x = Math.min(left + (j + 1) * column + 4, Math.max(left + k * column - w, left));
    const y = top + i * row + row / 2;
    pen.rect(x, y - 10, w, 20, { fill: theme.background, ...style, width: 1, radius: 4 });
    pen.text(x + w / 2, y, name, { fill: theme.text, size: 11, weight: 600, align: "center" });
  },

  at(data, plan, x, y) {
    const i = Math.floor((y - plan.top) / plan.row), j = Math.floor((x - plan.left) / plan.column);
    const part = plan.cells[i]?.[j];
    if (!part?.length) return null;
    const lines = [`${data.rows[i]}, cluster ${data.columns[j] + 1}`];
    for (let from = 0; from < Math.min(part.length, TIP.tasks); from += TIP.line) {
      lines.push(part.slice(from, from + TIP.line).map((task) => nameOf(data, task)).join(", "));
    }
    if (part.length > TIP.tasks) lines.push(`and ${part.length - TIP.tasks} more`);
    return { i: part[0], lines };
  },

  order: (data) => data.order,
};

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new View(parentElement, [contingency], "tasks"));
  view.show(data, setStateValue);
  return view.close;
}
