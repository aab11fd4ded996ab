// One card per cluster: its tasks with their shares, the most typical first.

const FEW = 12; // tasks that a card shows before it is unfolded

function aboutMembers(names) {
  if (!names.length) return ["No task belongs most to this cluster."];
  const typical = [`Most typical: ${names[0]}`];
  return names.length === 1 ? typical : [...typical, `Least typical: ${names.at(-1)}`];
}

class Cards {
  constructor(root) {
    this.root = root;
    this.marks = new Marks("tasks", () => this.mark());
    this.unheard = followSliders(this);
  }

  show(message, send) {
    Object.assign(this, { told: read(message), send });
    this.marks.follow(this.told.chosen);
    this.turn();
  }

  /** As `View.turn`. */
  turn(data = this.turned(this.told)) {
    this.data = data;
    this.root.querySelector(".cards").replaceChildren(
      ...this.data.colours.map((colour, j) => this.card(colour, j)),
    );
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
    made.append(this.list(tasks.slice(0, FEW), colour));
    if (tasks.length > FEW) {
      const more = element("details", {}, element("summary", {}, `${tasks.length - FEW} more`));
      more.append(this.list(tasks.slice(FEW), colour));
      made.append(more);
    }
    return made;
  }

  list(tasks, colour) {
    return element("ul", {}, ...tasks.map(([name, share]) => {
      const shown = nameOf(this.data, this.data.names.indexOf(name));
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

  mark() {
    for (const task of this.root.querySelectorAll("li button")) {
      task.classList.toggle("hovered", task.value === this.marks.hovered);
      task.setAttribute("aria-pressed", String(task.value === this.marks.chosen));
    }
  }

  end() {
    this.marks.end();
    this.unheard();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new Cards(parentElement));
  view.show(data, setStateValue);
  return view.close;
}
