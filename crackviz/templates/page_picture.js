// Pictures: made smaller as the network's training did it, and cut into windows.
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
    const whole = Int32Array.from(shares, (share) => Math.trunc((share / sum) * 2 ** bits + 0.5));
    for (let i = 0; i < height; i++) {
      let r = 2 ** (bits - 1), g = r, b = r;
      for (let n = 0, from = (i * width + first) * 3; n < whole.length; n++, from += 3) {
        r += pixels[from] * whole[n];
        g += pixels[from + 1] * whole[n];
        b += pixels[from + 2] * whole[n];
      }
      const at = (i * side + j) * 3;
      out[at] = r >> bits;
      out[at + 1] = g >> bits;
      out[at + 2] = b >> bits;
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
function toImage(pixels, side) {
  const data = new Float32Array(pixels.length);
  for (let n = 0; n < data.length; n++) data[n] = pixels[n] / 255;
  return {h: side, w: side, c: 3, data};
}

// The windows that cover a photograph; the last of a row and of a column end at the border, and overlap.
function windowsOf(width, height, side) {
  const starts = (length) => {
    const count = Math.max(1, Math.ceil(length / side));
    return Array.from({length: count}, (_, n) => Math.max(0, Math.min(n * side, length - side)));
  };
  return starts(height).flatMap((top) => starts(width).map((left) => ({left, top})));
}
