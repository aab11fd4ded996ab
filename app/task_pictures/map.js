// Map of the tasks: near together where their data maps are alike.

const map = {
  name: "map",

  plan(data, width, theme) {
    const n = data.names.length, top = 62, left = 18;
    const inner = { x: left, y: top, w: width - left - 1, h: Math.min(width - left, 470) };
    const radius = n <= 40 ? 11 : Math.min(Math.max(width / 50, 6.5), 9), size = n <= 40 ? 12 : 10.5;
    // wherever the sliders are, the tasks and their names stay where they are
    const of = [data.positions, width, theme, lettering];
    if (this.known?.of.every((one, i) => one === of[i])) return this.known.plan;
    const spots = this.spots(data.positions, inner, radius + 8);
    const notes = data.notes.flatMap((note) => wrapped(note, inner.w, NOTE, theme));
    const plan = { inner, radius, spots, size, notes, height: top + inner.h + 26 + 16 * notes.length,
      labels: this.labels(data, spots, inner, radius, size, theme) };
    this.known = { of, plan };
    return plan;
  },

  /** The same scale along both axes, since what counts is distance. */
  spots(positions, { x, y, w, h }, margin) {
    const range = (axis) => {
      const values = positions.map((position) => position[axis]);
      return [Math.min(...values), Math.max(...values)];
    };
    const [[left, right], [low, high]] = [range(0), range(1)];
    const scale = Math.min(
      (w - 2 * margin) / (right - left || 1), (h - 2 * margin) / (high - low || 1),
    );
    return positions.map(([a, b]) => [
      x + w / 2 + (a - (left + right) / 2) * scale, y + h / 2 - (b - (low + high) / 2) * scale,
    ]);
  },

  /** Where names can stand without covering a task or each other; the others wait for a pointer. */
  labels(data, spots, inner, radius, size, theme) {
    const taken = spots.map(([x, y]) => [x - radius, y - radius, x + radius, y + radius]);
    const free = ([a, b, c, d]) =>
      a >= inner.x && c <= inner.x + inner.w && b >= inner.y && d <= inner.y + inner.h &&
      !taken.some(([e, f, g, h]) => a < g && e < c && b < h && f < d);
    return spots.map(([x, y], task) => {
      const w = textWidth(nameOf(data, task), size, 400, theme.family), h = size;
      const beside = radius + 3;
      const boxes = [
        [x + beside, y - h / 2, x + beside + w, y + h / 2],
        [x - beside - w, y - h / 2, x - beside, y + h / 2],
        [x - w / 2, y - beside - h, x + w / 2, y - beside],
        [x - w / 2, y + beside, x + w / 2, y + beside + h],
      ];
      const box = boxes.find(free);
      if (box) taken.push(box);
      return box && [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    });
  },

  draw(pen, data, plan, theme) {
    const { inner, radius, spots, size, labels, notes } = plan;
    pen.text(0, 10, "Map of the tasks", { ...TITLE, fill: theme.text });
    pen.rect(inner.x, inner.y, inner.w, inner.h, { stroke: theme.line, radius: 6 });
    const [across, up] = data.axes, axis = { size: 11, fill: theme.faint, align: "center" };
    const below = inner.y + inner.h;
    pen.text(inner.x + inner.w / 2, below + 12, across, axis);
    pen.text(8, inner.y + inner.h / 2, up, { ...axis, turn: -90 });
    notes.forEach((note, i) => {
      pen.text(inner.x, below + 32 + 16 * i, note, { ...NOTE, fill: theme.faint });
    });
    labels.forEach((at, i) => {
      if (at) pen.text(...at, nameOf(data, i), { fill: theme.faint, size, align: "center" });
    });
    spots.forEach(([x, y], i) => this.spot(pen, data, theme, i, x, y, radius));
  },

  spot(pen, data, theme, task, x, y, radius) {
    const k = data.colours.length, cluster = data.labels[task], colour = data.colours[cluster];
    const opacity = strength(data.values[task * k + cluster]);
    pen.circle(x, y, radius, { fill: theme.background });
    pen.circle(x, y, radius, { fill: colour, opacity, stroke: colour, width: 1.5 });
    pen.text(x, y + 0.5, String(cluster + 1), {
      fill: inkOnChannels(mixedChannels(theme.background, colour, opacity)), align: "center",
      size: Math.round(radius * 1.15), weight: 600,
    });
  },

  mark(pen, data, plan, theme, task, style) {
    const [x, y] = plan.spots[task], { inner, radius, size } = plan;
    const name = nameOf(data, task), w = textWidth(name, size, 600, theme.family) + 10;
    const from = Math.min(Math.max(x - w / 2, inner.x + 2), inner.x + inner.w - w - 2);
    const above = y - radius - size - 14 > inner.y;
    const at = above ? y - radius - size - 13 : y + radius + 6;
    pen.rect(from, at, w, size + 8, { fill: theme.background, ...style, width: 1, radius: 4 });
    pen.text(from + w / 2, at + size / 2 + 4, name, {
      fill: theme.text, size, weight: 600, align: "center",
    });
    this.spot(pen, data, theme, task, x, y, radius + 2);
    pen.circle(x, y, radius + 3, style);
  },

  at(data, plan, x, y) {
    const distances = plan.spots.map(([a, b]) => Math.hypot(a - x, b - y));
    const i = distances.indexOf(Math.min(...distances));
    return distances[i] > plan.radius + 4 ? null : { i, lines: [data.says[i]] };
  },

  order: (data) => data.order,

  where: (data, plan, task) => plan.spots[task],
};
