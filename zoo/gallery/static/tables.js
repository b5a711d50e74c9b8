// How likely switches are by a network's tables, as runtime/switch_tables.py has it. `dims` is
// [N, C, H, W] of a level; a table has C × 256 × 4 whole numbers, four of which sum to 4096.

import { partsOf, unpacked } from "./coder.js";

/** The tables as a model's metadata hold them -> one array a level. */
export async function readTables(text, channels) {
  const bytes = await unpacked(text);
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

/** The switches of one level with a border of zeros, in the order in which they are coded. */
export class TablesWalk {
  constructor([, channels, height, width], table) {
    Object.assign(this, { channels, height, width, table });
    this.count = channels * height * width;
    this.row = width + 2;
    this.plane = (height + 1) * this.row;
    this.known = new Uint8Array((channels + 1) * this.plane);
    this.ends = new Float64Array(5);
  }

  /** Calls `step` with the ends and the number of each switch; it returns the place. */
  each(step) {
    const { channels, height, width } = this;
    for (let wave = 0; wave < channels + 2 * height + width - 3; wave++) {
      // From the last column to the first, then by channel.
      for (let first = Math.max(0, wave - width + 1); first <= wave; first++) {
        const x = wave - first;
        for (let c = first % 2; c < Math.min(channels, first + 1); c += 2) {
          const y = (first - c) / 2;
          if (y < height) {
            const at = (c + 1) * this.plane + (y + 1) * this.row + x + 1;
            this.known[at] = step(this.bounds(at, c), (c * height + y) * width + x);
          }
        }
      }
    }
  }

  bounds(at, channel) {
    const { known, row, table } = this;
    const around = (known[at - row] << 6) | (known[at - 1] << 4) | (known[at - row + 1] << 2)
      | known[at - this.plane];
    const first = 4 * (256 * channel + around);
    return partsOf((k) => table[first + k], this.ends);
  }
}
