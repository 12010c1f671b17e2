// What is drawn, told and saved: functions that are given all they need.
"use strict";

const HUES = {for: [215, 25, 28], against: [44, 123, 182]};
const probabilityOf = (logit) => 1 / (1 + Math.exp(-logit));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function inWords(probability) {
  const steps = [[0.01, "almost surely no crack"], [0.1, "very likely no crack"], [0.35, "rather no crack"],
    [0.65, "as likely a crack as not"], [0.9, "rather a crack"], [0.99, "very likely a crack"]];
  const found = steps.find(([limit]) => probability < limit);
  return found ? found[1] : "almost surely a crack";
}
function inPercent(probability) {
  if (probability > 0.999) return "over 99.9\u00a0%";
  if (probability < 0.001) return "under 0.1\u00a0%";
  return `${(100 * probability).toFixed(probability > 0.99 || probability < 0.01 ? 1 : 0)}\u00a0%`;
}

function outline(context, box, colour, line) {
  context.lineWidth = line + 2;
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.strokeRect(...box);
  context.lineWidth = line;
  context.strokeStyle = colour;
  context.strokeRect(...box);
}

function crossOut(context, [x, y, wide, tall]) {
  for (const [line, colour] of [[3, "rgba(0, 0, 0, 0.6)"], [1, "#ffffff"]]) {
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(x + 2, y + 2);
    context.lineTo(x + wide - 2, y + tall - 2);
    context.moveTo(x + wide - 2, y + 2);
    context.lineTo(x + 2, y + tall - 2);
    context.stroke();
  }
}

function paintScale(context, zoom, mm, tall) {
  if (!mm) return;
  const across = context.canvas.width, wish = (0.25 * across * mm) / zoom, power = 10 ** Math.floor(Math.log10(wish));
  const length = [5, 2, 1].map((n) => n * power).find((n) => n <= wish), wide = (length / mm) * zoom;
  const y = tall - 14;
  context.fillStyle = "rgba(0, 0, 0, 0.75)";
  context.fillRect(8, y - 22, wide + 16, 34);
  context.fillStyle = "#ffffff";
  context.fillRect(16, y, wide, 4);
  context.font = "14px sans-serif";
  context.fillText(`${length} mm`, 16, y - 6);
}

// Of each window at most 32 x 32 cells are kept to be drawn, each the strongest of its block.
function fewerCells({map, rows, columns}) {
  if (!map) return {};
  const block = Math.ceil(Math.max(rows, columns) / 32), h = Math.ceil(rows / block), w = Math.ceil(columns / block);
  const cells = new Float32Array(h * w);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const at = ((i / block) | 0) * w + ((j / block) | 0), value = map[i * columns + j];
      if (Math.abs(value) > Math.abs(cells[at])) cells[at] = value;
    }
  const span = cells.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return {cells, h, w, span};
}

// A map as a picture: red speaks for a crack, blue against it, opaque in proportion.
function coloured(cells, h, w, span, opacity) {
  const canvas = document.createElement("canvas"), image = new ImageData(w, h);
  cells.forEach((value, n) => {
    image.data.set(value > 0 ? HUES.for : HUES.against, 4 * n);
    image.data[4 * n + 3] = 255 * opacity * Math.min(1, Math.abs(value) / span);
  });
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function wrapped(context, text, wide) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (context.measureText(longer).width > wide) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

// The photograph with all that is drawn on it, and below it what is said.
function savePicture(view) {
  if (!view.picture) return;
  const zoom = Math.min(1, 2000 / view.picture.width), wide = Math.max(480, Math.round(view.picture.width * zoom));
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d"), tall = view.picture.height * zoom;
  const texts = [$("answer").textContent, $("warning").textContent, $("scale").textContent,
    `${facts.network}, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC. No tool for deciding whether a structure is safe.`];
  context.font = "16px sans-serif";
  const lines = texts.filter(Boolean).flatMap((text) => wrapped(context, text, wide - 24));
  canvas.width = wide;
  canvas.height = Math.round(tall) + 22 * lines.length + 24;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  view.paint(context, zoom);
  const {x, y, size} = view.square, {found} = view;
  if (found && found.map && !view.windows.length) {
    const span = found.map.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const map = coloured(found.map, found.rows, found.columns, span || 1, +$("opacity").value);
    context.drawImage(map, x * zoom, y * zoom, size * zoom, size * zoom);
  }
  context.fillStyle = "#1b1f24";
  context.font = "16px sans-serif";
  lines.forEach((line, n) => context.fillText(line, 12, Math.round(tall) + 26 + 22 * n));
  canvas.toBlob((blob) => {
    if (!blob) return view.say("The picture could not be saved: too little memory. Take a smaller photograph.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${view.name.replace(/\.\w+$/, "")}-crackviz.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    view.saved = blob.size;
  }, "image/png");
}
