// One drawing, two back ends: the screen and PNG get a canvas, SVG gets text.

const GLYPHS = document.createElement("canvas").getContext("2d");

function fontOf(size, weight, family) {
  return `${weight} ${size}px ${family}`;
}

const WIDTHS = new Map(); // by font and text: a picture is drawn many times
let lettering = 0; // another number once letters have other widths
document.fonts.addEventListener("loadingdone", () => {
  WIDTHS.clear();
  lettering += 1;
});

function textWidth(text, size, weight, family) {
  const font = fontOf(size, weight, family), key = `${font} ${text}`;
  let width = WIDTHS.get(key);
  if (width === undefined) {
    if (WIDTHS.size > 20_000) WIDTHS.clear();
    GLYPHS.font = font;
    width = GLYPHS.measureText(text).width;
    WIDTHS.set(key, width);
  }
  return width;
}

function shortened(text, room, size, weight, family) {
  if (textWidth(text, size, weight, family) <= room) return text;
  let end = text.length;
  while (end > 1 && textWidth(text.slice(0, end) + "…", size, weight, family) > room) end -= 1;
  return text.slice(0, end) + "…";
}

/** Names as pictures show them: a mark follows that of a task whose place is uncertain. */
const namesOf = (data) => data.shown ?? data.names;
const nameOf = (data, i) => namesOf(data)[i];

/** The same where there is little room; the mark stays. */
function shortName(data, i, room, size, family) {
  const mark = nameOf(data, i).slice(data.names[i].length);
  const left = room - textWidth(mark, size, 400, family);
  return shortened(data.names[i], left, size, 400, family) + mark;
}

const MOST_SHAPES = 10_000; // cells that are shapes of their own in an SVG: of more it is an image
const CELLS = document.createElement("canvas");

/** An image of one pixel a cell, whose shades `shadeAt` tells, row after row. */
function imageOf(columns, rows, shadeAt, theme) {
  Object.assign(CELLS, { width: columns, height: rows });
  const context = CELLS.getContext("2d"), image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = theme.pixels[shadeAt(i)];
  context.putImageData(image, 0, 0);
  return CELLS;
}

function canvasPen(context, family) {
  let font;
  const finish = ({ fill, stroke, width = 1, opacity = 1 }) => {
    context.globalAlpha = opacity;
    if (fill) {
      context.fillStyle = fill;
      context.fill();
    }
    context.globalAlpha = 1;
    if (stroke) {
      context.strokeStyle = stroke;
      context.lineWidth = width;
      context.stroke();
    }
  };
  return {
    cell(x, y, w, h, fill) {
      context.fillStyle = fill;
      context.fillRect(x, y, w, h);
    },
    /** Shaded cells, row after row, as one image: thousands of rectangles take longer. */
    cells(x, y, [column, row], [columns, rows], gap, shadeAt, theme) {
      const [w, h] = [columns * column, rows * row];
      context.imageSmoothingEnabled = column < 1 || row < 1; // their mean, not one of many
      context.imageSmoothingQuality = "high";
      context.drawImage(imageOf(columns, rows, shadeAt, theme), x, y, w, h);
      context.fillStyle = theme.background;
      if (!gap) return;
      for (let j = 1; j <= columns; j += 1) context.fillRect(x + j * column - gap, y, gap, h);
      for (let i = 1; i <= rows; i += 1) context.fillRect(x, y + i * row - gap, w, gap);
    },
    rect(x, y, w, h, style) {
      context.beginPath();
      context.roundRect(x, y, w, h, style.radius ?? 0);
      finish(style);
    },
    circle(x, y, r, style) {
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      finish(style);
    },
    line(points, style) {
      context.beginPath();
      points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      finish(style);
    },
    text(x, y, text, { fill, size, weight = 400, align = "left", turn = 0 }) {
      const next = fontOf(size, weight, family);
      if (next !== font) context.font = font = next; // takes longer than the text
      context.textAlign = align;
      context.textBaseline = "middle";
      context.fillStyle = fill;
      if (!turn) return context.fillText(text, x, y);
      context.save();
      context.translate(x, y);
      context.rotate((turn * Math.PI) / 180);
      context.fillText(text, 0, 0);
      return context.restore();
    },
  };
}

function svgPen(width, height, background, family) {
  const parts = [];
  const round = (number) => String(Math.round(number * 100) / 100);
  const safe = (text) =>
    String(text).replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
  const shape = (name, geometry, { fill, stroke, width: line = 1, opacity = 1 }) => {
    const attributes = { ...geometry, fill: fill ?? "none" };
    if (opacity < 1) attributes["fill-opacity"] = opacity;
    if (stroke) Object.assign(attributes, { stroke, "stroke-width": line });
    const written = Object.entries(attributes).map(([key, value]) => {
      return `${key}="${typeof value === "number" ? round(value) : safe(value)}"`;
    });
    parts.push(`<${name} ${written.join(" ")}/>`);
  };
  const anchors = { left: "start", center: "middle", right: "end" };
  const pen = {
    cell: (x, y, w, h, fill) => shape("rect", { x, y, width: w, height: h }, { fill }),
    cells(x, y, [column, row], [columns, rows], gap, shadeAt, theme) {
      if (columns * rows > MOST_SHAPES) {
        const href = imageOf(columns, rows, shadeAt, theme).toDataURL();
        const size = { width: columns * column, height: rows * row };
        return shape("image", { x, y, ...size, href, preserveAspectRatio: "none" }, {});
      }
      for (let i = 0; i < columns * rows; i += 1) {
        const left = x + (i % columns) * column, top = y + Math.floor(i / columns) * row;
        pen.cell(left, top, column - gap, row - gap, theme.shades[shadeAt(i)]);
      }
    },
    rect: (x, y, w, h, style) =>
      shape("rect", { x, y, width: w, height: h, rx: style.radius ?? 0 }, style),
    circle: (x, y, r, style) => shape("circle", { cx: x, cy: y, r }, style),
    line: (points, style) =>
      shape("polyline", { points: points.map((p) => p.map(round).join(",")).join(" ") }, style),
    text(x, y, text, { fill, size, weight = 400, align = "left", turn = 0 }) {
      parts.push(
        `<text transform="translate(${round(x)} ${round(y)}) rotate(${turn})" dy="0.35em"` +
          ` fill="${safe(fill)}" font-size="${size}" font-weight="${weight}"` +
          ` text-anchor="${anchors[align]}">${safe(text)}</text>`,
      );
    },
    written: () =>
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${round(width)} ${round(height)}"` +
      ` width="${round(width)}" height="${round(height)}" font-family="${safe(family)}">\n` +
      `${parts.join("\n")}\n</svg>\n`,
  };
  pen.cell(0, 0, width, height, background);
  return pen;
}
