// Distances between the tasks, ordered by their dendrogram, which stands above them.

const distances = {
  name: "distances",

  plan(data, width, theme) {
    const n = data.names.length, size = 11;
    const measure = (name) => textWidth(name, size, 400, theme.family);
    const longest = Math.min(Math.max(...namesOf(data).map(measure)), 150, width * 0.25);
    const named = (width - longest - 14) / n >= 10;
    const note = named ? "" : "; point at a cell for its tasks";
    const head = headOf("Distances between the tasks",
      `Tasks in the order of the tree: near leaves are alike${note}`, width, theme);
    const left = named ? Math.ceil(longest) + 16 : 8, top = 82 + TREE + head.more;
    const cell = Math.min((width - left - 2) / n, 40, Math.max(900 / n, 13));
    const place = new Array(n);
    data.order.forEach((task, i) => (place[task] = i));
    return { n, size, longest, cell, named, left, top, place, head, height: top + n * cell + 4 };
  },

  draw(pen, data, plan, theme) {
    const { n, size, longest, cell, named, left, top } = plan;
    drawHead(pen, plan.head, theme);
    drawRange(pen, data.range, theme, 0, 48 + plan.head.more, "Distance between task vectors");
    drawTree(pen, data.tree, plan, theme);
    const gap = cell >= 14 ? 1 : 0;
    data.order.forEach((task, row) => {
      const y = top + row * cell;
      if (named) {
        const name = shortName(data, task, longest, size, theme.family);
        pen.text(left - 10, y + cell / 2, name, { fill: theme.text, size, align: "right" });
      }
      pen.cell(left - 6, y, 4, cell, data.colours[data.labels[task]]);
      data.order.forEach((other, column) => {
        const shade = shadeOf(data.values[task * n + other], data.range);
        const fill = row === column ? theme.line : theme.shades[shade];
        pen.cell(left + column * cell, y, cell - gap, cell - gap, fill);
      });
    });
  },

  mark(pen, data, plan, theme, task, style) {
    const at = plan.place[task] * plan.cell, side = plan.n * plan.cell;
    const { left, top, cell, size } = plan;
    pen.rect(left, top + at, side, cell, style);
    pen.rect(left + at, top, cell, side, style);
    if (plan.named) return;
    const name = nameOf(data, task), w = textWidth(name, size, 600, theme.family) + 10;
    const x = Math.min(Math.max(left + at - w / 2, left), left + side - w);
    pen.rect(x, top - 22, w, 19, { fill: theme.background, ...style, width: 1, radius: 4 });
    pen.text(x + w / 2, top - 12.5, name, { fill: theme.text, size, weight: 600, align: "center" });
  },

  at(data, plan, x, y) {
    const i = data.order[Math.floor((y - plan.top) / plan.cell)];
    const other = data.order[Math.floor((x - plan.left) / plan.cell)];
    if (i === undefined) return null;
    if (other === undefined) return x < plan.left ? { i, lines: [data.says[i]] } : null;
    const distance = data.values[i * plan.n + other].toFixed(1);
    return { i, lines: [`${nameOf(data, i)} – ${nameOf(data, other)}`, `Distance: ${distance}`] };
  },

  order: (data) => data.order,
};

/** The values are memberships, and behind them the distances. */
function apart(told) {
  const split = told.names.length * told.k;
  const memberships = { ...told, values: told.values.subarray(0, split) };
  const { order, alt } = told, values = told.values.subarray(split);
  return { ...grouped(memberships), values, order, alt };
}

export default function ({ data, parentElement, setStateValue }) {
  const make = () => new View(parentElement, [distances], "tasks", apart);
  const view = viewOf(parentElement, make);
  view.unheard ??= followSliders(view);
  view.show(data, setStateValue);
  return view.close;
}
