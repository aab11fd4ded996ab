// What the sliders of a page say now, by their names, whatever Python knows of it yet; and what was
// sent once to be drawn from whatever they say. There is one of it for all components of a page.

const SLID = "stg-explorer-slid", SENT = "stg-explorer-sent";

const hand = (window.stgExplorerHand ??= { says: {}, sent: new Map(), ahead: new Set() });

/** Notes what a slider says: whether all that is drawn of it follows, so that Python can wait. */
function slide(name, value) {
  if (hand.says[name] === value) return false;
  hand.says[name] = value;
  const event = new CustomEvent(SLID, { detail: { name, followed: 0, left: 0 } });
  window.dispatchEvent(event);
  return event.detail.followed > 0 && event.detail.left === 0;
}

/** Whether a slider is ahead of what Python says beside it, which is paler then (see style.css). */
function getAhead(name, ahead) {
  if (ahead) hand.ahead.add(name);
  else hand.ahead.delete(name);
  document.documentElement.toggleAttribute("data-hand-is-ahead", hand.ahead.size > 0);
}

/** Keeps what was sent under a name, for all pictures that are drawn from it. */
function keepSent(name, what) {
  hand.sent.set(name, what);
  window.dispatchEvent(new CustomEvent(SENT, { detail: name }));
}

/** Redraws a view when a slider that it `heeds` moves, where what was sent shows what it says; and
 *  when something was sent. A view has `told`, which names in `every` what is sent for it, `turned`
 *  (what follows of it for the sliders, and whether it `follows` them) and `turn`. The end of that. */
function follow(view, heeds) {
  const redrawn = () => {
    const data = view.turned(view.told);
    if (data.follows) view.turn(data);
    return data.follows;
  };
  const slid = ({ detail }) => {
    if (!view.told?.every || !heeds(detail.name)) return;
    detail[redrawn() ? "followed" : "left"] += 1;
  };
  const sent = ({ detail }) => {
    if (view.told?.every === detail) redrawn();
  };
  window.addEventListener(SLID, slid);
  window.addEventListener(SENT, sent);
  return () => {
    window.removeEventListener(SLID, slid);
    window.removeEventListener(SENT, sent);
  };
}
