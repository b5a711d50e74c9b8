// Switches as numbers 0…3, and as the code: two bits each. Pure functions; `dims` is [N, C, H, W].
//
// A mask is Caffe's: for each 2×2 window the index h*W + w of its maximum in the plane of before
// the pooling, 2H × 2W. A switch is where in its window that is: 0 1 above, 2 3 below.

/** Mask (BigInt64Array) -> switches (Uint8Array). */
export function toSwitches(mask, dims) {
  const [height, width] = dims.slice(2);
  const wide = 2 * width;
  const switches = new Uint8Array(mask.length);
  for (let i = 0; i < mask.length; i++) {
    const index = Number(mask[i]);
    const row = Math.floor(index / wide), column = index % wide;
    const y = row - 2 * (Math.floor(i / width) % height), x = column - 2 * (i % width);
    if (y < 0 || y > 1 || x < 0 || x > 1) throw new Error("a switch lies outside its window");
    switches[i] = 2 * y + x;
  }
  return switches;
}

/** Switches -> mask, the inverse. */
export function toMask(switches, dims) {
  const [height, width] = dims.slice(2);
  const wide = 2 * width;
  const mask = new BigInt64Array(switches.length);
  for (let i = 0; i < switches.length; i++) {
    const row = 2 * (Math.floor(i / width) % height) + (switches[i] >> 1);
    mask[i] = BigInt(row * wide + 2 * (i % width) + (switches[i] & 1));
  }
  return mask;
}

/** Switches of all levels, one after the other -> bytes, four switches to each. */
export function pack(levels) {
  const count = levels.reduce((sum, level) => sum + level.length, 0);
  const code = new Uint8Array(Math.ceil(count / 4));
  let place = 0;
  for (const level of levels) {
    for (const value of level) {
      code[place >> 2] |= value << (2 * (place & 3));
      place++;
    }
  }
  return code;
}

/** Bytes -> switches of each level; `counts` says how many each has. */
export function unpack(code, counts) {
  let place = 0;
  return counts.map((count) => {
    const level = new Uint8Array(count);
    for (let i = 0; i < count; i++, place++) level[i] = (code[place >> 2] >> (2 * (place & 3))) & 3;
    return level;
  });
}

/** A copy in which a share (0…1) of each plane's switches have changed places among themselves. */
export function shuffle(switches, dims, share, random) {
  const plane = dims[2] * dims[3];
  const result = switches.slice();
  const order = new Uint32Array(plane);
  const count = Math.round(share * plane);
  for (let start = 0; start < switches.length; start += plane) {
    for (let i = 0; i < plane; i++) order[i] = start + i;
    for (let i = 0; i < count; i++) swap(order, i, i + Math.floor(random() * (plane - i)));
    // A ring, so that each of them really leaves its place.
    for (let i = 0; i < count; i++) result[order[i]] = switches[order[(i + 1) % count]];
  }
  return result;
}

function swap(array, i, j) {
  [array[i], array[j]] = [array[j], array[i]];
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const CODINGS = ["raw", "lzma2", "tables", "scores"];

/**
 * A .switches file, as `zoo decode` reads it: version 1, the switches as they are, 2 bits each, or
 * `coded`, what coder.js made of them by tables or scores (`coding`). `header` has height, width, arch
 * (ASCII) and sha256 (hex) of the model; `dims` [N, C, H, W] of each level, without padding.
 */
export function switchesFile(header, dims, levels, coding = "raw", coded = null) {
  const name = new TextEncoder().encode(header.arch);
  const start = new Uint8Array(15 + 2 * dims.length + 1 + name.length + 32);
  const view = new DataView(start.buffer);
  start.set([0x89, 0x5a, 0x53, 0x57, 1, CODINGS.indexOf(coding)]);
  view.setUint32(6, header.height, true);
  view.setUint32(10, header.width, true);
  start[14] = dims.length;
  dims.forEach(([, channels], i) => view.setUint16(15 + 2 * i, channels, true));
  const after = 15 + 2 * dims.length;
  start[after] = name.length;
  start.set(name, after + 1);
  start.set(header.sha256.match(/../g).map((pair) => parseInt(pair, 16)), after + 1 + name.length);
  const parts = [start, ...(coded ? [coded] : levels.map(packHighFirst))];
  const end = new Uint8Array(4);
  new DataView(end.buffer).setUint32(0, crc32(parts), true);
  return new Blob([...parts, end]);
}

/** The switches of one level, the first in the highest bits, filled up with zeros. */
function packHighFirst(level) {
  const bytes = new Uint8Array(Math.ceil(level.length / 4));
  level.forEach((value, i) => { bytes[i >> 2] |= value << (6 - 2 * (i & 3)); });
  return bytes;
}

/** CRC-32 of some arrays of bytes, one after the other. */
export function crc32(parts) {
  let crc = 0xffffffff;
  for (const part of parts) {
    for (const byte of part) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return ~crc >>> 0;
}
