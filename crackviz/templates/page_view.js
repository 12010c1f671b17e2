// What is seen and touched: the picture with its square, the answer, the map, the ruler, the saved picture.
"use strict";

const LARGEST = 64e6;  // pixels; phones end somewhere here
const HUES = {for: [215, 25, 28], against: [44, 123, 182]};
const DRAWN = "drawn-wall.jpg";
const $ = (id) => document.getElementById(id);
const probabilityOf = (logit) => 1 / (1 + Math.exp(-logit));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function inWords(probability) {
  const steps = [[0.01, "almost surely no crack"], [0.1, "very likely no crack"], [0.35, "rather no crack"],
    [0.65, "as likely a crack as not"], [0.9, "rather a crack"], [0.99, "very likely a crack"]];
  const found = steps.find(([limit]) => probability < limit);
  return found ? found[1] : "almost surely a crack";
}
function inPercent(probability) {
  if (probability > 0.999) return "over 99.9 %";
  if (probability < 0.001) return "under 0.1 %";
  return `${(100 * probability).toFixed(probability > 0.99 || probability < 0.01 ? 1 : 0)} %`;
}

class View {
  constructor(pool) {
    Object.assign(this, {pool, picture: null, square: null, found: null, windows: [], ruler: null, round: 0, touches: new Map()});
    $("threshold").value = facts.threshold;
    $("threshold").step = "any";
    for (const id of ["camera", "file"]) $(id).addEventListener("change", () => this.choose($(id).files[0]));
    $("example").addEventListener("click", () => this.choose(this.example()));
    $("size").addEventListener("input", () => this.resize(+$("size").value));
    $("whole").addEventListener("click", () => this.askWhole());
    $("stop").addEventListener("click", () => this.stop());
    $("save").addEventListener("click", () => this.save());
    $("rule").addEventListener("change", () => this.draw());
    for (const id of ["opacity", "threshold", "length"]) $(id).addEventListener("input", () => this.show());
    window.addEventListener("resize", () => this.draw());
    this.listen($("picture"));
  }

  listen(canvas) {
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.picture) return;
      canvas.setPointerCapture(event.pointerId);
      this.touches.set(event.pointerId, this.place(event));
      if ($("rule").checked && this.touches.size === 1) this.ruler = {from: this.place(event), to: this.place(event)};
      this.grip = {spread: this.spread(), size: this.square.size};
      if (!$("rule").checked && this.touches.size === 1) this.moveTo(this.place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.touches.has(event.pointerId)) return;
      this.touches.set(event.pointerId, this.place(event));
      if (this.touches.size > 1) this.resize((this.grip.size * this.spread()) / Math.max(1, this.grip.spread), true);
      else if ($("rule").checked) { this.ruler.to = this.place(event); this.show(); }
      else this.moveTo(this.place(event));
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => {
      if (this.touches.delete(event.pointerId) && !this.touches.size && !$("rule").checked) this.ask();
    });
    canvas.addEventListener("wheel", (event) => {
      if (!this.picture || !event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      this.resize(this.square.size * (event.deltaY > 0 ? 1.1 : 1 / 1.1));
    }, {passive: false});
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (!this.picture) return;
    const step = this.square.size / (event.shiftKey ? 32 : 4), {x, y, size} = this.square;
    const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
    if (moves[event.key]) {
      this.moveTo([x + size / 2 + moves[event.key][0], y + size / 2 + moves[event.key][1]]);
      this.askSoon();
    } else if ("+-".includes(event.key)) this.resize(size * (event.key === "+" ? 1.25 : 0.8));
    else return;
    event.preventDefault();
  }

  place(event) {
    const box = $("picture").getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.picture.width,
      ((event.clientY - box.top) / box.height) * this.picture.height];
  }

  spread() {
    const [a, b] = [...this.touches.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 1;
  }

  // --- the picture and its square ---------------------------------------------------------------------------------

  example() {
    const bytes = Uint8Array.from(atob($("drawn").textContent.trim()), (letter) => letter.charCodeAt(0));
    return new File([bytes], DRAWN, {type: "image/jpeg"});
  }

  say(text) { $("message").textContent = text; }
  refuse(text) {
    this.say(text);
    for (const id of ["camera", "file", "example", "whole"]) $(id).disabled = true;
  }

  async choose(file) {
    if (!file) return;
    this.stop();
    this.say("");
    const address = URL.createObjectURL(file);
    try {
      const size = await new Promise((resolve, reject) => {  // known before it is decoded whole
        const image = new Image();
        image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
        image.onerror = reject;
        image.src = address;
      });
      if (size[0] * size[1] > LARGEST) {
        const millions = Math.round((size[0] * size[1]) / 1e6);
        return this.say(`This picture has ${millions} megapixels; up to ${LARGEST / 1e6} fit here. Cut it, or take it with fewer.`);
      }
      if (Math.min(...size) < 32)
        return this.say(`This picture is ${size[0]} × ${size[1]} pixels; take one of at least 32 × 32.`);
      if (this.picture) this.picture.close();
      this.picture = await createImageBitmap(file, {imageOrientation: "from-image", colorSpaceConversion: "none"});
    } catch (error) {
      return this.say("This file can't be read as a picture here. Take a JPEG or PNG file, or photograph anew.");
    } finally {
      URL.revokeObjectURL(address);
    }
    this.begin(file.name);
  }

  begin(name) {
    const {width, height} = this.picture, short = Math.min(width, height);
    Object.assign(this, {name, found: null, windows: [], ruler: null, overlay: null});
    $("work").hidden = false;
    $("size").min = Math.min(32, short);
    $("size").max = short;
    const size = Math.round(clamp(short / 4, Math.min(short, facts.side), short));
    this.square = name === DRAWN ? {...facts.drawn} :
      {x: Math.round((width - size) / 2), y: Math.round((height - size) / 2), size};
    this.resize(this.square.size);
  }

  moveTo([x, y]) {
    const {size} = this.square, {width, height} = this.picture;
    this.square.x = Math.round(clamp(x - size / 2, 0, width - size));
    this.square.y = Math.round(clamp(y - size / 2, 0, height - size));
    this.found = null;
    this.draw();
  }

  resize(size, held = false) {
    const {x, y, size: old} = this.square;
    this.square.size = Math.round(clamp(size, +$("size").min, +$("size").max));
    $("size").value = this.square.size;
    this.moveTo([x + old / 2, y + old / 2]);
    if (!held) this.askSoon();
  }

  askSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), 120);
  }

  // The pixels of a square, laid on white where they are transparent; a small canvas, as large ones fail on phones.
  pixels({x, y, size}) {
    const canvas = this.cut || (this.cut = document.createElement("canvas"));
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d", {willReadFrequently: true, alpha: true});
    context.fillStyle = "white";
    context.fillRect(0, 0, size, size);
    context.drawImage(this.picture, x, y, size, size, 0, 0, size, size);
    return withoutAlpha(context.getImageData(0, 0, size, size).data);
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  async ask() {
    const square = {...this.square}, round = ++this.round;
    try {
      const found = await this.pool.ask({pixels: this.pixels(square), size: square.size});
      if (round !== this.round) return null;  // moved on since
      this.found = {...found, square};
    } catch (error) {
      this.say("This square could not be computed. Close other pages, or take a smaller picture.");
      return null;
    }
    this.show();
    return this.found;
  }

  async askWhole(keep = false) {
    this.stop();
    const {width, height} = this.picture, {size} = this.square, all = windowsOf(width, height, size);
    const run = this.run = {stopped: false};
    this.windows = [];
    $("stop").hidden = $("progress").hidden = false;
    $("whole").disabled = true;
    $("progress").max = all.length;
    let next = 0, last = performance.now();
    const work = async () => {
      while (next < all.length && !run.stopped) {
        const {left, top} = all[next++];
        const found = await this.pool.ask({pixels: this.pixels({x: left, y: top, size}), size});
        if (run.stopped) return;
        this.windows.push({left, top, size, logit: found.logit, strange: found.strange, ...this.fewer(found, keep)});
        $("progress").value = this.windows.length;
        if (performance.now() - last > 400) { last = performance.now(); this.show(); }
      }
    };
    try {
      await Promise.all(Array.from({length: 2 * Math.max(1, this.pool.workers.length)}, work));
    } catch (error) {
      this.say("The photograph could not be computed to its end. Close other pages, or take a smaller one.");
    }
    if (run.stopped) return null;
    this.stop();
    this.show();
    return this.windows;
  }

  stop() {
    if (this.run) this.run.stopped = true;
    $("stop").hidden = $("progress").hidden = true;
    $("whole").disabled = false;
  }

  // Of each window at most 32 x 32 cells are kept to be drawn, each the strongest of its block.
  fewer({map, rows, columns}, keep) {
    if (!map) return {};
    const block = Math.ceil(Math.max(rows, columns) / 32), h = Math.ceil(rows / block), w = Math.ceil(columns / block);
    const cells = new Float32Array(h * w);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        const at = ((i / block) | 0) * w + ((j / block) | 0), value = map[i * columns + j];
        if (Math.abs(value) > Math.abs(cells[at])) cells[at] = value;
      }
    return keep ? {cells, h, w, map} : {cells, h, w};
  }

  // --- showing -----------------------------------------------------------------------------------------------------

  show() {
    this.tell();
    this.draw();
    this.drawPatch();
  }

  tell() {
    const threshold = +$("threshold").value, said = [];
    $("threshold-value").textContent = threshold.toFixed(2);
    $("opacity-value").textContent = `${Math.round(100 * $("opacity").value)} %`;
    if (this.found) {
      const p = probabilityOf(this.found.logit);
      said.push(`The square: ${inWords(p)}. Probability ${inPercent(p)}; from ${threshold.toFixed(2)} on it is called ` +
        `a crack, so here: ${p >= threshold ? "crack" : "no crack"}.`);
    }
    if (this.windows.length) {
      const cracked = this.windows.filter((one) => probabilityOf(one.logit) >= threshold);
      const surest = this.windows.reduce((a, b) => (b.logit > a.logit ? b : a));
      said.push(`The photograph: ${cracked.length} of ${this.windows.length} windows are called cracks. The surest ` +
        `begins ${surest.left} pixels from the left and ${surest.top} from the top: ${inPercent(probabilityOf(surest.logit))}.`);
    }
    $("answer").textContent = said.join(" ");
    const strange = this.found ? this.found.strange : [];
    const odd = this.windows.filter((one) => one.strange.length).length;
    const warnings = [];
    if (strange.length) warnings.push(`Unlike anything seen: this square is ${strange.join(" and ")} than the pictures ` +
      "it was compared with. Don't trust the answer.");
    if (this.found && this.found.square.size < facts.side) warnings.push(`The square has ${this.found.square.size} pixels ` +
      `a side and was enlarged to ${facts.side}: fine cracks may be missing.`);
    if (odd) warnings.push(`${odd} windows are unlike anything seen.`);
    $("warning").textContent = warnings.join(" ");
    $("warning").hidden = !warnings.length;
    this.tellScale();
  }

  get mmPerPixel() {
    if (!this.ruler || !(+$("length").value > 0)) return 0;
    const {from, to} = this.ruler, pixels = Math.hypot(from[0] - to[0], from[1] - to[1]);
    return pixels >= 2 ? +$("length").value / pixels : 0;
  }

  tellScale() {
    const mm = this.mmPerPixel, square = this.square ? this.square.size : 0;
    $("scale").textContent = mm
      ? `One pixel is ${mm.toPrecision(2)} mm wide; the square is ${(mm * square).toPrecision(3)} mm wide.`
      : $("rule").checked ? "Draw a line along the ruler in the picture, and say how long it is." : "";
  }

  draw() {
    if (!this.picture) return;
    const canvas = $("picture"), {width, height} = this.picture, ratio = Math.min(window.devicePixelRatio || 1, 2);
    const wide = Math.min(canvas.parentElement.clientWidth, ((window.innerHeight * 0.7) / height) * width);
    canvas.style.width = `${wide}px`;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round((wide * ratio * height) / width);
    this.paint(canvas.getContext("2d"), canvas.width / width);
    const {x, y, size} = this.square;
    canvas.setAttribute("aria-label",
      `The picture ${this.name}, ${width} by ${height} pixels. The square is ${size} pixels wide, ${x} from the left, ${y} from the top.`);
    $("size-value").textContent = `${size} pixels`;
    this.tellScale();
  }

  // The picture with the maps of windows, the square, the ruler and the scale.
  paint(context, zoom) {
    const {width, height} = this.picture, threshold = +$("threshold").value;
    context.drawImage(this.picture, 0, 0, width * zoom, height * zoom);
    const span = this.windows.reduce((most, one) => Math.max(most, ...(one.cells || []).map(Math.abs)), 0);
    for (const one of this.windows) {
      const box = [one.left * zoom, one.top * zoom, one.size * zoom, one.size * zoom];
      if (one.cells && span) context.drawImage(this.coloured(one.cells, one.h, one.w, span), ...box);
      if (probabilityOf(one.logit) >= threshold) this.outline(context, box, "#ffd54a", 2);
    }
    const {x, y, size} = this.square;
    this.outline(context, [x * zoom, y * zoom, size * zoom, size * zoom], "#ffffff", 3);
    if (this.ruler) {
      context.lineWidth = 3;
      context.strokeStyle = "#00e5ff";
      context.beginPath();
      context.moveTo(...this.ruler.from.map((v) => v * zoom));
      context.lineTo(...this.ruler.to.map((v) => v * zoom));
      context.stroke();
    }
    this.paintScale(context, zoom);
  }

  outline(context, box, colour, line) {
    context.lineWidth = line + 2;
    context.strokeStyle = "rgba(0, 0, 0, 0.75)";
    context.strokeRect(...box);
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.strokeRect(...box);
  }

  paintScale(context, zoom) {
    const mm = this.mmPerPixel;
    if (!mm) return;
    const across = context.canvas.width, wish = (0.25 * across * mm) / zoom, power = 10 ** Math.floor(Math.log10(wish));
    const length = [5, 2, 1].map((n) => n * power).find((n) => n <= wish), wide = (length / mm) * zoom;
    const y = this.picture.height * zoom - 14;
    context.fillStyle = "rgba(0, 0, 0, 0.75)";
    context.fillRect(8, y - 22, wide + 16, 34);
    context.fillStyle = "#ffffff";
    context.fillRect(16, y, wide, 4);
    context.font = "14px sans-serif";
    context.fillText(`${length} mm`, 16, y - 6);
  }

  // A map as a picture: red speaks for a crack, blue against it, opaque in proportion.
  coloured(cells, h, w, span) {
    const canvas = document.createElement("canvas"), image = new ImageData(w, h), opacity = +$("opacity").value;
    cells.forEach((value, n) => {
      image.data.set(value > 0 ? HUES.for : HUES.against, 4 * n);
      image.data[4 * n + 3] = 255 * opacity * Math.min(1, Math.abs(value) / span);
    });
    canvas.width = w;
    canvas.height = h;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  drawPatch() {
    const canvas = $("patch"), context = canvas.getContext("2d"), found = this.found;
    canvas.parentElement.hidden = !found;
    if (!found) return;
    canvas.width = canvas.height = 512;
    const {x, y, size} = found.square;
    context.drawImage(this.picture, x, y, size, size, 0, 0, 512, 512);
    if (!found.map) return;
    const span = found.map.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (span) context.drawImage(this.coloured(found.map, found.rows, found.columns, span), 0, 0, 512, 512);
    const sums = found.map.reduce(([plus, minus], v) => (v > 0 ? [plus + v, minus] : [plus, minus + v]), [0, 0]);
    const text = `Full colour is ${span.toPrecision(2)} logits in a cell. For a crack the cells add up to ` +
      `${sums[0].toFixed(2)}, against it to ${sums[1].toFixed(2)}; with the bias of ${(found.logit - sums[0] - sums[1]).toFixed(2)} ` +
      `that is the logit, ${found.logit.toFixed(2)}.`;
    $("sum").textContent = text;
    canvas.setAttribute("aria-label", `The square with its map. ${text}`);
  }

  // --- saving ------------------------------------------------------------------------------------------------------

  save() {
    if (!this.picture) return;
    const zoom = Math.min(1, 2000 / this.picture.width), wide = Math.max(480, Math.round(this.picture.width * zoom));
    const canvas = document.createElement("canvas"), context = canvas.getContext("2d"), tall = this.picture.height * zoom;
    const texts = [$("answer").textContent, $("warning").textContent, $("scale").textContent,
      `${facts.network}, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC. No tool for deciding whether a structure is safe.`];
    context.font = "16px sans-serif";
    const lines = texts.filter(Boolean).flatMap((text) => this.wrapped(context, text, wide - 24));
    canvas.width = wide;
    canvas.height = Math.round(tall) + 22 * lines.length + 24;
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.paint(context, zoom);
    const {x, y, size} = this.square, found = this.found;
    if (found && found.map && !this.windows.length) {
      const span = found.map.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      if (span) context.drawImage(this.coloured(found.map, found.rows, found.columns, span), x * zoom, y * zoom, size * zoom, size * zoom);
    }
    context.fillStyle = "#1b1f24";
    context.font = "16px sans-serif";
    lines.forEach((line, n) => context.fillText(line, 12, Math.round(tall) + 26 + 22 * n));
    canvas.toBlob((blob) => {
      if (!blob) return this.say("The picture could not be saved: too little memory. Take a smaller photograph.");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.name.replace(/\.\w+$/, "")}-crackviz.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      this.saved = blob.size;
    }, "image/png");
  }

  wrapped(context, text, wide) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const longer = `${lines[lines.length - 1]} ${word}`.trim();
      if (context.measureText(longer).width > wide) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines;
  }
}
