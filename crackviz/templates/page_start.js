// The start: weights unpacked, workers made, the page asked whether it computes what Keras did.
"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);

// Base 85, as Python writes it but for "<", which could begin a tag and is "." here: five letters are four bytes.
function fromBase85(text) {
  const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;.=>?@^_`{|}~";
  const digits = new Uint8Array(128), count = text.length / 5, words = new DataView(new ArrayBuffer(4 * count));
  for (let n = 0; n < letters.length; n++) digits[letters.charCodeAt(n)] = n;
  for (let n = 0; n < count; n++) {
    let word = 0;
    for (let k = 0; k < 5; k++) word = word * 85 + digits[text.charCodeAt(5 * n + k)];
    words.setUint32(4 * n, word);
  }
  return new Uint8Array(words.buffer);
}

// The weights are one block of float32, deflated: all exponents, then all signs with the first seven digits, and so on,
// so that what is alike stands together, and digits that were rounded away are zeros in a row.
async function unpack(text, count, bytes) {
  const inflated = new DecompressionStream("deflate"), writer = inflated.writable.getWriter();
  writer.write(fromBase85(text).subarray(0, bytes));
  writer.close();
  const planes = new Uint8Array(await new Response(inflated.readable).arrayBuffer()), bits = new Uint32Array(count);
  if (planes.length !== 4 * count) throw new Error("another number of weights");
  for (let n = 0; n < count; n++) {
    const sign = planes[n + count] & 128, first = planes[n + count] & 127;
    bits[n] = (sign << 24) | (planes[n] << 23) | (first << 16) | (planes[n + 2 * count] << 8) | planes[n + 3 * count];
  }
  return new Float32Array(bits.buffer);
}
const named = (all, places) =>
  Object.fromEntries(Object.entries(places).map(([name, [start, size]]) => [name, all.subarray(start, start + size)]));
let block, weights;  // known when they are unpacked

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

// One question: the pixels of a square of the picture. Made small, asked about, and held against what is usual.
function answer({pixels, size}, side, usual, all) {
  const {logit, map} = network(toImage(resize(pixels, size, size, side), side), all);
  return {logit, map: map ? map.data : null, rows: map ? map.h : 0, columns: map ? map.w : 0,
    ...strangest(pixels, size, usual)};
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
    const work = `${answer}\nlet side, usual, all;
      onmessage = ({data}) => {
        if (data.block) {
          ({side, usual} = data);
          all = Object.fromEntries(Object.entries(data.places).map(([k, [s, n]]) => [k, data.block.subarray(s, s + n)]));
          return;
        }
        try { postMessage({id: data.id, ...answer(data, side, usual, all)}); }
        catch (error) { postMessage({id: data.id, failed: String(error)}); }
      };`;
    const source = document.getElementById("engine").textContent;
    const address = URL.createObjectURL(new Blob([source, work], {type: "text/javascript"}));
    const worker = new Worker(address);
    worker.postMessage({block, places: facts.weights, side: facts.side, usual: facts.usual});
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

async function start() {
  block = await unpack(document.getElementById("block").textContent.trim(), facts.count, facts.bytes);
  weights = named(block, facts.weights);
  if (answerWhatWasAsked()) return;
  const cores = navigator.hardwareConcurrency || 2;
  const view = new View(new Pool(typeof Worker === "undefined" ? 0 : Math.min(4, cores)));
  window.crackviz = {view, network: (data) => network({h: facts.side, w: facts.side, c: 3, data}, weights), selfCheck};
  setTimeout(() => {
    const check = selfCheck();
    document.getElementById("checked").textContent = check.fine
      ? `On this device the page computes what Keras does: three test pictures agree within ${check.off.toExponential(0)}.`
      : "This browser computes otherwise than Keras.";
    if (!check.fine) refuse("This browser computes otherwise than it should. Take another browser.");
    document.body.dataset.ready = "yes";
  }, 50);
}
if (typeof DecompressionStream === "undefined")
  refuse("This browser is too old for this page. Update it: Chrome 80, Firefox 113, Safari 16.4 or newer can open it.");
else
  start().catch(() => refuse("This page is damaged: its network can't be read. Get the file anew, whole."));
