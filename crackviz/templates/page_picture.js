// Pictures: made smaller as the network's training did it, cut into windows, and looked at before they are believed.
"use strict";

// Pillow's BILINEAR, to the bit: a triangle filter as wide as the reduction, in whole numbers, rows first.
function resize(pixels, width, height, side) {
  const across = resizeRows(pixels, width, height, side);
  return transpose(resizeRows(transpose(across, side, height), height, side, side), side, side);
}

function resizeRows(pixels, width, height, side) {
  if (width === side) return pixels;
  const scale = width / side, reach = Math.max(1, scale), bits = 22;
  const out = new Uint8ClampedArray(side * height * 3);
  for (let j = 0; j < side; j++) {
    const centre = (j + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5)), end = Math.min(width, Math.trunc(centre + reach + 0.5));
    const shares = [];
    for (let n = first; n < end; n++) shares.push(Math.max(0, 1 - Math.abs((n - centre + 0.5) / reach)));
    const sum = shares.reduce((a, b) => a + b);
    const whole = shares.map((share) => Math.trunc((share / sum) * 2 ** bits + 0.5));
    for (let i = 0; i < height; i++)
      for (let q = 0; q < 3; q++) {
        let value = 2 ** (bits - 1);
        for (let n = 0; n < whole.length; n++) value += pixels[(i * width + first + n) * 3 + q] * whole[n];
        out[(i * side + j) * 3 + q] = value >> bits;
      }
  }
  return out;
}

function transpose(pixels, width, height) {
  const out = new Uint8ClampedArray(pixels.length);
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      for (let q = 0; q < 3; q++) out[(j * height + i) * 3 + q] = pixels[(i * width + j) * 3 + q];
  return out;
}

function withoutAlpha(rgba) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * 3);
  for (let n = 0, m = 0; n < rgba.length; n += 4) {
    rgb[m++] = rgba[n];
    rgb[m++] = rgba[n + 1];
    rgb[m++] = rgba[n + 2];
  }
  return rgb;
}

// What the network gets: bytes from 0 to 255 become numbers from 0 to 1.
const toImage = (pixels, side) => ({h: side, w: side, c: 3, data: Float32Array.from(pixels, (v) => v / 255)});

// Four numbers that say what kind of picture this is: brightness, contrast, sharpness, colour, each from 0 to 1.
function look(image) {
  const {h, w, data} = image, grey = new Float64Array(h * w);
  let sum = 0, squares = 0, colour = 0, steps = 0;
  for (let n = 0; n < grey.length; n++) {
    const r = data[3 * n], g = data[3 * n + 1], b = data[3 * n + 2];
    grey[n] = (r + g + b) / 3;
    sum += grey[n];
    squares += grey[n] * grey[n];
    colour += Math.max(r, g, b) - Math.min(r, g, b);
  }
  for (let i = 0; i < h; i++)
    for (let j = 1; j < w; j++) steps += Math.abs(grey[i * w + j] - grey[i * w + j - 1]);
  const mean = sum / grey.length, spread = Math.sqrt(Math.max(0, squares / grey.length - mean * mean));
  return {brightness: mean, contrast: spread, sharpness: steps / (h * (w - 1)), colour: colour / grey.length};
}

// In which of these numbers the picture lies outside of what the reference pictures have.
function strangeness(image, limits) {
  const numbers = look(image);
  const words = {brightness: ["darker", "brighter"], contrast: ["flatter", "richer in contrast"],
    sharpness: ["more blurred", "noisier or rougher"], colour: ["greyer", "more colourful"]};
  return Object.keys(limits).flatMap((name) =>
    numbers[name] < limits[name][0] ? [words[name][0]] : numbers[name] > limits[name][1] ? [words[name][1]] : []);
}

// The windows that cover a photograph; the last of a row and of a column end at the border, and overlap.
function windowsOf(width, height, side) {
  const starts = (length) => {
    const count = Math.max(1, Math.ceil(length / side));
    return Array.from({length: count}, (_, n) => Math.max(0, Math.min(n * side, length - side)));
  };
  return starts(height).flatMap((top) => starts(width).map((left) => ({left, top})));
}
