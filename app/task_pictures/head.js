// Head of a picture: its title, left of the buttons that save it, and a note below; on a narrow
// screen in as many lines as they need. What stands below it moves down by `more`.

const TITLE = { size: 15, weight: 600 };
const NOTE = { size: 11.5, weight: 400 };
const BUTTONS = 92, TITLE_LINE = 20, NOTE_LINE = 15; // pixels

/** Lines of a text that are no wider than the room; a word that is wider alone is shortened. */
function wrapped(text, room, { size, weight = 400 }, theme) {
  const style = [size, weight, theme.family], lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && textWidth(longer, ...style) <= room) lines[lines.length - 1] = longer;
    else lines.push(shortened(word, room, ...style));
  }
  return lines;
}

function headOf(title, note, width, theme) {
  const titles = wrapped(title, width - BUTTONS, TITLE, theme);
  const notes = note ? wrapped(note, width, NOTE, theme) : [];
  const more = TITLE_LINE * (titles.length - 1) + NOTE_LINE * Math.max(notes.length - 1, 0);
  return { titles, notes, more };
}

function drawHead(pen, { titles, notes }, theme) {
  const below = 10 + TITLE_LINE * titles.length;
  titles.forEach((line, i) => {
    pen.text(0, 10 + TITLE_LINE * i, line, { ...TITLE, fill: theme.text });
  });
  notes.forEach((line, i) => {
    pen.text(0, below + NOTE_LINE * i, line, { ...NOTE, fill: theme.faint });
  });
}
