// Memberships label by label: a small heatmap for each, its tasks by all clusters.

const PANEL = { head: 24, foot: 28, gap: 20, narrowest: 175, most: 5,
  rows: 40, high: 480 }; // rows that have names; more of them are as high together, without

const panels = {
  name: "panels",

  plan(data, width, theme) {
    const k = data.colours.length, few = data.panels.length < 3;
    const row = few ? 24 : 15, size = few ? 13 : 11;
    const fitting = Math.max(Math.floor((width + PANEL.gap) / (PANEL.narrowest + PANEL.gap)), 1);
    const columns = Math.min(fitting, PANEL.most, data.panels.length);
    const w = (width - PANEL.gap * (columns - 1)) / columns;
    const measure = (task) => textWidth(nameOf(data, task), size, 400, theme.family);
    const longest = Math.max(...data.panels.flatMap((panel) => panel.tasks).map(measure));
    const names = Math.min(Math.ceil(longest) + 8, w * 0.45, 150);
    const column = Math.min((w - names) / k, 48);
    const head = headOf(data.title, "Rows: tasks. Columns: clusters. Grey number: coherence, the"
      + " mean overlap of two rows, from 0 to 1", width, theme);
    const boxes = [], places = new Array(data.names.length);
    let y = 74 + head.more;
    for (let from = 0; from < data.panels.length; from += columns) {
      const line = data.panels.slice(from, from + columns);
      line.forEach((panel, i) => {
        const box = { panel, x: i * (w + PANEL.gap), y };
        boxes.push(box);
        box.row = panel.tasks.length > PANEL.rows ? PANEL.high / panel.tasks.length : row;
        box.h = panel.tasks.length * box.row;
        panel.tasks.forEach((task, j) => {
          places[task] = { x: box.x, y: y + PANEL.head + j * box.row, row: box.row };
        });
      });
      y += PANEL.head + Math.max(...boxes.slice(-line.length).map(({ h }) => h)) + PANEL.foot;
    }
    return { k, size, w, names, column, boxes, places, head, height: y };
  },

  draw(pen, data, plan, theme) {
    drawHead(pen, plan.head, theme);
    heatmap.legend(pen, theme, 0, 46 + plan.head.more);
    for (const box of plan.boxes) this.panel(pen, data, plan, box, theme);
  },

  panel(pen, data, { k, size, w, names, column, places }, { panel, x, y, row, h }, theme) {
    const text = { size: 11.5, weight: 600, fill: theme.text };
    const label = shortened(panel.label, w - 32, 11.5, 600, theme.family);
    pen.text(x, y + 10, label, text);
    const right = x + names + k * column;
    pen.text(right, y + 10, panel.coherence, { size: 12, fill: theme.faint, align: "right" });
    for (const task of panel.tasks) {
      const top = places[task].y, name = shortName(data, task, names - 8, size, theme.family);
      const beside = { size, align: "right", fill: theme.text };
      if (row >= size) pen.text(x + names - 6, top + row / 2, name, beside);
      for (let j = 0; j < k; j += 1) {
        const shade = Math.round(strength(data.values[task * k + j]) * (SHADES - 1));
        const from = x + names + j * column;
        pen.cell(from, top, column, row - (row >= size ? 1 : 0), theme.shades[shade]);
      }
    }
    if (row < size) {
      const told = { size, align: "right", fill: theme.faint };
      pen.text(x + names - 6, y + PANEL.head + 8, `${panel.tasks.length} tasks`, told);
    }
    const below = y + PANEL.head + h;
    this.feet(pen, data, panel, x + names, below, { column, theme });
  },

  /** Chips below the clusters to which tasks belong most, the commonest numbered first. */
  feet(pen, data, panel, x, y, { column, theme }) {
    const counts = new Map();
    for (const task of panel.tasks) {
      counts.set(data.labels[task], (counts.get(data.labels[task]) ?? 0) + 1);
    }
    const taken = [];
    for (const [cluster] of [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])) {
      const from = x + cluster * column, middle = from + column / 2, number = String(cluster + 1);
      pen.cell(from, y + 1, Math.max(column, 2), 4, data.colours[cluster]);
      const half = textWidth(number, 10, 400, theme.family) / 2 + 2;
      if (taken.some(([a, b]) => middle - half < b && a < middle + half)) continue;
      taken.push([middle - half, middle + half]);
      pen.text(middle, y + 13, number, { size: 10, align: "center", fill: theme.faint });
    }
  },

  mark(pen, data, plan, theme, task, style) {
    const place = plan.places[task];
    if (!place) return;
    const w = plan.names + plan.k * plan.column;
    pen.rect(place.x, place.y - 1, w + 1, place.row + 1, { ...style, radius: 3 });
  },

  at(data, plan, x, y) {
    const { k, w, names, column, boxes, places } = plan;
    const box = boxes.find((each) => x >= each.x && x < each.x + w &&
      y >= each.y + PANEL.head && y < each.y + PANEL.head + each.h);
    if (!box) return null;
    const i = box.panel.tasks[Math.floor((y - box.y - PANEL.head) / box.row)];
    const cluster = Math.floor((x - places[i].x - names) / column);
    if (cluster < 0 || cluster >= k) return { i, lines: [data.says[i]] };
    const share = data.values[i * k + cluster].toFixed(3);
    return { i, lines: [nameOf(data, i), `Cluster ${cluster + 1}: ${share}`] };
  },

  order: (data) => data.order,
};

/** Panels of what the sliders say; as Python told them, where the sliders are as it knows them. */
function panelled(told) {
  const data = grouped(told);
  if (data.values === told.values) return { ...data, says: told.says, order: told.order };
  const known = told.panels.map(({ label, tasks }) => {
    const value = coherence(tasks, data.values, data.k);
    return { label, tasks, value: value ?? -1, coherence: value === null ? "–" : value.toFixed(2) };
  });
  const sorted = known.sort((a, b) => b.value - a.value);
  const says = data.names.map((name, i) => {
    return `${name}: ${told.labelled[i]}, cluster ${data.labels[i] + 1}${whyUncertain(data, i)}`;
  });
  const each = sorted.map((panel) => `${panel.label} ${panel.coherence}`).join(", ");
  const alt = { panels: `${told.title}: small heatmaps. Coherence: ${each}.` };
  return { ...data, panels: sorted, order: sorted.flatMap(({ tasks }) => tasks), says, alt };
}

export default function ({ data, parentElement, setStateValue }) {
  const make = () => new View(parentElement, [panels], "tasks", panelled);
  const view = viewOf(parentElement, make);
  view.unheard ??= followSliders(view);
  view.show(data, setStateValue);
  return view.close;
}
