// What is seen and touched: the picture with its square, the answer, the map, the ruler, the saved picture.
"use strict";

const LARGEST = 64e6;  // pixels; phones end somewhere here
const DRAWN = "drawn-wall.jpg";
const $ = (id) => document.getElementById(id);
function refuse(text) {
  $("message").textContent = text;
  for (const id of ["camera", "file", "example", "whole"]) $(id).disabled = true;
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
    $("stop").addEventListener("click", () => { this.stop(); this.show(); });
    $("save").addEventListener("click", () => savePicture(this));
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
    } else if (event.key === "Enter" && $("rule").checked) this.ruleHere([x + size / 2, y + size / 2]);
    else if ("+-".includes(event.key)) this.resize(size * (event.key === "+" ? 1.25 : 0.8));
    else return;
    event.preventDefault();
  }

  // The ruler by keys: Enter where the square is begins the line, a second time it ends it.
  ruleHere(place) {
    const begun = this.ruler && this.ruler.open;
    this.ruler = begun ? {from: this.ruler.from, to: place} : {from: place, to: place, open: true};
    this.show();
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

  async choose(file) {
    if (!file) return;
    this.stop();
    this.say("");
    const address = URL.createObjectURL(file), number = this.chosen = (this.chosen || 0) + 1;
    let millions = 0;
    try {
      const size = await new Promise((resolve, reject) => {  // known before it is decoded whole
        const image = new Image();
        image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
        image.onerror = reject;
        image.src = address;
      });
      millions = Math.ceil((size[0] * size[1]) / 1e6);
      if (size[0] * size[1] > LARGEST)
        return this.say(`This picture has ${millions} megapixels; up to ${LARGEST / 1e6} fit here. Cut it, or take it with fewer.`);
      if (Math.min(...size) < 32)
        return this.say(`This picture is ${size[0]} × ${size[1]} pixels; take one of at least 32 × 32.`);
      const picture = await createImageBitmap(file, {imageOrientation: "from-image", colorSpaceConversion: "none"});
      if (number !== this.chosen) return picture.close();  // another one was chosen since
      if (this.picture) this.picture.close();
      this.picture = picture;
    } catch (error) {
      return this.say(millions
        ? `This device can't hold a picture of ${millions} megapixels. Take one with fewer.`
        : "This file can't be read as a picture here. Take a JPEG or PNG file, or photograph anew.");
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
    Object.assign(this, {windows: [], total: all.length});
    $("stop").hidden = $("progress").hidden = false;
    $("whole").disabled = true;
    $("progress").max = all.length;
    let next = 0, last = performance.now();
    const work = async () => {
      while (next < all.length && !run.stopped) {
        const {left, top} = all[next++];
        const found = await this.pool.ask({pixels: this.pixels({x: left, y: top, size}), size});
        if (run.stopped) return;
        this.windows.push({left, top, size, logit: found.logit, unlike: found.unlike, ...fewerCells(found), map: keep ? found.map : null});
        $("progress").value = this.windows.length;
        if (performance.now() - last > 1000) { last = performance.now(); this.draw(); }
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
      const part = this.windows.length < this.total ? `, asked about in part (${this.total} windows)` : "";
      said.push(`The photograph${part}: ${cracked.length} of ${this.windows.length} windows are called cracks. The surest ` +
        `begins ${surest.left} pixels from the left and ${surest.top} from the top: ${inPercent(probabilityOf(surest.logit))}.`);
    }
    $("answer").textContent = said.join(" ");
    const odd = this.windows.filter((one) => one.unlike).length, warnings = [];
    if (this.found && this.found.unlike) {
      const times = (this.found.away / facts.usual.limit).toPrecision(2), {differs} = this.found;
      warnings.push(`Unlike anything seen: this square lies ${times} times as far from usual concrete as is let pass` +
        `${differs.length ? `; it is ${differs.join(", ")}` : ""}. Don't trust the answer.`);
    }
    if (this.found && this.found.square.size < facts.side) warnings.push(`The square has ${this.found.square.size} pixels ` +
      `a side and was enlarged to ${facts.side}: fine cracks may be missing.`);
    if (odd) warnings.push(`Crossed out: ${odd} of ${this.windows.length} windows, unlike anything seen.`);
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
      : $("rule").checked ? "Draw a line along the ruler in the picture, and say how long it is. By keys: move the square to one end, press Enter, then to the other." : "";
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

  // The picture as large as it is shown, kept: drawing a photograph of 12 megapixels at every step takes too long.
  reduced(wide, tall) {
    wide = Math.round(wide);
    if (this.small && this.small.of === this.picture && this.small.width === wide) return this.small;
    const canvas = this.small = document.createElement("canvas");
    canvas.of = this.picture;
    canvas.width = wide;
    canvas.height = Math.round(tall);
    canvas.getContext("2d").drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  // The picture with the maps of windows, the square, the ruler and the scale.
  paint(context, zoom) {
    const {width, height} = this.picture, threshold = +$("threshold").value, opacity = +$("opacity").value;
    context.drawImage(this.reduced(width * zoom, height * zoom), 0, 0, width * zoom, height * zoom);
    const span = this.windows.reduce((most, one) => Math.max(most, one.span || 0), 0);
    for (const one of this.windows) {
      const box = [one.left * zoom, one.top * zoom, one.size * zoom, one.size * zoom];
      const colours = `${span} ${opacity}`;  // made anew when these change
      if (one.cells && span && one.colours !== colours)
        Object.assign(one, {colours, drawn: coloured(one.cells, one.h, one.w, span, opacity)});
      if (one.drawn) context.drawImage(one.drawn, ...box);
      if (one.unlike) crossOut(context, box);
      if (probabilityOf(one.logit) >= threshold) outline(context, box, "#ffd54a", 2);
    }
    const {x, y, size} = this.square;
    outline(context, [x * zoom, y * zoom, size * zoom, size * zoom], "#ffffff", 3);
    if (this.ruler) {
      context.lineWidth = 3;
      context.strokeStyle = "#00e5ff";
      context.beginPath();
      context.moveTo(...this.ruler.from.map((v) => v * zoom));
      context.lineTo(...this.ruler.to.map((v) => v * zoom));
      context.stroke();
    }
    paintScale(context, zoom, this.mmPerPixel, height * zoom);
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
    if (span) context.drawImage(coloured(found.map, found.rows, found.columns, span, +$("opacity").value), 0, 0, 512, 512);
    const sums = found.map.reduce(([plus, minus], v) => (v > 0 ? [plus + v, minus] : [plus, minus + v]), [0, 0]);
    const text = `Full colour is ${span.toPrecision(2)} logits in a cell. For a crack the cells add up to ` +
      `${sums[0].toFixed(2)}, against it to ${sums[1].toFixed(2)}; with the bias of ${(found.logit - sums[0] - sums[1]).toFixed(2)} ` +
      `that is the logit, ${found.logit.toFixed(2)}.`;
    $("sum").textContent = text;
    canvas.setAttribute("aria-label", `The square with its map. ${text}`);
  }
}
