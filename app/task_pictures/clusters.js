// One card per cluster: its tasks with their shares, the most typical first.

const FEW = 12, FEWER = 6, MANY = 300; // tasks that a card shows before it is unfolded; of many tasks
const FIRST = 24; // cards that are there before all are shown

function aboutMembers(names) {
  if (!names.length) return ["No task belongs most to this cluster."];
  const typical = [`Most typical: ${names[0]}`];
  return names.length === 1 ? typical : [...typical, `Least typical: ${names.at(-1)}`];
}

class Cards {
  constructor(root) {
    Object.assign(this, { root, unfolded: new Set(), all: false });
    this.marks = new Marks("tasks", (name, closely) => this.mark(name, closely));
    this.finder = new Finder(root.querySelector(".find"), this);
    this.unheard = followSliders(this);
  }

  show(message, send) {
    Object.assign(this, { told: read(message), send });
    const before = this.marks.chosen;
    this.marks.follow(this.told.chosen);
    this.turn();
    if (this.marks.chosen !== before) this.reveal(this.marks.chosen);
  }

  /** As `View.turn`. */
  turn(data = this.turned(this.told)) {
    this.data = data;
    this.finder.follow();
    this.draw();
  }

  draw() {
    const { colours, names } = this.data, count = this.all ? colours.length : FIRST;
    this.few = names.length > MANY ? FEWER : FEW;
    const cards = colours.slice(0, count).map((colour, j) => this.card(colour, j));
    this.root.querySelector(".cards").replaceChildren(...cards);
    const rest = this.root.querySelector(".rest");
    rest.hidden = colours.length <= FIRST;
    rest.textContent = this.all ? `Show the first ${FIRST} clusters`
      : `Show all ${colours.length} clusters`;
    rest.onclick = () => {
      this.all = !this.all;
      this.draw();
    };
    this.mark();
  }

  turned(told) {
    return grouped(told);
  }

  /** The tasks of cluster j with their shares, the most typical first. */
  members(j) {
    const { order, labels, names, values, k } = this.data;
    return order.filter((task) => labels[task] === j).map((i) => [names[i], values[i * k + j]]);
  }

  card(colour, j) {
    const tasks = this.members(j), about = aboutMembers(tasks.map(([name]) => name));
    const number = element("span", { class: "number" }, String(j + 1));
    number.style.background = colour;
    number.style.color = inkOn(colour);
    const count = `${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}`;
    const made = element("section", { class: "card", "aria-label": `Cluster ${j + 1}` });
    made.style.borderTopColor = colour;
    made.append(element("h2", {}, number, count));
    made.append(...about.map((line) => element("p", {}, line)));
    made.append(this.list(tasks.slice(0, this.few), colour));
    if (tasks.length > this.few) made.append(this.folded(tasks, colour, j));
    return made;
  }

  /** The other tasks of cluster j, made when they are first asked for. */
  folded(tasks, colour, j) {
    const summary = element("summary", {}), more = element("details", {}, summary);
    const turn = () => {
      this.unfolded[more.open ? "add" : "delete"](j);
      summary.textContent = more.open ? "Show fewer" : `Show all ${tasks.length}`;
      if (!more.open || more.childElementCount > 1) return;
      more.append(this.list(tasks.slice(this.few), colour));
      this.mark();
    };
    more.open = this.unfolded.has(j);
    turn();
    more.ontoggle = turn;
    return more;
  }

  list(tasks, colour) {
    const place = new Map(this.data.names.map((name, i) => [name, i]));
    return element("ul", {}, ...tasks.map(([name, share]) => {
      const shown = nameOf(this.data, place.get(name));
      const bar = element("span", { class: "bar" });
      bar.style.width = `${100 * share}%`;
      bar.style.background = colour;
      const value = element("span", { class: "share" }, share.toFixed(2));
      const task = element("button", { type: "button" }, element("span", {}, shown), value, bar);
      task.value = name;
      task.onpointerenter = task.onfocus = () => this.marks.hover(name);
      task.onpointerleave = task.onblur = () => this.marks.hover(null);
      task.onclick = () => this.choose(name);
      return element("li", {}, task);
    }));
  }

  choose(name) {
    const chosen = name === this.marks.chosen ? null : name;
    this.marks.choose(chosen, (value) => this.send("chosen", value));
  }

  keep(name) {
    this.marks.choose(name, (value) => this.send("chosen", value), true);
  }

  mark(name = null, closely = false) {
    if (closely && name !== null) this.reveal(name);
    for (const task of this.root.querySelectorAll("li button")) {
      task.classList.toggle("hovered", task.value === this.marks.hovered);
      task.setAttribute("aria-pressed", String(task.value === this.marks.chosen));
    }
  }

  /** Unfolds the card of a task, and brings it into view. */
  reveal(name) {
    const task = this.data?.names.indexOf(name) ?? -1;
    if (task < 0) return;
    const j = this.data.labels[task];
    const found = () => [...this.root.querySelectorAll("li button")].find((one) => one.value === name);
    if (!found()) {
      this.all ||= j >= FIRST;
      this.unfolded.add(j);
      this.draw();
    }
    found()?.scrollIntoView({ block: "nearest" });
  }

  end() {
    this.marks.end();
    this.finder.end();
    this.unheard();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new Cards(parentElement));
  view.show(data, setStateValue);
  return view.close;
}
