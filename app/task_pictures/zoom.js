// A plane that is looked at more nearly: with buttons, keys, two fingers, and Ctrl and the wheel, or
// the wheel alone once it was clicked, since it scrolls the page else. What is nearer is dragged.
// `look.zoom` is how much nearer, `look.at` which place of the whole is in the middle, from there.

const ZOOM = { step: 1.6, most: 40, found: 5, wheel: 0.0022, drag: 4 };

/** Places of the whole plane where they are once it is nearer. */
function nearer(spots, { x, y, w, h }, zoom, [a, b]) {
  if (zoom === 1) return spots;
  const [mx, my] = [x + w / 2, y + h / 2];
  return spots.map(([sx, sy]) => [mx + (sx - mx - a) * zoom, my + (sy - my - b) * zoom]);
}

/** Looks `factor` times as near, and what is at a place of the canvas stays there. */
function zoomBy(canvas, factor, place = null) {
  const { look, plan } = canvas, { x, y, w, h } = plan.inner;
  const before = look.zoom ?? 1, zoom = Math.min(Math.max(before * factor, 1), ZOOM.most);
  const [px, py] = place ? [place[0] - x - w / 2, place[1] - y - h / 2] : [0, 0];
  const [a, b] = look.at ?? [0, 0], moved = 1 / before - 1 / zoom;
  lookAtPlace(canvas, zoom, [a + px * moved, b + py * moved]);
}

/** The edge of the whole never comes into the middle of the frame. */
function lookAtPlace(canvas, zoom, [a, b]) {
  const { look, plan } = canvas, { w, h } = plan.inner;
  const kept = (value, side) => {
    const most = (side / 2) * (1 - 1 / zoom);
    return Math.min(Math.max(value, -most), most);
  };
  Object.assign(look, { zoom, at: [kept(a, w), kept(b, h)] });
  canvas.lookAnew();
}

/** Brings a task into the frame; nearer, so that it is told from its neighbours. */
function zoomTo({ look, plan }, task, closely) {
  const { whole, inner: { x, y, w, h } } = plan;
  const near = closely && whole.length > 150 && plan.zoom < ZOOM.found;
  if (!near && plan.seen[task]) return false;
  const zoom = near ? ZOOM.found : plan.zoom;
  const at = [whole[task][0] - x - w / 2, whole[task][1] - y - h / 2];
  Object.assign(look, { zoom, at });
  return true;
}

function pressZoom(canvas, key) {
  if (!canvas.plan) return false;
  if (key === "+" || key === "=") zoomBy(canvas, ZOOM.step);
  else if (key === "-") zoomBy(canvas, 1 / ZOOM.step);
  else if (key === "0") zoomBy(canvas, 1 / ZOOM.most);
  else return false;
  return true;
}

function beginZoom(canvas) {
  const { stage, look } = canvas, buttons = element("div", { class: "zoom" });
  for (const [key, sign, told] of [
    ["-", "\u2212", "Further"], ["+", "+", "Nearer"], ["0", "All", "All of the map"],
  ]) {
    const button = element("button", { type: "button", title: told, "aria-label": told }, sign);
    button.onclick = () => pressZoom(canvas, key);
    buttons.append(button);
  }
  look.buttons = buttons;
  look.fingers = new Map();
  canvas.add(buttons);
  stage.addEventListener("wheel", (event) => turnZoom(canvas, event), { passive: false });
  stage.addEventListener("pointerdown", (event) => hold(canvas, event));
  stage.addEventListener("pointermove", (event) => drag(canvas, event), true);
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, ({ pointerId }) => look.fingers.delete(pointerId));
  }
  stage.addEventListener("click", (event) => {
    if (look.dragged) event.stopImmediatePropagation(); // it ended a drag, and means no task
  }, true);
}

function turnZoom(canvas, event) {
  const focused = canvas.stage.getRootNode().activeElement === canvas.stage;
  if (!canvas.plan || !(event.ctrlKey || event.metaKey || focused)) return;
  event.preventDefault();
  const turned = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
  const pinched = event.ctrlKey && Math.abs(turned) < 40; // of a touchpad, in small steps
  zoomBy(canvas, Math.exp(-turned * ZOOM.wheel * (pinched ? 4 : 1)), canvas.place(event));
}

function hold(canvas, event) {
  const { look } = canvas;
  if (!look.fingers.size) look.dragged = false;
  look.fingers.set(event.pointerId, canvas.place(event));
}

/** One finger, or the mouse, moves what is nearer; two bring it nearer. */
function drag(canvas, event) {
  const { look, stage } = canvas, { fingers } = look, from = fingers.get(event.pointerId);
  if (!from || !canvas.plan) return;
  const to = canvas.place(event), zoom = look.zoom ?? 1, [a, b] = look.at ?? [0, 0];
  if (fingers.size === 2) {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
    const middle = [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2];
    zoomBy(canvas, apart(to) / Math.max(apart(from), 1), middle);
  } else if (zoom === 1) return;
  else if (!look.dragged && Math.hypot(to[0] - from[0], to[1] - from[1]) < ZOOM.drag) return;
  else lookAtPlace(canvas, zoom, [a - (to[0] - from[0]) / zoom, b - (to[1] - from[1]) / zoom]);
  look.dragged = true;
  fingers.set(event.pointerId, to);
  if (!stage.hasPointerCapture(event.pointerId)) stage.setPointerCapture(event.pointerId);
  event.stopImmediatePropagation(); // what goes by below is not pointed at
}

function showZoom({ look: { buttons }, plan, stage }) {
  const [further, closer, all] = buttons.children;
  further.disabled = all.disabled = plan.zoom <= 1;
  closer.disabled = plan.zoom >= ZOOM.most;
  stage.classList.toggle("near", plan.zoom > 1);
}
