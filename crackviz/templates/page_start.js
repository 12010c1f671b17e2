// The start: weights unpacked, workers made, the page asked whether it computes what Keras did.
"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);

// The weights are one block of numbers in base64: float32, or float16 made float32 again.
function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  if (!facts.half) return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), (bits) => {
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, part = bits & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
  });
}
const block = unpack(document.getElementById("block").textContent);
const named = (all, places) =>
  Object.fromEntries(Object.entries(places).map(([name, [start, size]]) => [name, all.subarray(start, start + size)]));
const weights = named(block, facts.weights);

// A picture that Python can make as well: noise, and a dark line but for every third.
function formulaPicture(number, side) {
  const data = new Float32Array(side * side * 3);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const noise = (x * x * 7 + y * y * 13 + x * y * 5 + (x + 3 * y) * (number + 1) * 17) % 31;
      const line = Math.abs(x - y - number * 9) < 3 && number % 3 > 0;
      data.fill((150 + noise - (line ? 90 : 0)) / 255, (y * side + x) * 3, (y * side + x) * 3 + 3);
    }
  return {h: side, w: side, c: 3, data};
}

// How far the logits of these pictures are from Keras'. A browser that computes otherwise isn't believed.
function selfCheck() {
  const {logits, tolerance} = facts.selfCheck;
  const off = logits.map((logit, n) => Math.abs(network(formulaPicture(n, facts.side), weights).logit - logit));
  return {off: Math.max(...off), fine: off.every((one) => one <= tolerance)};
}

// One question: the pixels of a square of the picture. Made small, looked at, asked about.
function answer({pixels, size}, side, limits, all) {
  const image = toImage(resize(pixels, size, size, side), side);
  const {logit, map} = network(image, all);
  return {logit, map: map ? map.data : null, rows: map ? map.h : 0, columns: map ? map.w : 0,
    strange: strangeness(image, limits)};
}

// Workers do the computing, so that the page stays alive. From file:// they can be made of a Blob alone.
class Pool {
  constructor(count) {
    this.waiting = new Map();
    this.next = 0;
    this.workers = [];
    try {
      for (let n = 0; n < count; n++) this.workers.push(this.started());
    } catch (error) {
      this.workers = [];
    }
  }

  started() {
    const work = `${answer}\nlet side, limits, all;
      onmessage = ({data}) => {
        if (data.block) {
          ({side, limits} = data);
          all = Object.fromEntries(Object.entries(data.places).map(([k, [s, n]]) => [k, data.block.subarray(s, s + n)]));
          return;
        }
        try { postMessage({id: data.id, ...answer(data, side, limits, all)}); }
        catch (error) { postMessage({id: data.id, failed: String(error)}); }
      };`;
    const source = document.getElementById("engine").textContent;
    const address = URL.createObjectURL(new Blob([source, work], {type: "text/javascript"}));
    const worker = new Worker(address);
    worker.postMessage({block, places: facts.weights, side: facts.side, limits: facts.usual});
    worker.onmessage = ({data}) => this.settle(data);
    worker.onerror = () => {  // out of memory, or forbidden: what waits is done here, more slowly
      this.workers = [];
      for (const [id, {question}] of this.waiting) this.here(id, question);
    };
    return worker;
  }

  settle(data) {
    const {resolve, reject} = this.waiting.get(data.id) || {};
    this.waiting.delete(data.id);
    if (resolve) data.failed ? reject(new Error(data.failed)) : resolve(data);
  }

  here(id, question) {
    setTimeout(() => {
      if (this.waiting.has(id)) this.settle({id, ...answer(question, facts.side, facts.usual, weights)});
    });
  }

  ask(question) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, {resolve, reject, question});
      if (this.workers.length) this.workers[id % this.workers.length].postMessage({id, ...question});
      else this.here(id, question);
    });
  }
}

// Asked from outside, by pictures that were written into the page: the answers are written into it as well.
function answerWhatWasAsked() {
  const asked = document.getElementById("asked");
  if (!asked) return false;
  const {bytes, count} = JSON.parse(asked.textContent), side = facts.side;
  const numbers = new Float32Array(Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0)).buffer);
  const answers = Array.from({length: count}, (_, n) => {
    const data = numbers.subarray(n * side * side * 3, (n + 1) * side * side * 3);
    return network({h: side, w: side, c: 3, data}, weights);
  });
  const text = (map) => {
    const raw = new Uint8Array(map.data.buffer);
    let letters = "";
    for (let n = 0; n < raw.length; n += 8192) letters += String.fromCharCode(...raw.subarray(n, n + 8192));
    return btoa(letters);
  };
  const told = {logits: answers.map((one) => one.logit), check: selfCheck()};
  if (facts.hasMap) Object.assign(told, {maps: answers.map((one) => text(one.map)),
    size: [answers[0].map.h, answers[0].map.w]});
  const written = document.createElement("script");
  written.id = "answered";
  written.type = "application/json";
  written.textContent = JSON.stringify(told);
  document.body.append(written);
  return true;
}

if (!answerWhatWasAsked()) {
  const cores = navigator.hardwareConcurrency || 2;
  const view = new View(new Pool(typeof Worker === "undefined" ? 0 : Math.min(4, cores)));
  window.crackviz = {view, network: (data) => network({h: facts.side, w: facts.side, c: 3, data}, weights), selfCheck};
  setTimeout(() => {
    const check = selfCheck();
    document.getElementById("checked").textContent = check.fine
      ? `On this device the page computes what Keras does: three test pictures agree within ${check.off.toExponential(0)}.`
      : "This browser computes otherwise than Keras.";
    if (!check.fine) view.refuse("This browser computes otherwise than it should. Take another browser.");
    document.body.dataset.ready = "yes";
  }, 50);
}
