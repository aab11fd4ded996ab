// Memberships beside the map of the tasks, the quality of the grouping above them.

function showQuality(place, quality) {
  place.replaceChildren(...quality.map(([label, value, help]) => {
    const name = element("dt", { title: help, tabindex: "0", "aria-description": help }, label);
    return element("div", {}, name, element("dd", {}, value));
  }));
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

export default function ({ data, parentElement, setStateValue }) {
  const make = () => {
    const shown = [heatmap, map].filter(({ name }) => parentElement.querySelector(`.${name}`));
    return new View(parentElement, shown, "tasks");
  };
  const view = viewOf(parentElement, make);
  view.show(data, setStateValue);
  const find = (what) => parentElement.querySelector(what);
  if (find(".quality")) showQuality(find(".quality"), view.data.quality);
  if (find(".kinds")) showMaps(view, find(".kinds"));
  return view.close;
}
