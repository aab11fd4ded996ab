// Distances between many tasks: a block for each two clusters, which unfolds into those of its tasks.

const BLOCK = { most: 46, heads: 20, named: 30 };
const TASKS = { size: 11, named: 10, upright: 12, most: 26, longest: 130 };
const MOVES = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };

const blocks = {
  name: "blocks",

  plan(data, width, theme, { cell: walked } = {}) {
    const { k } = data, note = "Mean over the tasks of two clusters, in the order of the tree: near"
      + " leaves are alike. Click a block to see its tasks";
    const head = headOf("Distances between the clusters", note, width, theme);
    const left = Math.ceil(textWidth(String(k), 11, 600, theme.family)) + 14;
    const top = 82 + TREE + BLOCK.heads + head.more, cell = Math.min((width - left - 2) / k, BLOCK.most);
    const place = new Array(k);
    data.leaves.forEach((cluster, i) => (place[cluster] = i));
    return { k, head, left, top, cell, place, walked, above: BLOCK.heads,
      height: top + k * cell + 4 };
  },

  draw(pen, data, plan, theme) {
    const { k, left, top, cell, head } = plan;
    drawHead(pen, head, theme);
    drawRange(pen, data.range, theme, 0, 48 + head.more, "Mean distance between task vectors");
    drawTree(pen, data.tree, plan, theme);
    this.heads(pen, data, plan, theme);
    data.leaves.forEach((a, row) => data.leaves.forEach((b, column) => {
      const mean = data.means[a * k + b], x = left + column * cell, y = top + row * cell;
      const shade = Number.isNaN(mean) ? null : shadeOf(mean, data.range), gap = cell >= 8 ? 1 : 0;
      pen.cell(x, y, cell - gap, cell - gap, shade === null ? theme.line : theme.shades[shade]);
      if (shade === null || cell < BLOCK.named) return;
      pen.text(x + cell / 2, y + cell / 2, mean.toFixed(1), {
        fill: theme.inks[shade], size: 10.5, align: "center",
      });
    }));
    const frame = { stroke: theme.text, width: 2.5 };
    if (data.unfolded) this.frame(pen, plan, data.unfolded.clusters, frame);
    const walked = plan.walked?.map((at) => data.leaves[at % k]);
    if (walked) this.frame(pen, plan, walked, { stroke: theme.accent, width: 2 });
  },

  heads(pen, data, { k, left, top, cell }, theme) {
    const widest = textWidth(String(k), 11, 600, theme.family) + 4;
    const every = [1, 2, 5, 10, 20].find((step) => step * cell >= Math.max(widest, 12)) ?? 50;
    data.leaves.forEach((cluster, i) => {
      const at = i * cell, fill = data.colours[cluster], number = String(cluster + 1);
      pen.cell(left - 6, top + at, 4, Math.max(cell - 1, 1), fill);
      pen.cell(left + at, top - 6, Math.max(cell - 1, 1), 4, fill);
      if (i % every) return;
      const text = { size: 11, weight: 600, fill: theme.text };
      pen.text(left - 9, top + at + cell / 2, number, { ...text, align: "right" });
      pen.text(left + at + cell / 2, top - 13, number, { ...text, align: "center" });
    });
  },

  frame(pen, { left, top, cell, place }, [a, b], style) {
    pen.rect(left + place[b] * cell - 1, top + place[a] * cell - 1, cell + 1, cell + 1, style);
  },

  mark(pen, data, plan, theme, task, style) {
    const { left, top, cell, k, place } = plan, at = place[data.labels[task]] * cell, side = k * cell;
    pen.rect(left, top + at, side, cell, style);
    pen.rect(left + at, top, cell, side, style);
    const name = nameOf(data, task), w = textWidth(name, 11, 600, theme.family) + 10;
    const x = Math.max(Math.min(left + at - w / 2, left + side - w), 0);
    pen.rect(x, top - 44, w, 19, { fill: theme.background, ...style, width: 1, radius: 4 });
    pen.text(x + w / 2, top - 34.5, name, { fill: theme.text, size: 11, weight: 600, align: "center" });
  },

  /** The clusters of the block under the pointer. */
  block({ leaves }, { left, top, cell }, x, y) {
    const [a, b] = [(y - top) / cell, (x - left) / cell].map((at) => leaves[Math.floor(at)]);
    return a === undefined || b === undefined ? null : [a, b];
  },

  at(data, plan, x, y) {
    const found = this.block(data, plan, x, y);
    return found && { i: -1, lines: [...aboutBlock(data, found), "Click to see its tasks"] };
  },

  order: () => [],

  click(canvas, x, y) {
    const found = this.block(canvas.data, canvas.plan, x, y);
    if (found) unfold(canvas.view, found);
    return true;
  },

  keys: "Arrow keys walk through the blocks, Enter shows the tasks of one, Escape folds it.",

  press(canvas, key) {
    const { data, look, view } = canvas, { leaves, k } = data;
    const [row, column] = look.cell ?? [-1, 0];
    if (key in MOVES) {
      const move = row < 0 ? [1, 0] : MOVES[key];
      look.cell = [(row + move[0] + k) % k, (column + move[1] + k) % k];
      view.say(aboutBlock(data, look.cell.map((at) => leaves[at])).join(", "));
      canvas.lookAnew();
    } else if ((key === "Enter" || key === " ") && row >= 0) unfold(view, [leaves[row], leaves[column]]);
    else if (key === "Escape" && data.unfolded) unfold(view, null);
    else return false;
    return true;
  },
};

const unfold = (view, found) =>
  view.send("block", [found && found.map((cluster) => cluster + 1).join("-"), Date.now()]);

function aboutBlock({ k, means, sizes }, [a, b]) {
  const tasks = (cluster) => `${sizes[cluster]} ${sizes[cluster] === 1 ? "task" : "tasks"}`;
  const mean = means[a * k + b], told = Number.isNaN(mean) ? "–" : mean.toFixed(1);
  const which = a === b ? `Cluster ${a + 1}, ${tasks(a)}`
    : `Clusters ${a + 1} and ${b + 1}, ${tasks(a)} and ${tasks(b)}`;
  return [which, `Mean distance: ${told}`];
}

/** The tasks of one block, the surest first. */
const block = {
  name: "block",

  plan(data, width, theme) {
    const { clusters: [a, b], rows, columns, of } = data.unfolded, { size } = TASKS;
    const longest = (tasks) => Math.min(TASKS.longest, Math.ceil(
      Math.max(...tasks.map((task) => textWidth(nameOf(data, task), size, 400, theme.family))),
    ));
    const names = Math.min(longest(rows), width * 0.3);
    const cell = Math.min((width - names - 16) / columns.length, TASKS.most);
    const named = cell >= TASKS.named, upright = cell >= TASKS.upright;
    const title = a === b ? `Distances among the tasks of cluster ${a + 1}`
      : `Distances of the tasks of cluster ${a + 1} to those of cluster ${b + 1}`;
    const fewer = rows.length < of[0] || columns.length < of[1];
    const note = `The surest first${fewer ? `; of so many the ${data.unfolded.most} surest` : ""}`
      + (named ? "" : "; point at a cell for its tasks");
    const head = headOf(title, note, width, theme), left = named ? names + 16 : 2;
    const top = 84 + head.more + (upright ? longest(columns) + 8 : 0);
    return { head, left, top, cell: named ? cell : (width - left - 2) / columns.length, named, upright,
      names, place: [rows, columns].map((tasks) => new Map(tasks.map((task, i) => [task, i]))),
      height: top + rows.length * (named ? cell : (width - left - 2) / columns.length) + 28 };
  },

  draw(pen, data, { head, left, top, cell, named, upright, names }, theme) {
    const { rows, columns, range } = data.unfolded, { inside } = data, { size } = TASKS;
    drawHead(pen, head, theme);
    drawRange(pen, range, theme, 0, 48 + head.more, "Distance between task vectors");
    const shadeAt = (i) => shadeOf(inside[i], range), count = [columns.length, rows.length];
    pen.cells(left, top, [cell, cell], count, cell >= 14 ? 1 : 0, shadeAt, theme);
    rows.forEach((task, i) => {
      const y = top + i * cell, itself = columns.indexOf(task);
      if (itself >= 0) pen.cell(left + itself * cell, y, cell, cell, theme.line);
      if (!named) return;
      const name = shortName(data, task, names, size, theme.family);
      pen.text(left - 8, y + cell / 2, name, { fill: theme.text, size, align: "right" });
    });
    if (!upright) return;
    columns.forEach((task, i) => {
      const name = shortName(data, task, TASKS.longest, size, theme.family);
      pen.text(left + (i + 0.5) * cell, top - 6, name, { fill: theme.text, size, turn: -90 });
    });
  },

  mark(pen, data, { left, top, cell, named, place: [rows, columns] }, theme, task, style) {
    const [row, column] = [rows.get(task), columns.get(task)];
    if (row !== undefined) pen.rect(left, top + row * cell, columns.size * cell, cell, style);
    if (column !== undefined) pen.rect(left + column * cell, top, cell, rows.size * cell, style);
    if (named || (row === undefined && column === undefined)) return;
    const name = nameOf(data, task), w = textWidth(name, 11, 600, theme.family) + 10;
    const x = Math.min(left + (column ?? 0) * cell, Math.max(left + columns.size * cell - w, 0));
    pen.rect(x, top - 22, w, 19, { fill: theme.background, ...style, width: 1, radius: 4 });
    pen.text(x + w / 2, top - 12.5, name, { fill: theme.text, size: 11, weight: 600, align: "center" });
  },

  at(data, { left, top, cell }, x, y) {
    const { rows, columns } = data.unfolded, row = Math.floor((y - top) / cell);
    const i = rows[row], column = Math.floor((x - left) / cell), other = columns[column];
    if (i === undefined) return null;
    if (other === undefined) return x < left ? { i, lines: [data.says[i]] } : null;
    const told = i === other ? "The same task"
      : `Distance: ${data.inside[row * columns.length + column].toFixed(1)}`;
    return { i, lines: [`${nameOf(data, i)} – ${nameOf(data, other)}`, told] };
  },

  order: ({ unfolded: { rows, columns } }) => [...new Set([...rows, ...columns])],
};

/** The values are memberships, mean distances of clusters, and distances of the unfolded block. */
function apart(told) {
  const { k, values, alt } = told, memberships = told.names.length * k, means = memberships + k * k;
  const data = grouped({ ...told, values: values.subarray(0, memberships) }, null);
  return { ...data, alt, means: values.subarray(memberships, means), inside: values.subarray(means) };
}

class BlocksView extends View {
  constructor(root) {
    super(root, [blocks, block], "tasks", apart);
  }

  draw() {
    if (!this.data) return;
    this.root.querySelector("figure.block").hidden = !this.data.unfolded;
    super.draw();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new BlocksView(parentElement));
  view.show(data, setStateValue);
  return view.close;
}
