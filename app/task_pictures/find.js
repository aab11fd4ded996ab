// A box above the pictures of many tasks: what is typed there is found, marked everywhere and brought
// into view; Enter keeps the mark, and goes on to the next that is called so.

const FINDABLE = 40; // tasks: of fewer all are seen
const counting = (count) => count.toLocaleString("en-US");

/** Tasks whose names have a text in them: first the one that is called so, then those that begin so. */
function called(names, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const rank = (name) => (name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2);
  return names.map((name, i) => [name.toLowerCase(), i]).filter(([name]) => name.includes(wanted))
    .sort(([a, i], [b, j]) => rank(a) - rank(b) || i - j).map(([, i]) => names[i]);
}

class Finder {
  /** In `place`, for a view with `data.names`, `marks`, and `keep`, which keeps a mark. */
  constructor(place, view) {
    Object.assign(this, { place, view, found: [], at: 0 });
    this.input = element("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    this.told = element("output", { "aria-live": "polite" });
    const label = element("label", {}, "Find a task", this.input);
    place.replaceChildren(label, this.told);
    this.input.oninput = () => this.find();
    this.input.onkeydown = (event) => this.press(event);
    this.input.onblur = () => this.look(null);
  }

  /** Shows the box where there are so many tasks. */
  follow() {
    this.place.hidden = this.view.data.names.length <= FINDABLE;
  }

  find() {
    Object.assign(this, { found: called(this.view.data.names, this.input.value), at: 0 });
    this.look(this.found[0] ?? null);
    this.tell();
  }

  /** Keys are the box's own: Streamlit has meanings for some letters. */
  press(event) {
    event.stopPropagation();
    if (event.key === "Escape") {
      this.input.value = "";
      this.find();
    } else if (event.key === "Enter" && this.found.length) {
      event.preventDefault();
      const { chosen } = this.view.marks;
      if (chosen === this.found[this.at]) this.at = (this.at + 1) % this.found.length;
      if (chosen !== this.found[this.at]) this.view.keep(this.found[this.at]);
      this.look(this.found[this.at]);
      this.tell();
    }
  }

  look(name) {
    this.view.marks.hover(name, name !== null);
  }

  tell() {
    const { found, at } = this, typed = this.input.value.trim();
    if (!typed) this.told.textContent = "";
    else if (!found.length) this.told.textContent = "No task is called so.";
    else {
      const which = found.length === 1 ? "" : `${counting(at + 1)} of ${counting(found.length)}: `;
      this.told.textContent = `${which}${found[at]}`;
    }
  }

  end() {
    this.place.replaceChildren();
  }
}
