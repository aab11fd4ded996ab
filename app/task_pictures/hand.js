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

/** Calls `redraw` when a slider moves, which says whether it shows what the slider says, undefined
 *  where that has nothing to do with it; and when something was sent. The end of listening. */
function listen(redraw) {
  const slid = ({ detail }) => {
    const follows = redraw(detail.name);
    if (follows !== undefined) detail[follows ? "followed" : "left"] += 1;
  };
  const sent = () => redraw();
  window.addEventListener(SLID, slid);
  window.addEventListener(SENT, sent);
  return () => {
    window.removeEventListener(SLID, slid);
    window.removeEventListener(SENT, sent);
  };
}
