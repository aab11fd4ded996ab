// What all pictures share: a canvas as wide as its room, things to point at (tasks, mostly) that
// are marked in all pictures at once, a choice among them that Python keeps, keys, tooltips, export.
// `data.names` names the things. A picture is an object:
//   name                         for the file and to find its element
//   plan(data, width, theme)     where everything goes; has at least `height`
//   draw(pen, data, plan, theme)
//   mark(pen, data, plan, theme, i, style)   shows thing i, above the drawing
//   at(data, plan, x, y)         {i, lines} under the pointer, or null; i is −1 where it is no thing
//   order(data)                  things in the order in which arrow keys walk
//   where(data, plan, i)         where thing i is, if its tip and image follow the keyboard too
// and where it shows only a part of the things, or shows them nearer, which part is in the canvas's
// `look`, that `plan` is given too:
//   begin(canvas)                what else listens and is pressed there, once
//   drawn(canvas)                after each drawing
//   press(canvas, key)           whether the key was for it
//   click(canvas, x, y)          whether the click was for it
//   reveal(canvas, i, closely)   looks where thing i is; whether it looked elsewhere before
//   keys                         what its own keys do, in words

const TOLD = "stg-explorer-told";
const EXPORT_SCALE = 2;
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Names of what is looked at and of what is chosen, the same in every picture of the page.
 *
 *  `changed` is told what to bring into view, if anything, and whether to look at it closely.
 */
class Marks {
  constructor(things, changed) {
    Object.assign(this, { things, hovered: null, chosen: null });
    this.heard = ({ detail: { things: these, closely, ...change } }) => {
      if (these !== things) return;
      Object.assign(this, change);
      changed(closely ? change.hovered ?? change.chosen : change.chosen, closely);
    };
    window.addEventListener(TOLD, this.heard);
  }

  /** Python's answer to an older choice must not undo a newer one. */
  follow(told) {
    const answered = told === this.sent;
    if (answered) this.sent = undefined;
    if (this.sent === undefined && told !== this.told) this.chosen = told;
    this.told = told;
  }

  hover(hovered, closely = false) {
    if (hovered !== this.hovered || closely) this.tell({ hovered, closely });
  }

  choose(chosen, keep, closely = false) {
    this.sent = chosen;
    this.tell({ chosen, closely });
    keep([chosen, Date.now()]);
  }

  tell(change) {
    const detail = { things: this.things, ...change };
    window.dispatchEvent(new CustomEvent(TOLD, { detail }));
  }

  end() {
    window.removeEventListener(TOLD, this.heard);
  }
}

class Canvas {
  constructor(view, picture, figure) {
    Object.assign(this, { view, picture, figure, look: {} });
    this.base = element("canvas");
    this.above = element("canvas", { class: "above" });
    this.stage = element("div", { class: "stage", role: "img", tabindex: "0" });
    this.stage.append(this.base, this.above);
    this.buttons = element("div", { class: "buttons" });
    for (const kind of ["SVG", "PNG"]) {
      const button = element("button", { type: "button" }, kind);
      button.onclick = () => this.export(kind);
      this.buttons.append(button);
    }
    this.parts = [];
    this.add(this.buttons);
    this.add(this.stage);
    this.stage.onpointermove = (event) => this.point(event);
    this.stage.onpointerleave = () => this.leave();
    this.stage.onclick = (event) => this.click(event);
    this.stage.onkeydown = (event) => this.press(event);
    this.stage.onblur = () => this.leave();
    picture.begin?.(this);
  }

  /** Puts something into the figure, for as long as the view is there. */
  add(part) {
    this.parts.push(part);
    this.figure.append(part);
  }

  get data() {
    return this.view.data;
  }

  /** In the pictures' own pixels, which grow with the letters of the page. */
  get width() {
    return this.figure.clientWidth / this.view.zoom;
  }

  draw() {
    const { data, picture } = this, theme = this.view.theme;
    const width = this.width;
    if (!width || !data) return;
    this.plan = picture.plan(data, width, theme, this.look);
    const keys = `${data.keys} ${picture.keys ?? ""}`.trim();
    this.stage.setAttribute("aria-label", `${data.alt[picture.name]} ${keys}`);
    for (const kind of this.buttons.children) {
      kind.title = `Save ${data.alt[picture.name].split(/[.:]/)[0].toLowerCase()} as ${kind.textContent}`;
      kind.setAttribute("aria-label", kind.title);
    }
    const context = this.sized(this.base, width, this.plan.height);
    picture.draw(canvasPen(context, theme.family), data, this.plan, theme);
    picture.drawn?.(this);
    this.mark();
  }

  /** Draws anew once in a frame, however often a hand or a wheel moves what is looked at. */
  lookAnew() {
    this.awaited ??= requestAnimationFrame(() => {
      this.awaited = undefined;
      this.draw();
    });
  }

  /** Brings a thing into view, where not all of them are. */
  reveal(name, closely = false) {
    const i = this.plan && this.picture.reveal ? this.data.names.indexOf(name) : -1;
    if (i >= 0 && this.picture.reveal(this, i, closely)) this.draw();
  }

  sized(canvas, width, height) {
    const zoom = this.view.zoom, ratio = (window.devicePixelRatio || 1) * zoom;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      Object.assign(canvas, { width: w, height: h });
      canvas.style.width = `${width * zoom}px`;
      canvas.style.height = `${height * zoom}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  mark() {
    if (!this.plan) return;
    const { theme, marks } = this.view;
    this.above.hidden = this.unmarked; // a canvas that is not there need not be composed
    if (this.above.hidden) return;
    const context = this.sized(this.above, this.width, this.plan.height);
    this.marked(canvasPen(context, theme.family), marks.chosen, marks.hovered);
  }

  get unmarked() {
    const { chosen, hovered } = this.view.marks;
    return chosen === null && hovered === null;
  }

  marked(pen, chosen, hovered) {
    const { data, picture, plan } = this, theme = this.view.theme;
    for (const [name, width] of [[chosen, 3], [hovered, 1.5]]) {
      const i = data.names.indexOf(name);
      if (i >= 0) picture.mark(pen, data, plan, theme, i, { stroke: theme.text, width });
    }
  }

  /** Where in the picture a pointer is. */
  place(event) {
    const box = this.stage.getBoundingClientRect(), zoom = this.view.zoom;
    return [(event.clientX - box.left) / zoom, (event.clientY - box.top) / zoom];
  }

  point(event) {
    if (!this.plan) return;
    const found = this.picture.at(this.data, this.plan, ...this.place(event));
    if (!found) return this.leave();
    this.stage.style.cursor = "pointer";
    const pictured = Boolean(this.picture.where);
    this.view.hover(this.data.names[found.i] ?? null, found.lines, event, pictured);
  }

  leave() {
    this.stage.style.cursor = "";
    this.view.hover(null);
  }

  click(event) {
    if (this.plan && this.picture.click?.(this, ...this.place(event))) return;
    this.point(event);
    this.view.choose(this.view.marks.hovered);
  }

  press(event) {
    const { view, data } = this, order = this.picture.order(data);
    const place = order.indexOf(data.names.indexOf(view.marks.hovered ?? view.marks.chosen));
    if (this.picture.press?.(this, event.key)) {
      event.preventDefault();
      return;
    }
    if (event.key in STEPS) {
      const next = place < 0 ? 0 : (place + STEPS[event.key] + order.length) % order.length;
      this.lookAt(order[next], [data.says[order[next]]]);
    } else if (event.key === "Enter" || event.key === " ") {
      view.choose(view.marks.hovered);
    } else if (event.key === "Escape" && (view.marks.hovered ?? view.marks.chosen) !== null) {
      view.hover(null);
      view.choose(view.marks.chosen);
    } else return;
    event.preventDefault();
  }

  /** What a pointer on thing i would show, for those who have none. */
  lookAt(i, lines) {
    const { view, data, picture } = this;
    this.reveal(data.names[i]);
    const at = picture.where?.(data, this.plan, i);
    const box = this.stage.getBoundingClientRect();
    const spot = at && {
      clientX: box.left + at[0] * view.zoom, clientY: box.top + at[1] * view.zoom, spoken: true,
    };
    view.hover(data.names[i], spot ? lines : null, spot, Boolean(spot));
    view.say(lines.join(", "));
  }

  export(kind) {
    const { data, plan, picture } = this, theme = this.view.theme;
    const width = this.width, name = `${picture.name}-${data.file}`;
    const onto = (pen) => {
      picture.draw(pen, data, plan, theme);
      this.marked(pen, this.view.marks.chosen, null);
    };
    if (kind === "SVG") {
      const pen = svgPen(width, plan.height, theme.background, theme.family);
      onto(pen);
      return download(`${name}.svg`, new Blob([pen.written()], { type: "image/svg+xml" }));
    }
    const canvas = element("canvas", {
      width: width * EXPORT_SCALE, height: plan.height * EXPORT_SCALE,
    });
    const context = canvas.getContext("2d");
    context.scale(EXPORT_SCALE, EXPORT_SCALE);
    const pen = canvasPen(context, theme.family);
    pen.cell(0, 0, width, plan.height, theme.background);
    onto(pen);
    canvas.toBlob((blob) => download(`${name}.png`, blob));
  }
}

/** The pictures of one component; `view.data` is what they show, `turned` of what Python told. */
class View {
  constructor(root, pictures, things, turned = (told) => told) {
    this.turned = turned;
    this.root = root.querySelector(".view");
    this.tip = element("div", { class: "tip", hidden: "" });
    this.spoken = element("div", { class: "spoken", "aria-live": "polite" });
    this.root.append(this.tip, this.spoken);
    this.canvases = pictures.map((picture) => {
      return new Canvas(this, picture, root.querySelector(`.${picture.name}`));
    });
    this.marks = new Marks(things, (name, closely) => this.mark(name, closely));
    const box = root.querySelector(".find");
    this.finder = box && new Finder(box, this);
    this.glances = new Glances((seen) => this.see(seen));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.root);
    document.fonts.ready.then(() => this.draw());
  }

  show(message, send) {
    Object.assign(this, { told: read(message), send, theme: themeOf(this.root) });
    const before = this.marks.chosen;
    this.marks.follow(this.told.chosen);
    this.turn();
    const { chosen } = this.marks;
    if (chosen !== before) this.canvases.forEach((canvas) => canvas.reveal(chosen));
  }

  /** Draws what Python told, as the sliders turn it. */
  turn(data = this.turned(this.told)) {
    this.data = data;
    this.draw();
  }

  /** How large a presenter has the letters of the page. */
  get zoom() {
    return parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  }

  draw() {
    if (!this.data) return;
    this.finder?.follow();
    this.canvases.forEach((canvas) => canvas.draw());
  }

  /** Shows what is marked; `name` is to be in view. */
  mark(name = null, closely = false) {
    if (!this.data) return;
    for (const canvas of this.canvases) {
      if (name !== null) canvas.reveal(name, closely);
      canvas.mark();
    }
  }

  /** `pictured`: an image of it belongs into the tip, where there is one. */
  hover(name, lines = null, event = null, pictured = false) {
    this.marks.hover(name);
    this.tip.hidden = !lines;
    const said = lines?.join("\n"), same = lines && said === this.pointed?.said;
    if (!same) this.glances.ask(pictured && lines && this.data.glances, name);
    this.pointed = lines && { name, said, event, seen: same ? this.pointed.seen : null };
    if (!lines) return;
    if (!same) {
      this.tip.replaceChildren(...lines.map((line) => element("div", {}, line)));
      this.completed = false;
    }
    this.tell();
  }

  /** What is to be seen of what is pointed at has come: words, and an image if there is one. */
  see(seen) {
    const { pointed } = this;
    if (!seen.lines.length || seen.of !== this.data?.glances || seen.name !== pointed?.name) return;
    pointed.seen = seen;
    if (pointed.event.spoken) this.say(seen.lines.join(", "));
    this.tell();
  }

  /** Completes the tip with that, where it is there, and puts it where the pointer is. */
  tell() {
    const { tip } = this, { event, seen } = this.pointed;
    tip.classList.toggle("seen", Boolean(seen?.image));
    if (seen && !this.completed) { // not anew for every move of the pointer
      this.completed = true;
      if (seen.image) tip.prepend(element("img", { src: seen.image, alt: "" }));
      tip.append(...seen.lines.map((line) => element("div", {}, line)));
    }
    const box = this.root.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const beyond = x + 16 + tip.offsetWidth > box.width;
    tip.style.left = `${beyond ? Math.max(x - 12 - tip.offsetWidth, 0) : x + 16}px`;
    tip.style.top = `${y + 16}px`;
  }

  /** What is chosen again is let go, where nothing need be chosen. */
  choose(name) {
    const again = name === this.marks.chosen;
    if (name === null || (again && this.data.required)) return;
    this.marks.choose(again ? null : name, (value) => this.send("chosen", value));
  }

  /** Keeps the mark of what was looked for, and brings it into view. */
  keep(name) {
    this.marks.choose(name, (value) => this.send("chosen", value), true);
  }

  say(text) {
    this.spoken.textContent = text;
  }

  end() {
    this.resized.disconnect();
    for (const { parts } of this.canvases) parts.forEach((one) => one.remove());
    [this.tip, this.spoken].forEach((one) => one.remove());
    this.marks.end();
    this.glances.end();
    this.finder?.end();
    this.unheard?.();
  }
}

/** The view of a component, made when it is first shown; `view.close` ends it.
 *
 *  Streamlit also ends what newer data has taken the place of, and says so late and in any order:
 *  only what has left the page has ended.
 */
function viewOf(root, make) {
  root.view ??= make();
  root.view.close = () => {
    if (root.isConnected) return;
    root.view?.end();
    root.view = undefined;
  };
  return root.view;
}
