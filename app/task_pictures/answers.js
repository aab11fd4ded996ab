// What each model says of one point: a row per task, a column per model. A cell has the shade of a
// probability and the answer; below those of specialists a bar as long as the weight; a frame where
// one is decisive, a corner where an answer is wrong. `data.values` holds the shades, row after row.

const SPACE = 10, STRIP = 4, CORNER = 7, ABOVE = 36; // pixels; above the cells, for titles
const TITLES = { size: 11, weight: 600 };

const answers = {
  name: "answers",

  plan(data, width, theme) {
    const n = data.names.length, columns = data.columns.length;
    const row = n <= 20 ? 27 : 22, size = n <= 20 ? 13 : 11.5;
    const measure = (name) => textWidth(name, size, 400, theme.family);
    const labels = Math.min(Math.max(...data.names.map(measure)), width * 0.26, 190);
    const head = headOf(data.title, data.note, width, theme);
    const left = Math.ceil(labels) + 12;
    const apart = data.columns.filter((one) => one.apart).length * SPACE;
    const column = Math.min((width - left - apart - 2) / columns, 72);
    // on a narrow screen titles stand upright, but for the numbers of models
    const titles = data.columns.filter(({ colour }) => !colour)
      .map(({ title }) => textWidth(title, TITLES.size, TITLES.weight, theme.family));
    const longest = Math.max(...titles), upright = longest > column - 1;
    const top = 90 + head.more + (upright ? Math.max(longest - ABOVE, 0) : 0);
    let x = left;
    const places = data.columns.map((one) => {
      x += one.apart ? SPACE : 0;
      return (x += column) - column;
    });
    return { n, row, size, labels, head, left, top, column, places, upright, right: x,
      height: top + n * row + 6 };
  },

  draw(pen, data, plan, theme) {
    const { row, size, labels, left, top } = plan;
    drawHead(pen, plan.head, theme);
    this.heads(pen, data, plan, theme);
    data.names.forEach((name, i) => {
      const y = top + i * row, short = shortened(name, labels, size, 400, theme.family);
      pen.text(left - 10, y + (row - STRIP) / 2, short, { fill: theme.text, size, align: "right" });
      data.columns.forEach((_, j) => this.cell(pen, data, plan, theme, i, j));
    });
  },

  heads(pen, data, { top, column, places, upright }, theme) {
    const ofModels = data.columns.flatMap(({ colour }, j) => (colour ? [j] : []));
    if (ofModels.length) {
      const from = places[ofModels[0]], to = places[ofModels.at(-1)] + column - 1;
      pen.text((from + to) / 2, top - 38, data.group, {
        size: 11, fill: theme.faint, align: "center",
      });
      pen.line([[from, top - 29], [to, top - 29]], { stroke: theme.line });
    }
    data.columns.forEach(({ title, colour }, j) => {
      const x = places[j];
      if (colour) pen.cell(x, top - 24, column - 1, 18, colour);
      const middle = x + (column - 1) / 2, fill = colour ? inkOn(colour) : theme.text;
      if (colour || !upright) {
        pen.text(middle, top - 14.5, title, { ...TITLES, align: "center", fill });
      } else pen.text(middle, top - 8, title, { ...TITLES, turn: -90, align: "left", fill });
    });
  },

  cell(pen, data, plan, theme, i, j) {
    const { top, row, column, places } = plan, x = places[j], y = top + i * row;
    const h = row - STRIP - 3, w = column - 1, value = data.values[i * data.columns.length + j];
    const shade = Number.isNaN(value) ? -1 : Math.round(value * (SHADES - 1));
    pen.cell(x, y, w, h, shade < 0 ? theme.line : theme.shades[shade]);
    const text = data.texts[i][j], size = column >= 34 ? 12 : 10.5;
    const short = column >= 34 ? text : text.replace(/^0\./, ".");
    pen.text(x + w / 2, y + h / 2 + 0.5, shortened(short, w - 2, size, 400, theme.family), {
      size, align: "center", fill: shade < 0 ? theme.text : theme.inks[shade],
    });
    if (data.wrong[i][j]) {
      pen.line([[x + w - CORNER, y], [x + w, y], [x + w, y + CORNER]], { fill: data.corner });
    }
    const model = modelOf(data, j);
    if (model < 0) return;
    pen.cell(x, y + h + 1, w, STRIP - 1, theme.line);
    pen.cell(x, y + h + 1, w * data.weights[i][model], STRIP - 1, data.columns[j].colour);
    if (data.decisive[i].includes(model)) {
      pen.rect(x + 1, y + 1, w - 2, h - 2, { stroke: theme.background, width: 4 });
      pen.rect(x + 1, y + 1, w - 2, h - 2, { stroke: theme.text, width: 2 });
    }
  },

  mark(pen, data, plan, theme, i, style) {
    const { top, row, right } = plan;
    pen.rect(1, top + i * row - 2, right - 1, row, { ...style, radius: 3 });
  },

  at(data, plan, x, y) {
    const { top, row, column, places } = plan, i = Math.floor((y - top) / row);
    if (data.names[i] === undefined || y < top) return null;
    const j = places.findIndex((from) => x >= from && x < from + column);
    const lines = [data.names[i]];
    if (j >= 0) {
      lines.push(`${data.columns[j].said}: ${data.words[i][j]}${data.wrong[i][j] ? ", wrong" : ""}`);
      const model = modelOf(data, j);
      if (model >= 0) lines.push(`Weight ${data.weights[i][model].toFixed(2)}`);
    }
    if (data.decided.length) lines.push(`Decisive: ${data.decided[i]}`);
    return { i, lines };
  },

  order: (data) => data.names.map((_, i) => i),
};

/** Which specialist a column is of; -1 for the others. */
function modelOf(data, j) {
  if (!data.columns[j].colour) return -1;
  return data.columns.slice(0, j).filter(({ colour }) => colour).length;
}

// Where the point is in the data map of the task that is pointed at, or else of the one that is
// chosen, or of the first.
const place = {
  name: "place",

  plan(data, width, theme) {
    const name = data.names[data.looked], { epoch } = data.place;
    const head = headOf(`Data map of ${name}`, `After epoch ${epoch}: all training points, and this`
      + " one. Point at a task to see its own.", width, theme);
    const h = Math.min(width * 0.5, 220);
    const inner = { x: 34, y: 52 + head.more, w: width - 42, h };
    return { head, inner, height: inner.y + inner.h + 36,
      across: (v) => inner.x + (v / data.place.variability) * inner.w,
      up: (c) => inner.y + (1 - c) * inner.h };
  },

  draw(pen, data, plan, theme) {
    const { inner } = plan, { bins, most } = data.place, cells = bins * bins;
    const begin = data.names.length * data.columns.length + data.looked * cells;
    drawHead(pen, plan.head, theme);
    density(pen, data.values.subarray(begin, begin + cells), bins, inner, most, theme);
    this.axes(pen, plan, theme);
    densityLegend(pen, inner.x + inner.w - 112, inner.y + inner.h - 44, most, theme);
    const at = data.places[data.looked];
    if (at) this.spot(pen, data, plan, theme, at);
    else pen.text(inner.x + inner.w / 2, inner.y + 14, "This point is not in the sample of this task", {
      size: 12, align: "center", fill: theme.text,
    });
  },

  axes(pen, { inner, across, up }, theme) {
    const tick = { size: 11, fill: theme.faint }, below = inner.y + inner.h;
    pen.rect(inner.x, inner.y, inner.w, inner.h, { stroke: theme.line });
    for (const v of [0, 0.2, 0.4, 0.6]) {
      pen.text(across(v), below + 11, v.toFixed(1), { ...tick, align: "center" });
    }
    for (const c of [0, 0.5, 1]) pen.text(inner.x - 5, up(c), c.toFixed(1), { ...tick, align: "right" });
    pen.text(inner.x + inner.w / 2, below + 26, "Variability", { ...tick, align: "center" });
    pen.text(7, inner.y + inner.h / 2, "Confidence", { ...tick, align: "center", turn: -90 });
  },

  spot(pen, data, { inner, across, up }, theme, [confidence, variability]) {
    const x = across(variability), y = up(confidence), faint = { stroke: theme.text, width: 0.75 };
    pen.line([[inner.x, y], [inner.x + inner.w, y]], faint);
    pen.line([[x, inner.y], [x, inner.y + inner.h]], faint);
    pen.circle(x, y, 7, { fill: data.corner, stroke: theme.background, width: 2 });
  },

  mark() {},

  at(data, { inner, across, up }, x, y) {
    const at = data.places[data.looked];
    if (!at || Math.hypot(across(at[1]) - x, up(at[0]) - y) > 12) return null;
    return { i: data.looked, lines: [
      data.names[data.looked], `confidence ${at[0].toFixed(2)}, variability ${at[1].toFixed(2)}`,
    ] };
  },

  order: (data) => data.names.map((_, i) => i),
};

/** The answers about the point that the gallery says, where they were sent. */
function aboutPoint(told) {
  const at = told.every ? hand.says.point ?? told.at : told.at;
  if (at === told.at) return { ...told, follows: true };
  const found = hand.sent.get(told.every)?.get(at);
  if (!found) return { ...told, follows: false };
  const maps = told.values.subarray(told.names.length * told.columns.length);
  const values = new Float32Array(found.values.length + maps.length);
  values.set(found.values);
  values.set(maps, found.values.length);
  return { ...told, ...found, values, follows: true };
}

class AnswersView extends View {
  constructor(root) {
    const pictures = [answers, place].filter(({ name }) => root.querySelector(`.${name}`));
    super(root, pictures, "tasks", aboutPoint);
    this.unheard = follow(this, (name) => name === "point");
  }

  draw() {
    if (this.data) this.data.looked = this.looked;
    super.draw();
  }

  /** The data map follows what is pointed at. */
  mark() {
    if (this.data && this.data.place && this.data.looked !== this.looked) this.draw();
    else super.mark();
  }

  get looked() {
    const { names } = this.data, { hovered, chosen } = this.marks;
    return Math.max(names.indexOf(names.includes(hovered) ? hovered : chosen), 0);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new AnswersView(parentElement));
  view.show(data, setStateValue);
  return view.close;
}
