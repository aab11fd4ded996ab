// Small pictures, of which one is chosen by a click, or by arrow keys within and Enter.

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".gallery");
  root.setAttribute("aria-label", data.label);
  const made = JSON.stringify(data.pictures.map(({ name }) => name));
  if (root.dataset.made !== made) {
    root.dataset.made = made;
    root.replaceChildren(...data.pictures.map(({ image, name }, i) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", title: name, onclick: () => root.choose(i) });
      button.setAttribute("role", "radio");
      button.setAttribute("aria-label", name);
      const picture = document.createElement("img");
      Object.assign(picture, { src: image, alt: "" });
      button.append(picture);
      return button;
    }));
  }
  const all = [...root.children];
  const show = (chosen) => all.forEach((button, i) => {
    button.setAttribute("aria-checked", String(i === chosen));
    button.tabIndex = i === Math.max(chosen, 0) ? 0 : -1;
  });
  root.choose = (i) => {
    show(i); // at once, before Python has heard of it
    setTriggerValue("chosen", data.pictures[i].at);
  };
  root.onkeydown = (event) => {
    const now = all.indexOf(event.target);
    if (!(event.key in STEPS) || now < 0) return;
    event.preventDefault();
    all[(now + STEPS[event.key] + all.length) % all.length].focus();
  };
  show(data.pictures.findIndex(({ at }) => at === data.chosen));
}
