// What a network's outputs say of a photograph: the same, by the same numbers, as
// `runtime.predicting` and `runtime.boxes`. Pure functions of arrays and a model's manifest.

import { meanOf, ordered } from "./feeding.js";

/** The name of a class; its number where it has none. */
export function labelOf(labels, place) {
  return labels[place] || String(place);
}

/** The classes of the greatest scores; of equal ones the first. */
export function top(scores, how) {
  return [...scores.keys()]
    .sort((a, b) => scores[b] - scores[a] || a - b)
    .slice(0, how.top)
    .map((place) => ({ place, label: labelOf(how.labels, place), score: scores[place] }));
}

/** Caffe's rows (image, label, score, corners as shares) -> boxes of the first image, best first. */
export function fromRows(rows, how) {
  const found = [];
  for (let i = 0; i + 7 <= rows.length; i += 7) {
    const [image, label, score, ...corners] = rows.subarray(i, i + 7);
    if (image === 0 && label >= 0 && score >= how.threshold && corners.every(Number.isFinite)) {
      found.push({ place: Math.trunc(label), score, corners });
    }
  }
  return found.sort((a, b) => b.score - a.score);
}

/** K×4 boxes and K×C scores of an input of [height, width] -> boxes, suppressed, best first. */
export function fromPairs(boxes, scores, size, how) {
  const count = boxes.length / 4, classes = scores.length / count;
  const priors = anchors(size, how.priors);
  const corners = priors.length === count ? decoded(boxes, priors, how.priors.variances) : plain(boxes);
  const found = [];
  for (let label = 1; label < classes; label++) {
    const chosen = [];
    for (let i = 0; i < count; i++) {
      const score = scores[i * classes + label];
      // OpenCV's suppression takes what is above the threshold, not what is at it.
      if (score > how.threshold && corners[i].every(Number.isFinite)) {
        chosen.push({ place: label, score, corners: corners[i] });
      }
    }
    found.push(...suppressed(chosen, how.overlap));
  }
  return found.sort((a, b) => b.score - a.score);
}

function plain(boxes) {
  return Array.from({ length: boxes.length / 4 }, (_, i) => [...boxes.subarray(4 * i, 4 * i + 4)]);
}

/** Ultra-Light-Fast-Generic-Face-Detector's anchors: centre and sides as shares. */
function anchors([height, width], { strides, sides }) {
  const inside = (value) => Math.max(0, Math.min(1, value));
  const found = [];
  strides.forEach((stride, level) => {
    for (let y = 0; y < Math.ceil(height / stride); y++) {
      for (let x = 0; x < Math.ceil(width / stride); x++) {
        const centre = [((x + 0.5) * stride) / width, ((y + 0.5) * stride) / height];
        for (const side of sides[level]) found.push([...centre, side / width, side / height].map(inside));
      }
    }
  });
  return found;
}

function decoded(boxes, priors, [near, far]) {
  return priors.map(([x, y, wide, tall], i) => {
    const [dx, dy, dw, dh] = boxes.subarray(4 * i, 4 * i + 4);
    const centre = [x + dx * near * wide, y + dy * near * tall];
    const half = [(Math.exp(dw * far) * wide) / 2, (Math.exp(dh * far) * tall) / 2];
    return [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]];
  });
}

/** Of boxes that overlap by more than `most` the best one stays. */
function suppressed(boxes, most) {
  const kept = [];
  for (const box of boxes.sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(other.corners, box.corners) <= Math.fround(most))) kept.push(box);
  }
  return kept;
}

/** Intersection over union. */
function overlap(a, b) {
  const area = ([left, top, right, bottom]) => Math.max(0, right - left) * Math.max(0, bottom - top);
  const both = area([
    Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3]),
  ]);
  return Math.fround(both / (area(a) + area(b) - both));
}

/** Boxes of a window of the image -> in pixels of the image, clipped to it, with labels. */
export function inPixels(found, { width, height }, [top, left, tall, wide], how) {
  const inside = (value, most) => Math.min(Math.max(value, 0), most);
  return found.map(({ place, score, corners: [x0, y0, x1, y1] }) => {
    const [l, r] = [x0, x1].map((x) => inside((left + x * wide) * width, width));
    const [t, b] = [y0, y1].map((y) => inside((top + y * tall) * height, height));
    return { place, label: labelOf(how.labels, place), score, box: [l, t, r, b] };
  });
}

/**
 * An image that a network made, 1×C×H×W -> RGB planes of 0…255. Numbers of 0 to 1 are drawn from
 * black to white.
 */
export function picture(values, [, channels, height, width], how) {
  const plane = height * width;
  const like = channels === (how.channelOrder === "GRAY" ? 1 : 3);
  const made = new Float32Array(values.length);
  let low = 0, high = 0;
  for (let i = 0; i < values.length; i++) {
    made[i] = Math.fround(values[i] / Math.fround(how.scale));
    if (like) made[i] += Math.fround(meanOf(Math.floor(i / plane), how));
    low = Math.min(low, made[i]);
    high = Math.max(high, made[i]);
  }
  const factor = low >= 0 && high > 0 && high <= 1 ? 255 : 1;
  const rgb = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const from = channels === 1 ? 0 : ordered(channel, rgbOr(how)) * plane;
    for (let i = 0; i < plane; i++) rgb[channel * plane + i] = made[from + i] * factor;
  }
  return rgb;
}

/** Colours of what a grey network makes are in Caffe's order. */
function rgbOr(how) {
  return { channelOrder: how.channelOrder === "RGB" ? "RGB" : "BGR" };
}

/** A bright colour for a class: neighbours in number are far apart in hue. */
export function hue(place) {
  return `hsl(${Math.round(360 * ((0.33 + place * 0.618034) % 1))} 80% 55%)`;
}
