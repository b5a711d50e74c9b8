// The range coder of .switches files (constriction's: words of 32 bits, a state of 64), and how an
// entropy model's walk over the switches of a level is coded by it. A walk visits them in the order
// of the file: for each it says where the parts of its four places end, of 2²⁴, and is told the place.

import { crc32 } from "./codec.js";

const MOST = (1n << 64n) - 1n;
const WORD = 32n, PRECISION = 24n;
const SMALLEST = 1n << WORD;
const WHOLE = 2 ** 24;

/** The numbers that a model's metadata hold (base64 of deflated bytes). */
export async function unpacked(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
}

/** Writes into `ends` where the parts of four places end that have `share(k)` of 4096. */
export function partsOf(share, ends) {
  for (let k = 0, sum = 0; k < 4; sum += share(k), k++) {
    ends[k] = Math.floor((sum * (WHOLE - 4)) / 4096) + k;
  }
  ends[4] = WHOLE;
  return ends;
}

/** The places of all levels, each with its walk -> what a .switches file holds of them. */
export function encode(walks, levels) {
  const coder = new Encoder();
  walks.forEach((walk, number) => {
    walk.each((ends, index) => {
      coder.put(ends, levels[number][index]);
      return levels[number][index];
    });
  });
  const words = coder.words();
  const data = new DataView(new ArrayBuffer(4 + 4 * words.length));
  words.forEach((word, i) => data.setUint32(4 + 4 * i, word, true));
  data.setUint32(0, check(levels, words.length), true);
  return new Uint8Array(data.buffer);
}

/** The inverse; throws where the bytes are no such switches. */
export function decode(walks, bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = Array.from({ length: bytes.length / 4 - 1 }, (_, i) => data.getUint32(4 + 4 * i, true));
  const coder = new Decoder(words);
  const levels = walks.map((walk) => {
    const places = new Uint8Array(walk.count);
    walk.each((ends, index) => (places[index] = coder.take(ends)));
    return places;
  });
  if (check(levels, words.length) !== data.getUint32(0, true)) throw new Error("no such switches");
  return levels;
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
