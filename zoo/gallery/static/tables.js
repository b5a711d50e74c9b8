// Switches by a network's tables, as runtime/switch_tables.py has it: a range coder (constriction's,
// words of 32 bits, a state of 64) that is told how likely each place is by the places around it.
// `dims` is [N, C, H, W] of a level, `levels` its places 0…3 (Uint8Array); `tables` has for each
// level C × 256 × 4 whole numbers (Uint16Array), four of which sum to 4096.

import { crc32 } from "./codec.js";

const MOST = (1n << 64n) - 1n;
const WORD = 32n, PRECISION = 24n;
const SMALLEST = 1n << WORD;
const WHOLE = 2 ** 24;

/** The tables as a model's metadata hold them (base64 of deflated numbers) -> one array a level. */
export async function readTables(text, channels) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new DataView(await new Response(stream).arrayBuffer());
  let place = 0;
  return channels.map((count) => {
    const table = new Uint16Array(count * 1024);
    for (let i = 0; i < table.length; i += 4) {
      let left = 4096;
      for (let k = 0; k < 3; k++, place += 2) {
        table[i + k] = bytes.getUint16(place, true);
        left -= table[i + k];
      }
      table[i + 3] = left;
    }
    return table;
  });
}

/** The places of all levels -> what a .switches file of coding 2 holds between header and end. */
export function encode(tables, dims, levels) {
  const coder = new Encoder();
  levels.forEach((places, number) => {
    const walk = new Walk(dims[number], tables[number]);
    walk.each((at, place) => {
      walk.put(at, places[place]);
      coder.put(walk.bounds(at), places[place]);
    });
  });
  const words = coder.words();
  const data = new DataView(new ArrayBuffer(4 + 4 * words.length));
  words.forEach((word, i) => data.setUint32(4 + 4 * i, word, true));
  data.setUint32(0, check(levels, words.length), true);
  return new Uint8Array(data.buffer);
}

/** The inverse; throws where the bytes are no such switches. */
export function decode(tables, dims, bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = Array.from({ length: bytes.length / 4 - 1 }, (_, i) => data.getUint32(4 + 4 * i, true));
  const coder = new Decoder(words);
  const levels = dims.map((dim, number) => {
    const walk = new Walk(dim, tables[number]);
    const places = new Uint8Array(dim[1] * dim[2] * dim[3]);
    walk.each((at, place) => {
      places[place] = coder.take(walk.bounds(at));
      walk.put(at, places[place]);
    });
    return places;
  });
  if (check(levels, words.length) !== data.getUint32(0, true)) throw new Error("no such switches");
  return levels;
}

/** The places of one level with a border of zeros, in the order in which they are coded. */
class Walk {
  constructor([, channels, height, width], table) {
    Object.assign(this, { channels, height, width, table });
    this.row = width + 2;
    this.plane = (height + 1) * this.row;
    this.known = new Uint8Array((channels + 1) * this.plane);
    this.ends = new Float64Array(5);
    this.ends[4] = WHOLE;
  }

  /** Calls `visit` with where a place lies in `known` and in the level, wave by wave. */
  each(visit) {
    const { channels, height, width } = this;
    for (let wave = 0; wave < channels + 2 * height + width - 3; wave++) {
      // From the last column to the first, then by channel.
      for (let first = Math.max(0, wave - width + 1); first <= wave; first++) {
        const x = wave - first;
        for (let c = first % 2; c < Math.min(channels, first + 1); c += 2) {
          const y = (first - c) / 2;
          if (y < height) {
            visit((c + 1) * this.plane + (y + 1) * this.row + x + 1, (c * height + y) * width + x);
          }
        }
      }
    }
  }

  put(at, place) {
    this.known[at] = place;
  }

  /** Where the part of each place ends, of 2²⁴. */
  bounds(at) {
    const { known, row, table, ends } = this;
    const channel = Math.floor(at / this.plane) - 1;
    const around = (known[at - row] << 6) | (known[at - 1] << 4) | (known[at - row + 1] << 2)
      | known[at - this.plane];
    const first = 4 * (256 * channel + around);
    for (let k = 0, sum = 0; k < 4; sum += table[first + k], k++) {
      ends[k] = Math.floor((sum * (WHOLE - 4)) / 4096) + k;
    }
    return ends;
  }
}

class Encoder {
  constructor() {
    this.done = [];
    this.low = 0n;
    this.span = MOST;
    this.waiting = 0; // words that a carry may still change
    this.first = 0; // of these
  }

  put(ends, place) {
    const scale = this.span >> PRECISION;
    const low = (this.low + scale * BigInt(ends[place])) & MOST;
    this.span = scale * BigInt(ends[place + 1] - ends[place]);
    if (this.waiting && ((low + this.span) & MOST) > low) {
      this.settle(low < this.low);
      this.waiting = 0;
    }
    this.low = low;
    if (this.span >= SMALLEST) return;
    const word = Number(this.low >> WORD);
    this.low = (this.low << WORD) & MOST;
    this.span <<= WORD;
    if (this.waiting) this.waiting++;
    else if (((this.low + this.span) & MOST) > this.low) this.done.push(word);
    else [this.waiting, this.first] = [1, word];
  }

  settle(carried) {
    this.done.push(carried ? (this.first + 1) >>> 0 : this.first);
    for (let i = 1; i < this.waiting; i++) this.done.push(carried ? 0 : 0xffffffff);
  }

  /** All words, the last ones included. */
  words() {
    if (this.span === MOST) return this.done;
    const point = (this.low + SMALLEST - 1n) & MOST;
    if (this.waiting) this.settle(point < this.low);
    const last = Number(point >> WORD);
    this.done.push(last);
    if (Number(((this.low + this.span) & MOST) >> WORD) === last) this.done.push(0);
    return this.done;
  }
}

class Decoder {
  constructor(words) {
    this.words = words;
    this.read = 0;
    this.low = 0n;
    this.span = MOST;
    this.point = (this.next() << WORD) | this.next();
  }

  next() {
    return this.read < this.words.length ? BigInt(this.words[this.read++]) : 0n;
  }

  take(ends) {
    const scale = this.span >> PRECISION;
    const part = Number(((this.point - this.low) & MOST) / scale);
    if (part >= WHOLE) throw new Error("no such switches");
    let place = 3;
    while (ends[place] > part) place--;
    this.low = (this.low + scale * BigInt(ends[place])) & MOST;
    this.span = scale * BigInt(ends[place + 1] - ends[place]);
    if (this.span < SMALLEST) {
      this.low = (this.low << WORD) & MOST;
      this.span <<= WORD;
      this.point = ((this.point << WORD) & MOST) | this.next();
    }
    return place;
  }
}

/** CRC-32 of all places and of the number of words. */
function check(levels, words) {
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, words, true);
  return crc32([...levels, count]);
}
