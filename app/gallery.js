// Small pictures, of which one is chosen by a click, or by arrow keys within and Enter. What is drawn
// of a point follows at once where its answers were sent (see task_pictures/hand.js); Python hears of
// it meanwhile, and an answer of its to an older choice does not undo a newer one.

const DRAWN = 150; // milliseconds that Streamlit takes at most to draw what came with an answer
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".gallery");
  root.setAttribute("aria-label", data.label);
  const made = JSON.stringify(data.pictures.map(({ name }) => name));
  if (root.dataset.made !== made) {
    root.dataset.made = made;
    root.sent = undefined;
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
    const { at } = data.pictures[i];
    show(i); // at once, before Python has heard of it
    if (slide("point", at)) getAhead("point", true);
    root.sent = at;
    setTriggerValue("chosen", at);
  };
  root.onkeydown = (event) => {
    const now = all.indexOf(event.target);
    if (!(event.key in STEPS) || now < 0) return;
    event.preventDefault();
    all[(now + STEPS[event.key] + all.length) % all.length].focus();
  };
  if (root.sent === data.chosen) root.sent = undefined;
  if (root.sent === undefined) {
    show(data.pictures.findIndex(({ at }) => at === data.chosen));
    slide("point", data.chosen);
    setTimeout(() => {
      if (root.sent === undefined) getAhead("point", false);
    }, DRAWN);
  }
  return () => {
    if (root.isConnected) return; // Streamlit also ends what newer data has taken the place of
    delete hand.says.point;
    getAhead("point", false);
  };
}
