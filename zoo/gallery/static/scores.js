// How likely switches are by a network's scores, as runtime/switch_predictor.py has it: whole
// numbers that add up, of all switches that are known in the windows around and in their own.

import { partsOf, unpacked } from "./coder.js";

const STEPS = 32;
const AROUND = [[-1, -1], [-1, 0], [-1, 1], [0, -1]];
const POWERS = Int32Array.from({ length: STEPS }, (_, step) => Math.round(2 ** (20 - step / STEPS)));

/** The scores as a model's metadata hold them -> { own, known } for each level. */
export async function readScores(text, channels) {
  const bytes = await unpacked(text);
  let place = 0;
  return channels.map((count) => {
    const numbers = 4 * count;
    const own = Int32Array.from({ length: numbers }, (_, i) => bytes.getInt16(place + 2 * i, true));
    place += 2 * numbers;
    const known = new Int8Array(bytes.buffer, place, 5 * numbers * numbers);
    place += known.length;
    return { own, known };
  });
}

/** The switches of one level by their windows, in the order in which they are coded. */
export class ScoresWalk {
  constructor([, channels, height, width], { own, known }) {
    Object.assign(this, { channels, height, width, own, scores: known });
    this.count = channels * height * width;
    this.row = width + 2;
    // Of each window and channel the number of its place, 4c + place, with a border of none.
    this.known = new Int16Array((height + 1) * this.row * channels).fill(-1);
    this.ends = new Float64Array(5);
    this.parts = new Float64Array(4);
  }

  /** Calls `step` with the ends and the number of each switch; it returns the place. */
  each(step) {
    const { channels, height, width } = this;
    if (!channels) return;
    for (let wave = 0; wave < 2 * height + width - 2; wave++) {
      const first = Math.max(0, Math.ceil((wave - width + 1) / 2));
      const last = Math.min(height - 1, Math.floor(wave / 2));
      const sums = [];
      for (let y = first; y <= last; y++) sums.push(this.around(this.at(y, wave)));
      for (let c = 0; c < channels; c++) {
        for (let y = first; y <= last; y++) {
          const sum = sums[y - first];
          const place = step(this.bounds(sum, 4 * c), (c * height + y) * width + wave - 2 * y);
          this.known[this.at(y, wave) * channels + c] = 4 * c + place;
          this.add(sum, 4, 4 * c + place);
        }
      }
    }
  }

  at(y, wave) {
    return (y + 1) * this.row + 1 + wave - 2 * y;
  }

  /** What the places of a window score by the windows around. */
  around(at) {
    const { channels, known, row } = this;
    const sum = Int32Array.from(this.own);
    AROUND.forEach(([down, right], number) => {
      const from = (at + down * row + right) * channels;
      for (let c = 0; c < channels; c++) this.add(sum, number, known[from + c]);
    });
    return sum;
  }

  add(sum, number, place) {
    if (place < 0) return;
    const first = (number * sum.length + place) * sum.length;
    for (let i = 0; i < sum.length; i++) sum[i] += this.scores[first + i];
  }

  bounds(sum, first) {
    const { parts } = this;
    let best = 0, all = 0, left = 4096;
    for (let k = 1; k < 4; k++) if (sum[first + k] > sum[first + best]) best = k;
    for (let k = 0; k < 4; k++) {
      const behind = sum[first + best] - sum[first + k];
      parts[k] = POWERS[behind % STEPS] >> Math.min(31, Math.floor(behind / STEPS));
      all += parts[k];
    }
    for (let k = 0; k < 4; k++) {
      parts[k] = 1 + Math.floor((parts[k] * 4092) / all);
      left -= parts[k];
    }
    parts[best] += left;
    return partsOf((k) => parts[k], this.ends);
  }
}
