// All rows of a heatmap that are too many to be read, small, beside those that a lens shows large.
// The lens is a slider of its own: it is dragged, turned with the wheel, and moved with keys.

const LENS = { row: 16, rows: 36, gap: 22, numbers: 20, bar: 5, least: 5,
  note: "Left: all of them. Right: those in the frame, which is moved with a finger, wheel or keys" };
const TURNS = { ArrowDown: 1, ArrowUp: -1, PageDown: LENS.rows, PageUp: -LENS.rows };

/** Which rows the lens shows, and where all of them are; its `room` is left of the large ones. */
function lensOf(n, width, top, look) {
  const from = Math.min(Math.max(look.from ?? 0, 0), n - LENS.rows), to = from + LENS.rows;
  const x = LENS.numbers + LENS.bar + 1, w = Math.min(Math.max(width * 0.14, 44), 96);
  const h = LENS.rows * LENS.row;
  return { from, to, x, w, y: top, h, each: h / n, room: Math.ceil(x + w + LENS.gap) };
}

/** Its frame: a few pixels high even where its rows are fewer. */
function frameOf({ from, to, y, h, each }) {
  const high = Math.max((to - from) * each, LENS.least);
  return [Math.min(y + from * each, y + h - high), high];
}

function drawLens(pen, data, { n, k, lens }, theme) {
  const { x, y, w, h, each, room } = lens, [top, high] = frameOf(lens);
  const shareAt = (i) => data.values[data.order[Math.floor(i / k)] * k + (i % k)];
  const shadeAt = (i) => Math.round(strength(shareAt(i)) * (SHADES - 1));
  pen.cells(x, y, [w / k, each], [k, n], 0, shadeAt, theme);
  drawRuns(pen, data, lens, theme);
  const wedge = { stroke: theme.faint, width: 1 };
  pen.line([[x + w + 1, top], [room - 5, y]], wedge);
  pen.line([[x + w + 1, top + high], [room - 5, y + h]], wedge);
  pen.rect(x - LENS.bar - 2, top, w + LENS.bar + 4, high, { stroke: theme.text, width: 2, radius: 2 });
}

/** Beside the rows a bar in the colour of their cluster, with its number where there is room. */
function drawRuns(pen, data, { x, y, each }, theme) {
  let free = -Infinity;
  for (let from = 0, to; from < data.order.length; from = to) {
    const cluster = data.labels[data.order[from]], start = y + from * each;
    for (to = from; to < data.order.length && data.labels[data.order[to]] === cluster;) to += 1;
    const end = y + to * each, middle = (start + end) / 2;
    pen.cell(x - LENS.bar - 1, start, LENS.bar, end - start, data.colours[cluster]);
    if (middle < free) continue;
    free = middle + 11;
    pen.text(x - LENS.bar - 5, middle, String(cluster + 1), {
      size: 10, align: "right", fill: theme.faint,
    });
  }
}

function markInLens(pen, { lens: { x, y, w, each } }, at, style) {
  const middle = y + (at + 0.5) * each;
  pen.line([[x - LENS.bar - 2, middle], [x + w + 2, middle]], { ...style, width: 2 });
  const tip = x + w + 3;
  pen.line([[tip + 6, middle - 4], [tip, middle], [tip + 6, middle + 4]], { ...style, width: 1.5 });
}

/** Looks at a row, where the lens does not; whether it did not. */
function lookAtRow({ lens }, look, at) {
  if (!lens || (at >= lens.from && at < lens.to)) return false;
  look.from = at - Math.floor(LENS.rows / 2);
  return true;
}

// ------------------------------------------------------------------------------ moved by a hand

/** What is dragged lies above the small rows, so that a finger beside it scrolls the page. */
function beginLens(canvas) {
  const handle = element("div", {
    class: "lens", role: "slider", tabindex: "0", "aria-label": "First of the rows that are shown",
    "aria-orientation": "vertical", hidden: "",
  });
  canvas.add(handle);
  canvas.look.handle = handle;
  handle.onpointerdown = (event) => {
    handle.setPointerCapture(event.pointerId);
    dragLens(canvas, event);
  };
  handle.onpointermove = (event) => {
    if (handle.hasPointerCapture(event.pointerId)) dragLens(canvas, event);
  };
  handle.onkeydown = (event) => {
    const { lens } = canvas.plan ?? {}, ends = { Home: 0, End: canvas.plan?.n };
    const wanted = ends[event.key] ?? (lens?.from ?? 0) + (TURNS[event.key] ?? 0);
    if (!lens || !(event.key in ends || event.key in TURNS)) return;
    moveLens(canvas, wanted);
    event.preventDefault();
  };
  for (const part of [canvas.stage, handle]) {
    part.addEventListener("wheel", (event) => turnLens(canvas, event), { passive: false });
  }
}

/** The row under the pointer comes into the middle. */
function dragLens(canvas, event) {
  const { lens } = canvas.plan, y = canvas.place(event)[1];
  moveLens(canvas, Math.round((y - lens.y) / lens.each - LENS.rows / 2));
}

/** Rows go by under the wheel; at the end of them the page does. */
function turnLens(canvas, event) {
  const { lens, n } = canvas.plan ?? {}, { look } = canvas;
  if (!lens || event.ctrlKey) return;
  const from = look.from ?? lens.from;
  if (event.deltaY > 0 ? from >= n - LENS.rows : from <= 0) return;
  event.preventDefault();
  look.turned = (look.turned ?? 0) + (event.deltaMode === 1 ? event.deltaY : event.deltaY / LENS.row);
  moveLens(canvas, from + Math.trunc(look.turned));
  look.turned %= 1;
}

function moveLens(canvas, from) {
  canvas.look.from = Math.min(Math.max(from, 0), canvas.plan.n - LENS.rows);
  canvas.lookAnew();
}

function placeLens({ look: { handle }, plan: { lens, n }, view: { zoom } }) {
  handle.hidden = !lens;
  if (!lens) return;
  const { x, y, w, h, from, to } = lens, pixels = (value) => `${value * zoom}px`;
  Object.assign(handle.style, {
    left: pixels(x - LENS.bar - 2), top: pixels(y), width: pixels(w + LENS.bar + 4), height: pixels(h),
  });
  const told = { valuemin: 1, valuemax: n - LENS.rows + 1, valuenow: from + 1,
    valuetext: `Rows ${from + 1} to ${to} of ${n}` };
  for (const [name, value] of Object.entries(told)) handle.setAttribute(`aria-${name}`, value);
}
