// Whether a square is unlike everything that the networks were taught and tested on: 26 numbers describe it, without a
// network, and their distance from usual ones is told. crackviz/inspection/novelty.py counts the same.
"use strict";

const SIGMAS = [0.7, 1.4, 2.8, 5.6, 11.2];  // of the Gaussians between which details are looked at, in pixels

// Mean, standard deviation, mean size, and mean third power.
function moments(values) {
  let sum = 0, squares = 0, sizes = 0, cubes = 0;
  for (let n = 0; n < values.length; n++) sum += values[n];
  const mean = sum / values.length;
  for (let n = 0; n < values.length; n++) {
    const v = values[n], away = v - mean;
    squares += away * away;
    sizes += Math.abs(v);
    cubes += v * v * v;
  }
  const deviation = Math.sqrt(squares / values.length);
  return {mean, deviation, size: sizes / values.length, cube: cubes / values.length};
}
function medianSize(values) {
  const sorted = values.slice(), half = sorted.length >> 1;
  for (let n = 0; n < sorted.length; n++) sorted[n] = Math.abs(sorted[n]);
  sorted.sort();  // numbers of a Float32Array, not their texts
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// A Gaussian along rows and then along columns; beyond the border the picture is mirrored.
function blur(values, side, sigma) {
  const reach = Math.floor(3 * sigma + 0.5), shares = Float64Array.from({length: reach + 1}, (_, n) => Math.exp(-n * n / (2 * sigma * sigma)));
  const sum = 2 * shares.reduce((a, b) => a + b) - shares[0];
  return blurRows(blurRows(values, side, reach, shares, sum), side, reach, shares, sum);
}

// Rows are blurred and come out as columns.
function blurRows(values, side, reach, shares, sum) {
  const out = new Float32Array(side * side), row = new Float64Array(side + 2 * reach);
  const mirrored = Int32Array.from(row, (_, n) => {
    const place = (((n - reach) % (2 * side)) + 2 * side) % (2 * side);
    return place < side ? place : 2 * side - 1 - place;
  });
  for (let i = 0; i < side; i++) {
    for (let n = 0; n < row.length; n++) row[n] = values[i * side + mirrored[n]];
    for (let j = 0; j < side; j++) {
      const middle = j + reach;
      let value = shares[0] * row[middle];
      for (let n = 1; n <= reach; n++) value += shares[n] * (row[middle - n] + row[middle + n]);
      out[j * side + i] = value / sum;
    }
  }
  return out;
}

// How much all edges have one direction, from 0 to 1: Sobel's slopes, their angles doubled, weighed by their steepness.
function oneDirection(values, side) {
  const at = (i, j) => values[Math.min(Math.max(i, 0), side - 1) * side + Math.min(Math.max(j, 0), side - 1)];
  let real = 0, imaginary = 0, sum = 0;
  for (let i = 0; i < side; i++)
    for (let j = 0; j < side; j++) {
      const x = at(i - 1, j + 1) - at(i - 1, j - 1) + 2 * (at(i, j + 1) - at(i, j - 1)) + at(i + 1, j + 1) - at(i + 1, j - 1);
      const y = at(i + 1, j - 1) - at(i - 1, j - 1) + 2 * (at(i + 1, j) - at(i - 1, j)) + at(i + 1, j + 1) - at(i - 1, j + 1);
      const steep = Math.sqrt(x * x + y * y) + 1e-6;
      real += (x * x - y * y) / steep;
      imaginary += (2 * x * y) / steep;
      sum += steep;
    }
  return Math.hypot(real, imaginary) / sum;
}

// Of five sizes of details: how strong they are, how peaked, how lopsided, and how strong in the median place. Then
// mean grey, colours, how much the large shapes vary, and the direction of edges.
function describe(pixels, side) {
  const grey = new Float32Array(side * side), colour = new Float32Array(side * side), sums = [0, 0, 0], found = [];
  for (let n = 0; n < grey.length; n++) {
    const r = pixels[3 * n] / 255, g = pixels[3 * n + 1] / 255, b = pixels[3 * n + 2] / 255;
    grey[n] = (r + g + b) / 3;
    colour[n] = Math.max(r, g, b) - Math.min(r, g, b);
    sums[0] += r;
    sums[1] += g;
    sums[2] += b;
  }
  let finer = grey, edges = grey;
  for (const sigma of SIGMAS) {
    const coarser = blur(grey, side, sigma), details = new Float32Array(grey.length);
    for (let n = 0; n < details.length; n++) details[n] = finer[n] - coarser[n];
    const {deviation, size, cube} = moments(details), strength = deviation + 1e-3, lopsided = cube / strength ** 3;
    found.push(Math.log(strength), Math.log(size / strength + 1e-3));
    found.push(Math.min(Math.max(lopsided, -3), 3), Math.log(medianSize(details) + 1e-3));
    if (sigma === SIGMAS[1]) edges = coarser;
    finer = coarser;
  }
  const [red, green, blue] = sums.map((sum) => sum / grey.length);
  found.push(moments(grey).mean, red - green, green - blue, Math.log(moments(colour).deviation + 0.01));
  found.push(Math.log(moments(finer).deviation + 0.005), oneDirection(edges, side));
  return found;
}

// Mahalanobis' distance from usual squares: the inverse covariance is root times its transpose.
function distance(numbers, {mean: middle, root}) {
  const away = numbers.map((number, n) => number - middle[n]);
  return Math.hypot(...middle.map((_, n) => root.reduce((sum, row, m) => sum + (row[n] || 0) * away[m], 0)));
}

// In what a square differs most, in words: those of the numbers that have a plain name.
const WORDS = {0: ["more blurred", "rougher or noisier"], 20: ["darker", "brighter"],
  21: ["of another colour", "of another colour"], 22: ["of another colour", "of another colour"],
  23: ["greyer", "more colourful"], 24: ["more even", "more uneven"]};
function differences(numbers, {mean: middle, spread}) {
  const away = numbers.map((number, n) => (number - middle[n]) / spread[n]);
  const words = Object.keys(WORDS).filter((n) => Math.abs(away[n]) > 2.5).map((n) => WORDS[n][away[n] > 0 ? 1 : 0]);
  return [...new Set(words)];
}

// A square is judged by its pieces of 128 pixels, as they are in the photograph: the one in the middle, or, if it is
// large, the four in its corners. The strangest counts. A smaller square is enlarged.
function strangest(pixels, size, usual) {
  const {side} = usual, starts = size < 1.5 * side ? [Math.max(0, size - side) >> 1] : [0, size - side];
  let found = {away: -1};
  for (const top of starts)
    for (const left of starts) {
      const numbers = describe(size < side ? resize(pixels, size, size, side) : piece(pixels, size, left, top, side), side);
      const away = distance(numbers, usual);
      if (away > found.away) found = {away, unlike: away > usual.limit, differs: differences(numbers, usual)};
    }
  return found;
}

function piece(pixels, width, left, top, side) {
  const out = new Uint8ClampedArray(side * side * 3);
  for (let i = 0; i < side; i++) {
    const from = ((top + i) * width + left) * 3;
    out.set(pixels.subarray(from, from + side * 3), i * side * 3);
  }
  return out;
}
