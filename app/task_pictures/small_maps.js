// Data maps of many tasks, small, on the same scales; a click takes one.

const ASPECT = 0.8, MARGIN = 14, NAME = 22, AROUND = { top: 34, left: 22, right: 1, bottom: 62 };
const LEGEND = { left: 270, width: 114, beside: 360 };
const WIDEST = 5, LEAST_WIDTH = 130; // maps in a row, pixels

const smallMaps = {
  name: "small-maps",

  plan(data, width, theme) {
    const head = headOf(data.title, "", width, theme);
    const room = width - AROUND.left - AROUND.right;
    const columns = Math.max(1, Math.min(WIDEST, Math.floor(room / LEAST_WIDTH)));
    const w = (room - MARGIN * (columns - 1)) / columns, h = Math.min(w * ASPECT, 170);
    const boxes = data.names.map((_, i) => ({
      x: AROUND.left + (i % columns) * (w + MARGIN),
      y: AROUND.top + head.more + NAME + Math.floor(i / columns) * (h + NAME + MARGIN),
      w,
      h,
    }));
    const below = boxes.at(-1).y + h;
    const beside = width >= LEGEND.beside; // the legend, of what the axes mean
    const legend = beside ? [Math.min(AROUND.left + LEGEND.left, width - LEGEND.width), below + 16]
      : [AROUND.left, below + 40];
    return { boxes, below, head, legend, height: below + AROUND.bottom + (beside ? 0 : 24) };
  },

  draw(pen, data, { boxes, below, head, legend }, theme) {
    drawHead(pen, head, theme);
    const cells = data.bins * data.bins, axis = { size: 11.5, fill: theme.faint };
    boxes.forEach((box, i) => {
      const { x, y, w, h } = box, counts = data.values.subarray(i * cells, (i + 1) * cells);
      density(pen, counts, data.bins, box, data.most, theme);
      pen.rect(x, y, w, h, { stroke: theme.line });
      const note = textWidth(data.notes[i], 12, 400, theme.family);
      const name = shortened(data.names[i], w - note - 6, 12, 600, theme.family);
      pen.text(x, y - 10, name, { size: 12, weight: 600, fill: theme.text });
      pen.text(x + w, y - 10, data.notes[i], { size: 12, fill: theme.faint, align: "right" });
    });
    const left = boxes[0].x, middle = (boxes[0].y + below) / 2;
    pen.text(left, below + 16, "Across, in each: variability, 0 to 0.71", axis);
    pen.text(8, middle, "Up, in each: confidence, 0 to 1", { ...axis, align: "center", turn: -90 });
    densityLegend(pen, ...legend, data.most, theme);
  },

  mark(pen, data, { boxes }, theme, i, style) {
    const { x, y, w, h } = boxes[i];
    pen.rect(x, y, w, h, style);
  },

  at(data, { boxes }, x, y) {
    const inside = (box) =>
      x >= box.x && x <= box.x + box.w && y >= box.y - NAME && y <= box.y + box.h;
    const i = boxes.findIndex(inside);
    return i < 0 ? null : { i, lines: [data.names[i], data.says[i], "Click to see it large"] };
  },

  order: (data) => data.names.map((_, i) => i),
};

class SmallView extends View {
  /** Each click counts, on the same task too: another may be shown large meanwhile. */
  choose(name) {
    if (name !== null) this.send("chosen", [name, Date.now()]);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new SmallView(parentElement, [smallMaps], "tasks"));
  view.show(data, setStateValue);
  return view.close;
}
