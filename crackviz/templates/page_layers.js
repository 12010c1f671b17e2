// The layers of the network, each as a function of a few lines. What goes in and comes out is a map:
// {h, w, c, data}, h rows of w cells of c channels, one number after the other. Keras computes the same.
"use strict";

const newMap = (h, w, c) => ({h, w, c, data: new Float32Array(h * w * c)});

// Rows (or columns) that "same" padding puts before and after, and how many cells come out.
function slide(length, kernel, stride, padding) {
  const cells = padding === "same" ? Math.ceil(length / stride) : Math.floor((length - kernel) / stride) + 1;
  const missing = padding === "same" ? Math.max(0, (cells - 1) * stride + kernel - length) : 0;
  return {cells, before: missing >> 1, after: missing - (missing >> 1)};
}

function zeroPadding(x, [[top, bottom], [left, right]]) {
  if (!(top || bottom || left || right)) return x;
  const y = newMap(x.h + top + bottom, x.w + left + right, x.c);
  for (let i = 0; i < x.h; i++)
    y.data.set(x.data.subarray(i * x.w * x.c, (i + 1) * x.w * x.c), ((i + top) * y.w + left) * x.c);
  return y;
}

function cropping(x, [[top, bottom], [left, right]]) {
  const y = newMap(x.h - top - bottom, x.w - left - right, x.c);
  for (let i = 0; i < y.h; i++) {
    const from = ((i + top) * x.w + left) * x.c;
    y.data.set(x.data.subarray(from, from + y.w * x.c), i * y.w * x.c);
  }
  return y;
}

// Eight channels that come out lie side by side for each number that goes in; where there are fewer, zeros fill up.
const packed = new Map();
function inEights(kernel, inputs, outputs) {
  if (!packed.has(kernel)) {
    const all = new Float64Array(Math.ceil(outputs / 8) * inputs * 8);
    for (let t = 0; t < inputs; t++)
      for (let q = 0; q < outputs; q++) all[((q >> 3) * inputs + t) * 8 + (q & 7)] = kernel[t * outputs + q];
    packed.set(kernel, all);
  }
  return packed.get(kernel);
}

// After relu most numbers are 0 and add nothing: for each cell the others are picked out first. Then eight channels
// at a time: eight sums that the processor keeps in its registers.
function conv2d(x, kernel, bias, outputs, [kh, kw], [sh, sw], padding) {
  const rows = slide(x.h, kh, sh, padding), columns = slide(x.w, kw, sw, padding);
  const p = zeroPadding(x, [[rows.before, rows.after], [columns.before, columns.after]]);
  const y = newMap(rows.cells, columns.cells, outputs), data = p.data, run = kw * x.c, inputs = kh * run;
  const weights = inEights(kernel, inputs, outputs), value = new Float64Array(inputs), place = new Int32Array(inputs);
  for (let i = 0, at = 0; i < y.h; i++)
    for (let j = 0; j < y.w; j++, at += outputs) {
      let count = 0;
      for (let u = 0, t = 0; u < kh; u++) {
        const from = ((i * sh + u) * p.w + j * sw) * x.c;
        for (let n = from; n < from + run; n++, t += 8)
          if (data[n] !== 0) {
            value[count] = data[n];
            place[count++] = t;
          }
      }
      for (let q = 0; q < outputs; q += 8) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
        for (let n = 0; n < count; n++) {
          const v = value[n], k = q * inputs + place[n];
          s0 += v * weights[k]; s1 += v * weights[k + 1]; s2 += v * weights[k + 2]; s3 += v * weights[k + 3];
          s4 += v * weights[k + 4]; s5 += v * weights[k + 5]; s6 += v * weights[k + 6]; s7 += v * weights[k + 7];
        }
        store(y.data, at + q, outputs - q, s0, s1, s2, s3, s4, s5, s6, s7);
      }
    }
  return bias ? affine(y, [1], bias) : y;
}

function store(data, at, few, s0, s1, s2, s3, s4, s5, s6, s7) {
  data[at] = s0;
  if (few > 1) data[at + 1] = s1;
  if (few > 2) data[at + 2] = s2;
  if (few > 3) data[at + 3] = s3;
  if (few > 4) data[at + 4] = s4;
  if (few > 5) data[at + 5] = s5;
  if (few > 6) data[at + 6] = s6;
  if (few > 7) data[at + 7] = s7;
}

// Every channel by itself.
function depthwiseConv2d(x, kernel, bias, [kh, kw], [sh, sw], padding) {
  const rows = slide(x.h, kh, sh, padding), columns = slide(x.w, kw, sw, padding), c = x.c;
  const p = zeroPadding(x, [[rows.before, rows.after], [columns.before, columns.after]]);
  const y = newMap(rows.cells, columns.cells, c), sums = new Float64Array(c);
  for (let i = 0; i < y.h; i++)
    for (let j = 0; j < y.w; j++) {
      if (bias) sums.set(bias); else sums.fill(0);
      for (let u = 0; u < kh; u++)
        for (let v = 0; v < kw; v++) {
          const from = ((i * sh + u) * p.w + j * sw + v) * c, k = (u * kw + v) * c;
          for (let q = 0; q < c; q++) sums[q] += p.data[from + q] * kernel[k + q];
        }
      y.data.set(sums, (i * y.w + j) * c);
    }
  return y;
}

// The kernel is as large as the stride, so each cell becomes a square of its own.
function conv2dTranspose(x, kernel, bias, outputs, [kh, kw]) {
  const y = newMap(x.h * kh, x.w * kw, outputs);
  for (let i = 0; i < y.h; i++)
    for (let j = 0; j < y.w; j++) {
      const from = (((i / kh) | 0) * x.w + ((j / kw) | 0)) * x.c, k = ((i % kh) * kw + (j % kw)) * outputs * x.c;
      for (let q = 0; q < outputs; q++) {
        let sum = bias ? bias[q] : 0;
        for (let p = 0; p < x.c; p++) sum += x.data[from + p] * kernel[k + q * x.c + p];
        y.data[(i * y.w + j) * outputs + q] = sum;
      }
    }
  return y;
}

// Cells beyond the border don't count: neither for the maximum nor for the mean.
function pooling(x, [kh, kw], [sh, sw], padding, mean) {
  const rows = slide(x.h, kh, sh, padding), columns = slide(x.w, kw, sw, padding), data = x.data, c = x.c;
  const y = newMap(rows.cells, columns.cells, c);
  for (let i = 0, at = 0; i < y.h; i++)
    for (let j = 0; j < y.w; j++) {
      const top = Math.max(0, i * sh - rows.before), bottom = Math.min(x.h, i * sh - rows.before + kh);
      const left = Math.max(0, j * sw - columns.before), right = Math.min(x.w, j * sw - columns.before + kw);
      const count = (bottom - top) * (right - left);
      for (let q = 0; q < c; q++, at++) {
        let sum = 0, largest = -Infinity;
        for (let u = top; u < bottom; u++)
          for (let n = (u * x.w + left) * c + q, end = (u * x.w + right) * c; n < end; n += c) {
            sum += data[n];
            if (data[n] > largest) largest = data[n];
          }
        y.data[at] = mean ? sum / count : largest;
      }
    }
  return y;
}
const maxPooling = (x, size, strides, padding) => pooling(x, size, strides, padding, false);
const averagePooling = (x, size, strides, padding) => pooling(x, size, strides, padding, true);

function upSampling(x, [kh, kw]) {
  const y = newMap(x.h * kh, x.w * kw, x.c);
  for (let i = 0; i < y.h; i++)
    for (let j = 0; j < y.w; j++) {
      const from = (((i / kh) | 0) * x.w + ((j / kw) | 0)) * x.c;
      for (let q = 0; q < x.c; q++) y.data[(i * y.w + j) * x.c + q] = x.data[from + q];
    }
  return y;
}

const relu = (x) => ({...x, data: x.data.map((v) => (v > 0 ? v : 0))});
const relu6 = (x) => ({...x, data: x.data.map((v) => Math.min(6, Math.max(0, v)))});
const sigmoid = (x) => ({...x, data: x.data.map((v) => 1 / (1 + Math.exp(-v)))});
const tanh = (x) => ({...x, data: x.data.map(Math.tanh)});

// Rescaling and batch normalisation: a factor and a summand for each channel, or one for all.
function affine(x, factor, summand) {
  const y = newMap(x.h, x.w, x.c);
  for (let n = 0; n < y.data.length; n += x.c)
    for (let q = 0; q < x.c; q++)
      y.data[n + q] = x.data[n + q] * factor[q % factor.length] + summand[q % summand.length];
  return y;
}

// Two maps of one size, cell by cell; where one has a single channel, it goes with all of the other's.
function together(a, b, f) {
  const y = newMap(a.h, a.w, Math.max(a.c, b.c)), ofA = a.c === y.c ? 1 : 0, ofB = b.c === y.c ? 1 : 0;
  for (let cell = 0; cell < y.h * y.w; cell++)
    for (let q = 0; q < y.c; q++)
      y.data[cell * y.c + q] = f(a.data[cell * a.c + q * ofA], b.data[cell * b.c + q * ofB]);
  return y;
}
const add = (...maps) => maps.reduce((a, b) => together(a, b, (v, w) => v + w));
const subtract = (a, b) => together(a, b, (v, w) => v - w);
const multiply = (...maps) => maps.reduce((a, b) => together(a, b, (v, w) => v * w));

function concatenate(...maps) {
  const y = newMap(maps[0].h, maps[0].w, maps.reduce((sum, map) => sum + map.c, 0));
  for (let cell = 0, at = 0; cell < y.h * y.w; cell++)
    for (const map of maps) {
      y.data.set(map.data.subarray(cell * map.c, (cell + 1) * map.c), at);
      at += map.c;
    }
  return y;
}

function globalAveragePooling(x) {
  const sums = new Float64Array(x.c);
  for (let n = 0; n < x.data.length; n++) sums[n % x.c] += x.data[n];
  return {h: 1, w: 1, c: x.c, data: Float32Array.from(sums, (sum) => sum / (x.h * x.w))};
}

function dense(x, kernel, bias, outputs) {
  const y = newMap(1, 1, outputs);
  for (let q = 0; q < outputs; q++) {
    let sum = bias ? bias[q] : 0;
    for (let p = 0; p < x.c; p++) sum += x.data[p] * kernel[p * outputs + q];
    y.data[q] = sum;
  }
  return y;
}

// The last step: what each cell adds to the logit. The cells and the bias sum to it, exactly.
function explain(x, kernel, bias) {
  const map = newMap(x.h, x.w, 1), cells = x.h * x.w;
  let logit = bias;
  for (let n = 0; n < cells; n++) {
    let sum = 0;
    for (let q = 0; q < x.c; q++) sum += x.data[n * x.c + q] * kernel[q];
    map.data[n] = sum / cells;
    logit += sum / cells;
  }
  return {logit, map};
}
