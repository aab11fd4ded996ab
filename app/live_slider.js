// A slider that is followed while it is moved. Where pictures can show what it says by themselves,
// Python hears of it when the hand rests, or the playing ends. Else Python is asked at every move:
// while one value is on its way, later ones wait, and only the last of them is sent after the
// answer, so that a fast drag makes no backlog. The thumb belongs to the hand that moves it: an
// answer that comes late must not pull it back.

const PATIENCE = 3000, REST = 300; // milliseconds
const STEP = { followed: 500, asked: 900 }; // milliseconds from one value to the next that is played
const DRAWN = 150; // milliseconds that Streamlit takes at most to draw what came with an answer

export default function ({ data, parentElement, setStateValue }) {
  const find = (what) => parentElement.querySelector(what);
  const range = find("input"), shown = find("output"), play = find("button"), help = find(".help");
  const tell = () => {
    shown.textContent = data.texts[range.value];
    range.setAttribute("aria-valuetext", data.texts[range.value]);
    range.followed = slide(data.name, data.values[range.value]);
  };
  const answered = () => {
    clearTimeout(range.patience);
    range.sent = undefined;
  };
  const tellAddressBar = () => window.dispatchEvent(new Event("stg-explorer-moved"));
  const drawn = () => setTimeout(() => {
    if (Number(range.value) === range.known) getAhead(data.name, false);
  }, DRAWN);
  const send = (rested) => {
    const wanted = Number(range.value);
    if (range.sent !== undefined) return;
    if (wanted === range.known) return drawn();
    range.sent = wanted;
    range.patience = setTimeout(() => {
      answered();
      tellAddressBar();
      if (Number(range.value) !== wanted) send();
    }, PATIENCE);
    setStateValue("moved", [wanted, rested, Date.now()]);
  };
  const rest = () => {
    clearTimeout(range.resting);
    range.resting = undefined;
    send(true);
  };
  const moved = () => {
    tell();
    clearTimeout(range.resting);
    range.resting = undefined;
    if (!range.followed) return send(false);
    getAhead(data.name, true);
    if (!range.timer) range.resting = setTimeout(rest, REST);
  };
  const stop = () => {
    const played = Boolean(range.timer);
    clearTimeout(range.timer);
    range.timer = null;
    play.textContent = "\u25B6";
    play.setAttribute("aria-label", `Play ${data.label}`);
    if (played) rest();
  };
  const goOn = () => {
    range.timer = setTimeout(advance, range.followed ? STEP.followed : STEP.asked);
  };
  const advance = () => {
    if (!range.followed && range.sent !== undefined) return goOn();
    if (Number(range.value) >= data.texts.length - 1) return stop();
    range.value = Number(range.value) + 1;
    moved();
    return goOn();
  };

  find("label").textContent = data.label;
  help.title = data.help;
  help.setAttribute("aria-label", data.help);
  range.max = data.texts.length - 1;
  range.disabled = data.disabled;
  play.hidden = !data.play;
  range.known = data.index;
  if (range.sent === data.index) {
    answered();
    tellAddressBar();
    // what came with the answer is drawn first
    if (range.resting === undefined && !range.timer) requestAnimationFrame(() => setTimeout(send));
  } else if (range.sent === undefined && range.resting === undefined && !range.timer) {
    range.value = data.index;
  }
  tell();
  drawn();
  if (!range.timer) stop();

  range.oninput = () => { stop(); moved(); };
  range.onblur = () => { if (range.resting !== undefined) rest(); };
  play.onclick = () => {
    if (range.timer) return stop();
    const ended = Number(range.value) >= data.texts.length - 1;
    range.value = ended ? 0 : Number(range.value) + 1;
    range.timer = true;
    moved();
    goOn();
    play.textContent = "\u23F8";
    play.setAttribute("aria-label", `Pause ${data.label}`);
  };
  return () => {
    if (range.isConnected) return; // Streamlit also ends what newer data has taken the place of
    clearTimeout(range.timer);
    range.timer = null;
    clearTimeout(range.resting);
    answered();
    delete hand.says[data.name];
    getAhead(data.name, false);
  };
}
