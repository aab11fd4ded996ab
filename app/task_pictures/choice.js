// How good the grouping is for every k: one small chart per measure, all on the same axis of k.

// `height` is that of the curve with its axis, below the words of a chart
const CHART = { height: 132, top: 58, bottom: 34, left: 52, right: 12 };
const TOP = 52, GAP = 20, SMALL = { size: 10.5 }, LINE = 14;

const choice = {
  name: "which-k",

  plan(data, width, theme) {
    const columns = width >= 420 ? 2 : 1, gap = 28;
    const w = (width - gap * (columns - 1)) / columns;
    const suggested = data.suggested === null ? "" : "; dot on a thick line: the suggested k";
    const note = `Ring: the k of the slider${suggested}. A click takes another k`;
    const head = headOf("Quality for every k", note, width, theme), first = TOP + head.more;
    const notes = data.measures.map(({ note }) => wrapped(note, w, SMALL, theme));
    const top = CHART.top + LINE * (Math.max(...notes.map((lines) => lines.length)) - 1);
    const each = top + CHART.height + GAP;
    const charts = data.measures.map((measure, i) => {
      const x = (i % columns) * (w + gap), y = first + Math.floor(i / columns) * each;
      return { ...this.chart(data, measure, x, y, w, top), notes: notes[i] };
    });
    return { charts, head, height: first + Math.ceil(charts.length / columns) * each };
  },

  chart(data, measure, x, y, w, above) {
    const known = measure.values.filter((value) => value !== null);
    const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
    const pad = (high - low || Math.abs(high) || 1) * 0.08;
    const from = x + CHART.left, to = x + w - CHART.right;
    const top = y + above, bottom = top + CHART.height - CHART.bottom;
    const last = Math.max(data.ks.length - 1, 1);
    return {
      measure, x, y, w, from, to, top, bottom, low, high,
      across: (i) => (data.ks.length === 1 ? (from + to) / 2 : from + (i / last) * (to - from)),
      up: (value) => bottom - ((value - low + pad) / (high - low + 2 * pad)) * (bottom - top),
    };
  },

  draw(pen, data, plan, theme) {
    drawHead(pen, plan.head, theme);
    for (const chart of plan.charts) this.one(pen, data, chart, theme);
  },

  one(pen, data, chart, theme) {
    const { measure, notes, x, y, from, to, top, bottom, low, high, across, up } = chart;
    const small = { ...SMALL, fill: theme.faint };
    pen.text(x, y + 10, measure.title, { size: 13, weight: 600, fill: theme.text });
    notes.forEach((line, i) => pen.text(x, y + 28 + LINE * i, line, small));
    pen.line([[from, bottom], [to, bottom]], { stroke: theme.line });
    for (const value of high > low ? [low, high] : [low]) {
      pen.line([[from, up(value)], [to, up(value)]], { stroke: theme.line, width: 0.5 });
      pen.text(from - 6, up(value), compact(value), { ...small, align: "right" });
    }
    const step = [1, 2, 5, 10, 20].find((each) => data.ks.length / each <= 10) ?? 50;
    data.ks.forEach((k, i) => {
      if (k % step === 0) pen.text(across(i), bottom + 11, String(k), { ...small, align: "center" });
    });
    pen.text((from + to) / 2, bottom + 26, "Clusters (k)", { ...small, align: "center" });
    const suggested = data.ks.indexOf(data.suggested);
    if (suggested >= 0) {
      const at = across(suggested);
      pen.line([[at, top - 4], [at, bottom]], { stroke: theme.accent, width: 3 });
    }
    this.curve(pen, data, chart, theme, suggested);
  },

  curve(pen, data, { measure, across, up, bottom, top, from, to }, theme, suggested) {
    if (measure.values.every((value) => value === null)) {
      const text = { size: 11.5, fill: theme.faint, align: "center" };
      pen.text((from + to) / 2, (top + bottom) / 2, measure.missing, text);
    }
    let run = [];
    const finish = () => {
      if (run.length > 1) pen.line(run, { stroke: theme.text, width: 1.5 });
      run = [];
    };
    measure.values.forEach((value, i) => {
      if (value === null) return finish();
      run.push([across(i), up(value)]);
      const radius = i === suggested ? 5 : data.ks.length > 40 ? 1.6 : 2.8;
      pen.circle(across(i), up(value), radius, { fill: i === suggested ? theme.accent : theme.text });
    });
    finish();
  },

  mark(pen, data, plan, theme, i, style) {
    for (const { measure, across, up, top, bottom } of plan.charts) {
      const at = across(i), value = measure.values[i];
      pen.line([[at, top - 4], [at, bottom]], { ...style, width: 1 });
      if (value === null) continue;
      pen.circle(at, up(value), 5, { ...style, fill: theme.background });
      const label = `k = ${data.ks[i]}: ${compact(value)}`;
      const w = textWidth(label, 11, 600, theme.family) + 8;
      const x = Math.min(Math.max(at - w / 2, across(0)), across(data.ks.length - 1) - w);
      pen.rect(x, top - 14, w, 16, { fill: theme.background, stroke: style.stroke, radius: 3 });
      pen.text(x + w / 2, top - 6, label, {
        size: 11, weight: 600, align: "center", fill: theme.text,
      });
    }
  },

  at(data, plan, x, y) {
    const inside = (chart) =>
      x >= chart.x && x <= chart.x + chart.w && y >= chart.top - 12 && y <= chart.bottom + 16;
    const chart = plan.charts.find(inside);
    if (!chart) return null;
    const share = (x - chart.from) / (chart.to - chart.from);
    const i = Math.round(share * (data.ks.length - 1));
    return i < 0 || i >= data.ks.length ? null : { i, lines: [data.says[i], "Click to take this k"] };
  },

  order: (data) => data.ks.map((_, i) => i),
};

function compact(value) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(3);
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new View(parentElement, [choice], "numbers of clusters"));
  view.show(data, setStateValue);
  return view.close;
}
