// Map of the tasks: near together where their data maps are alike. It can be looked at more nearly,
// see zoom.js; names and numbers come as there is room for them.

const NUMBERED = 6; // pixels of radius from which on a task has its cluster's number, and a name

const map = {
  name: "map",

  plan(data, width, theme, look = {}) {
    const n = data.names.length, top = 62, left = 18;
    const inner = { x: left, y: top, w: width - left - 1, h: Math.min(width - left, 470) };
    const size = n <= 40 ? 12 : 10.5, { zoom = 1, at: [x, y] = [0, 0] } = look;
    // wherever the sliders are, the tasks and their names stay where they are
    const of = [data.positions, width, theme, lettering, zoom, x, y];
    if (look.known?.of.every((one, i) => one === of[i])) return look.known.plan;
    const least = leastRadius(n, width, inner), most = Math.max(least, n <= 40 ? 11 : 9);
    const radius = Math.min(least * Math.sqrt(zoom), most);
    const whole = this.spots(data.positions, inner, least + 8);
    const spots = nearer(whole, inner, zoom, [x, y]);
    const notes = data.notes.flatMap((note) => wrapped(note, inner.w, NOTE, theme));
    const seen = spots.map(([a, b]) => within([a, b, a, b], inner));
    const plan = { inner, radius, whole, spots, seen, size, notes, zoom,
      height: top + inner.h + 26 + 16 * notes.length,
      labels: radius < NUMBERED ? [] : this.labels(data, spots, seen, inner, radius, size, theme) };
    look.known = { of, plan };
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

  /** Where names can stand without covering a task or each other; the others wait for a pointer, or
   *  until the map is nearer. */
  labels(data, spots, seen, inner, radius, size, theme) {
    const taken = new Boxes();
    spots.forEach(([x, y], task) => {
      if (seen[task]) taken.add([x - radius, y - radius, x + radius, y + radius]);
    });
    return spots.map(([x, y], task) => {
      if (!seen[task]) return undefined;
      const w = textWidth(nameOf(data, task), size, 400, theme.family), h = size;
      const beside = radius + 3;
      const boxes = [
        [x + beside, y - h / 2, x + beside + w, y + h / 2],
        [x - beside - w, y - h / 2, x - beside, y + h / 2],
        [x - w / 2, y - beside - h, x + w / 2, y - beside],
        [x - w / 2, y + beside, x + w / 2, y + beside + h],
      ];
      const box = boxes.find((each) => within(each, inner) && taken.leaves(each));
      if (box) taken.add(box);
      return box && [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    });
  },

  draw(pen, data, plan, theme) {
    const { inner, radius, spots, seen, size, labels, notes } = plan;
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
    spots.forEach(([x, y], i) => {
      if (seen[i]) this.spot(pen, data, theme, i, x, y, radius);
    });
    if (radius < NUMBERED) this.numbers(pen, data, plan, theme);
  },

  /** The number of each cluster amid its tasks, where they are too small to have it themselves. */
  numbers(pen, data, { inner, spots, seen }, theme) {
    const taken = new Boxes();
    for (const { cluster, at: [x, y] } of middles(data, spots, seen)) {
      const number = String(cluster + 1), w = textWidth(number, 11, 700, theme.family) + 8;
      const box = [x - w / 2, y - 8, x + w / 2, y + 8];
      if (!within(box, inner) || !taken.leaves(box)) continue;
      taken.add(box);
      const colour = data.colours[cluster];
      pen.rect(x - w / 2, y - 8, w, 16, { fill: colour, stroke: theme.background, width: 2, radius: 4 });
      pen.text(x, y + 0.5, number, { size: 11, weight: 700, align: "center", fill: inkOn(colour) });
    }
  },

  spot(pen, data, theme, task, x, y, radius) {
    const k = data.colours.length, cluster = data.labels[task], colour = data.colours[cluster];
    const opacity = strength(data.values[task * k + cluster]);
    pen.circle(x, y, radius, { fill: theme.background });
    pen.circle(x, y, radius, { fill: colour, opacity, stroke: colour, width: 1.5 });
    if (radius < NUMBERED) return;
    pen.text(x, y + 0.5, String(cluster + 1), {
      fill: inkOnChannels(mixedChannels(theme.background, colour, opacity)), align: "center",
      size: Math.round(radius * 1.15), weight: 600,
    });
  },

  mark(pen, data, plan, theme, task, style) {
    if (!plan.seen[task]) return;
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
    const away = ([a, b], i) => (plan.seen[i] ? Math.hypot(a - x, b - y) : Infinity);
    const distances = plan.spots.map(away);
    const i = distances.indexOf(Math.min(...distances));
    return distances[i] > plan.radius + 4 ? null : { i, lines: [data.says[i]] };
  },

  order: (data) => data.order,

  where: (data, plan, task) => plan.spots[task],

  begin: (canvas) => beginZoom(canvas),

  drawn: (canvas) => showZoom(canvas),

  press: (canvas, key) => pressZoom(canvas, key),

  reveal: (canvas, task, closely) => zoomTo(canvas, task, closely),

  keys: "Plus and minus show it nearer or further, 0 shows all of it.",
};

function leastRadius(n, width, inner) {
  if (n <= 40) return 11;
  const roomy = Math.min(Math.max(width / 50, 6.5), 9);
  return n <= 150 ? roomy : Math.min(0.28 * Math.sqrt((inner.w * inner.h) / n), roomy);
}

const within = ([a, b, c, d], { x, y, w, h }) => a >= x && c <= x + w && b >= y && d <= y + h;

/** Of each cluster the place of the task that is nearest to the middle of those that are seen; the
 *  largest cluster first. */
function middles(data, spots, seen) {
  const found = data.colours.map((_, cluster) => ({ cluster, tasks: [] }));
  data.labels.forEach((label, task) => {
    if (seen[task]) found[label].tasks.push(task);
  });
  return found.filter(({ tasks }) => tasks.length)
    .sort((a, b) => b.tasks.length - a.tasks.length || a.cluster - b.cluster)
    .map(({ cluster, tasks }) => {
      const mean = (axis) => tasks.reduce((sum, i) => sum + spots[i][axis], 0) / tasks.length;
      const [x, y] = [mean(0), mean(1)];
      const away = tasks.map((i) => Math.hypot(spots[i][0] - x, spots[i][1] - y));
      return { cluster, at: spots[tasks[away.indexOf(Math.min(...away))]] };
    });
}

/** Boxes [left, top, right, bottom], and whether another one meets none of them. */
class Boxes {
  constructor() {
    this.drawers = new Map();
  }

  /** The boxes of each square of the plane that a box reaches into. */
  * reached([a, b, c, d]) {
    const side = 32, upTo = (value) => Math.floor(value / side);
    for (let i = upTo(a); i <= upTo(c); i += 1) {
      for (let j = upTo(b); j <= upTo(d); j += 1) {
        const place = i * 4096 + j;
        if (!this.drawers.has(place)) this.drawers.set(place, []);
        yield this.drawers.get(place);
      }
    }
  }

  add(box) {
    for (const boxes of this.reached(box)) boxes.push(box);
  }

  leaves([a, b, c, d]) {
    for (const boxes of this.reached([a, b, c, d])) {
      if (boxes.some(([e, f, g, h]) => a < g && e < c && b < h && f < d)) return false;
    }
    return true;
  }
}
