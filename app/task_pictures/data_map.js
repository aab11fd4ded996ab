// Data map of a task: how many points are where, single ones where they are few, named regions, and
// a rectangle that is dragged over it. `data.values` holds the density, then three numbers a point:
// variability, confidence, whether it is positive.

const ROOM = { top: 34, right: 8, bottom: 44, left: 50, height: 350 };
const NEAR = 7, CLICK = 4; // pixels
const PER_POINT = 3;

const dataMap = {
  name: "data-map",

  plan(data, width, theme) {
    const head = headOf(data.title, "", width, theme);
    const inner = {
      x: ROOM.left, y: ROOM.top + head.more, w: width - ROOM.left - ROOM.right, h: ROOM.height,
    };
    const { bins, variability } = data;
    return {
      head,
      inner,
      height: inner.y + inner.h + ROOM.bottom,
      across: (v) => inner.x + (v / variability) * inner.w,
      up: (c) => inner.y + (1 - c) * inner.h,
      cell: [inner.w / bins, inner.h / bins],
      value: (x, y) => [
        Math.min(Math.max((x - inner.x) / inner.w, 0), 1) * variability,
        Math.min(Math.max(1 - (y - inner.y) / inner.h, 0), 1),
      ],
    };
  },

  draw(pen, data, plan, theme) {
    drawHead(pen, plan.head, theme);
    density(pen, data.values, data.bins, plan.inner, data.most, theme);
    this.axes(pen, data, plan, theme);
    for (let i = 0; i < data.names.length; i += 1) {
      const [v, c, positive] = point(data, i);
      const fill = data.binary && positive ? data.colour : theme.text;
      pen.circle(plan.across(v), plan.up(c), 1.8, { fill, opacity: 0.85 });
    }
    this.regions(pen, data, plan, theme);
    this.legends(pen, data, plan, theme);
  },

  axes(pen, data, { inner, across, up }, theme) {
    const tick = { size: 11, fill: theme.faint };
    const left = inner.x, below = inner.y + inner.h;
    pen.rect(left, inner.y, inner.w, inner.h, { stroke: theme.line });
    for (const v of [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]) {
      pen.text(across(v), below + 11, v.toFixed(1), { ...tick, align: "center" });
    }
    for (const c of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      pen.text(left - 6, up(c), c.toFixed(1), { ...tick, align: "right" });
    }
    const title = { size: 12, fill: theme.faint, align: "center" };
    pen.text(left + inner.w / 2, below + 32, `Variability (deviation of the ${data.number ? "same" : "probability"})`, title);
    const middle = inner.y + inner.h / 2;
    pen.text(10, middle, `Confidence (${data.number ? "how near the number is" : "probability of the true label"})`, { ...title, turn: -90 });
  },

  regions(pen, data, { inner, across, up }, theme) {
    const bound = { stroke: theme.text, width: 1 };
    const ambiguous = across(data.ambiguous), easy = up(data.easy);
    pen.line([[ambiguous, inner.y], [ambiguous, inner.y + inner.h]], bound);
    pen.line([[inner.x, easy], [ambiguous, easy]], bound);
    const places = [
      [inner.x + 5, easy - 12], [ambiguous + 5, inner.y + inner.h - 12], [inner.x + 5, easy + 12],
    ];
    data.regions.forEach((text, i) => label(pen, ...places[i], text, theme));
  },

  legends(pen, data, { inner }, theme) {
    const note = { size: 11, fill: theme.faint };
    const x = inner.x + inner.w - 112;
    pen.text(x, inner.y + 14, "Single points", note);
    const kinds = data.binary ? ["positive", "negative"] : [];
    kinds.forEach((kind, i) => {
      pen.circle(x + 5, inner.y + 32 + 18 * i, 4, { fill: i ? theme.text : data.colour });
      pen.text(x + 15, inner.y + 32 + 18 * i, kind, note);
    });
    densityLegend(pen, x, inner.y + inner.h - 58, data.most, theme);
  },

  mark(pen, data, { across, up }, theme, i, style) {
    const [v, c] = point(data, i);
    pen.circle(across(v), up(c), 6, { ...style, fill: theme.background, opacity: 0.5 });
  },

  /** What is under the pointer: a point, or else a cell. */
  at(data, plan, x, y) {
    const { inner, across, up, cell, value } = plan;
    if (x < inner.x || x > inner.x + inner.w || y < inner.y || y > inner.y + inner.h) return null;
    let nearest = -1, least = NEAR;
    for (let i = 0; i < data.names.length; i += 1) {
      const [v, c] = point(data, i);
      const apart = Math.hypot(across(v) - x, up(c) - y);
      if (apart < least) [nearest, least] = [i, apart];
    }
    if (nearest >= 0) return { i: nearest, lines: this.said(data, nearest) };
    const column = Math.min(Math.floor((x - inner.x) / cell[0]), data.bins - 1);
    const row = Math.min(Math.floor((inner.y + inner.h - y) / cell[1]), data.bins - 1);
    const count = data.values[row * data.bins + column];
    const [v, c] = value(x, y);
    const points = `${count.toLocaleString("en-US")} ${count === 1 ? "point" : "points"} in this cell`;
    return { i: -1, lines: [points, `variability ${v.toFixed(2)}, confidence ${c.toFixed(2)}`] };
  },

  where(data, { across, up }, i) {
    const [v, c] = point(data, i);
    return [across(v), up(c)];
  },

  said(data, i) {
    const [v, c, positive] = point(data, i);
    return [
      `Training point ${data.names[i]}${data.binary ? positive ? ", positive" : ", negative" : ""}`,
      `variability ${v.toFixed(2)}, confidence ${c.toFixed(2)}`,
    ];
  },
};

function point(data, i) {
  const begin = data.bins * data.bins + PER_POINT * i;
  return data.values.subarray(begin, begin + PER_POINT);
}

function label(pen, x, y, text, theme) {
  const w = textWidth(text, 13, 600, theme.family);
  pen.rect(x - 3, y - 9, w + 6, 18, { fill: theme.background, opacity: 0.8, radius: 3 });
  pen.text(x, y, text, { size: 13, weight: 600, fill: theme.text });
}

/** A canvas with a rectangle: the hand's while it drags, else the one that Python keeps. */
class MapCanvas extends Canvas {
  constructor(...all) {
    super(...all);
    this.stage.onpointerdown = (event) => this.begin(event);
    this.stage.onpointerup = (event) => this.finish(event);
    this.stage.onpointercancel = () => this.drop();
    this.stage.addEventListener("touchstart", (event) => this.hold(event), { passive: false });
  }

  /** On the plane a finger draws, and the browser is not to scroll; beside it, it scrolls. */
  hold(event) {
    if (!this.plan || !this.data.brush || event.touches.length > 1) return;
    const { x, y, w, h } = this.plan.inner, [across, down] = this.place(event.touches[0]);
    if (across >= x && across <= x + w && down >= y && down <= y + h) event.preventDefault();
  }

  follow() {
    const told = JSON.stringify(this.data.region);
    if (told === this.sent) this.sent = undefined;
    if (this.sent === undefined && told !== this.told) this.region = this.data.region;
    this.told = told;
    this.stage.style.cursor = this.data.brush ? "crosshair" : "";
  }

  begin(event) {
    if (event.button !== 0 || !this.plan || !this.data.brush) return;
    this.from = this.place(event);
    this.before = this.region;
    this.stage.setPointerCapture(event.pointerId);
    this.view.hover(null);
  }

  point(event) {
    if (!this.plan) return;
    if (this.from) {
      this.region = this.dragged(event);
      return this.mark();
    }
    const found = this.picture.at(this.data, this.plan, ...this.place(event));
    this.view.hover(this.data.names[found?.i] ?? null, found?.lines ?? null, event, true);
  }

  leave() {
    this.view.hover(null);
  }

  finish(event) {
    if (!this.from) return;
    const [x, y] = this.place(event);
    const moved = Math.min(Math.abs(x - this.from[0]), Math.abs(y - this.from[1])) >= CLICK;
    this.keep(moved ? this.dragged(event) : null);
    this.from = undefined;
    // A finger that is held makes no click, and leaves when it is lifted: only then it has tapped.
    if (!moved && event.pointerType !== "mouse") setTimeout(() => this.point(event));
  }

  drop() {
    if (this.from) this.region = this.before;
    this.from = undefined;
    this.mark();
  }

  dragged(event) {
    const [[v, c], [w, d]] = [this.plan.value(...this.from), this.plan.value(...this.place(event))];
    const bounds = [Math.min(v, w), Math.max(v, w), Math.min(c, d), Math.max(c, d)];
    return bounds.map((bound) => Math.round(bound * 1000) / 1000);
  }

  keep(region) {
    this.region = region;
    this.mark();
    if (JSON.stringify(region) === JSON.stringify(this.data.region)) return;
    this.sent = JSON.stringify(region);
    this.view.send("region", [region, Date.now()]);
  }

  get unmarked() {
    return super.unmarked && !this.region;
  }

  marked(pen, chosen, hovered) {
    super.marked(pen, chosen, hovered);
    if (!this.region) return;
    const { across, up } = this.plan, [v, w, c, d] = this.region, theme = this.view.theme;
    const style = { stroke: theme.text, width: 2, fill: theme.accent, opacity: 0.12 };
    const edge = Math.min(across(w), this.plan.inner.x + this.plan.inner.w);
    pen.rect(across(v), up(d), edge - across(v), up(c) - up(d), style);
  }

  /** A finger that taps shows what it taps, as a mouse does that rests. */
  click(event) {
    if (event.pointerType !== "mouse") this.point(event);
  }

  press(event) {
    const { data, view } = this, n = data.names.length;
    if (event.key === "Escape") {
      view.hover(null);
      if (data.brush) this.keep(null);
    } else if (event.key in STEPS && n) {
      const i = data.names.indexOf(view.marks.hovered);
      const next = i < 0 ? 0 : (i + STEPS[event.key] + n) % n;
      this.lookAt(next, this.picture.said(data, next));
      event.preventDefault();
    }
  }
}

/** The map at the recorded epoch that the slider says, where it was sent. */
function atEpoch(told) {
  const epoch = hand.says.epoch ?? told.epoch;
  if (epoch === told.epoch) return { ...told, follows: true };
  const found = hand.sent.get(told.every)?.get(epoch);
  return { ...told, ...found, follows: Boolean(found) };
}

class MapView extends View {
  constructor(root) {
    super(root, [], "points", atEpoch);
    this.canvases = [new MapCanvas(this, dataMap, root.querySelector(".data-map"))];
    this.unheard = follow(this, (name) => name === "epoch");
  }

  show(message, send) {
    Object.assign(this, { told: read(message), send, theme: themeOf(this.root) });
    this.data = this.told;
    this.canvases[0].follow();
    this.turn();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new MapView(parentElement));
  view.show(data, setStateValue);
  return view.close;
}
