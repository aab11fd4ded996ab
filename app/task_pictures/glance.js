// An image of what is pointed at, asked of Python once a pointer rests there: see app/glances.py.

const LOOKS = "stg-explorer-looks", SEEN = "stg-explorer-seen";
const REST = 100; // milliseconds

class Glances {
  constructor(show) {
    this.heard = ({ detail }) => show(detail);
    window.addEventListener(SEEN, this.heard);
  }

  /** `of` says whose images they are; nothing is asked where there are none. */
  ask(of, name) {
    clearTimeout(this.waiting);
    if (!of || name === null) return;
    this.waiting = setTimeout(() => {
      window.dispatchEvent(new CustomEvent(LOOKS, { detail: { of, name } }));
    }, REST);
  }

  end() {
    clearTimeout(this.waiting);
    window.removeEventListener(SEEN, this.heard);
  }
}
