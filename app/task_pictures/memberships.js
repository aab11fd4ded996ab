// Memberships beside the map of the tasks, the quality of the grouping above them.

const AS_NUMBER = { minimumFractionDigits: 0, maximumFractionDigits: 0 };

/** Measures as they are written, a dash where there is no number. */
function written(value, digits) {
  if (value === null) return "–";
  return digits ? value.toFixed(digits) : value.toLocaleString("en-US", AS_NUMBER);
}

function showQuality(place, { measures, quality }) {
  if (place.childElementCount !== measures.length) {
    place.replaceChildren(...measures.map(({ title, help }) => {
      const name = element("dt", { title: help, tabindex: "0", "aria-description": help }, title);
      return element("div", {}, name, element("dd"));
    }));
  }
  place.querySelectorAll("dd").forEach((one, i) => {
    one.textContent = written(quality[measures[i].name], measures[i].digits);
  });
}

/** One button per kind of map; Python computes the positions. */
function showMaps(view, place) {
  const { maps, map } = view.data;
  if (place.childElementCount !== maps.length) {
    place.replaceChildren(...maps.map(([name, , help]) => {
      const button = element("button", { type: "button", role: "radio", title: help }, name);
      button.onclick = () => view.send("map", [button.value, Date.now()]);
      return button;
    }));
  }
  maps.forEach(([, value], i) => {
    place.children[i].value = value;
    place.children[i].setAttribute("aria-checked", String(value === map));
  });
}

class GroupingView extends View {
  constructor(root) {
    const pictures = [heatmap, map].filter(({ name }) => root.querySelector(`.${name}`));
    super(root, pictures, "tasks", (told) => grouped(told));
    this.unheard = followSliders(this);
  }

  draw() {
    super.draw();
    const quality = this.data && this.root.querySelector(".quality");
    if (quality) showQuality(quality, this.data);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, () => new GroupingView(parentElement));
  view.show(data, setStateValue);
  const kinds = parentElement.querySelector(".kinds");
  if (kinds) showMaps(view, kinds);
  return view.close;
}
