// Photographs to what a network takes, and back, by the same numbers as `runtime.Feeder`.
//
// `how` is what a manifest says of a model: channelOrder, mean, scale, size, crop.

const LARGEST = 16e6; // pixels; some browsers give no larger canvas

/** The pixels of a file or URL, upright, on white where it lets through; no side over `longest`. */
export async function decode(source, longest = Infinity) {
  const blob = typeof source === "string" ? await fetched(source) : source;
  const bitmap = await createImageBitmap(blob);
  const room = Math.sqrt(LARGEST / (bitmap.width * bitmap.height));
  const factor = Math.min(1, room, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(bitmap.width * factor));
  canvas.height = Math.max(1, Math.floor(bitmap.height * factor));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.blob();
}

/**
 * OpenCV's plain bilinear filter (INTER_LINEAR of 8 bits), to the bit: RGB planes of 0…255.
 * Weights are in 1/2048; along columns products lose 4 and 16 bits before they are added.
 */
export function resize(image, height, width) {
  const { data } = image;
  const result = new Float32Array(3 * height * width);
  const plane = height * width;
  if (image.height === height && image.width === width) {
    for (let i = 0; i < plane; i++) {
      for (let channel = 0; channel < 3; channel++) result[channel * plane + i] = data[4 * i + channel];
    }
    return result;
  }
  const columns = places(image.width, width, true), rows = places(image.height, height, false);
  for (let y = 0; y < height; y++) {
    const { low: top, high: bottom, before: above, after: below } = rows[y];
    for (let x = 0; x < width; x++) {
      const { low: left, high: right, before, after } = columns[x];
      for (let channel = 0; channel < 3; channel++) {
        const row = (number) => {
          const start = 4 * number * image.width + channel;
          return data[start + 4 * left] * before + data[start + 4 * right] * after;
        };
        const sum = (((row(top) >> 4) * above) >> 16) + (((row(bottom) >> 4) * below) >> 16);
        result[channel * plane + y * width + x] = Math.max(0, Math.min(255, (sum + 2) >> 2));
      }
    }
  }
  return result;
}

/** For each place of `to` the two of `from` that it lies between, and their weights. */
function places(from, to, columns) {
  const inside = (place) => Math.max(0, Math.min(from - 1, place));
  return Array.from({ length: to }, (_, i) => {
    const exact = Math.fround((i + 0.5) * (from / to) - 0.5);
    let low = Math.floor(exact), share = Math.fround(exact - low);
    if (columns && low < 0) [low, share] = [0, 0];
    if (columns && low >= from - 1) [low, share] = [from - 1, 0];
    return {
      low: inside(low),
      high: inside(low + 1),
      before: evenly((1 - share) * 2048),
      after: evenly(share * 2048),
    };
  });
}

/** Rounded; a half to the even number. */
function evenly(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** What a photograph becomes: { data, dims, size, crop, window }, `window` as shares of the image. */
export function feed(image, how) {
  const [height, width] = how.size ?? [image.height, image.width];
  const [tall, wide] = how.crop ?? [height, width];
  const top = (height - tall) >> 1, left = (width - wide) >> 1;
  const planes = cut(resize(image, height, width), height, width, top, left, tall, wide);
  return {
    data: toInput(planes, how),
    dims: [1, how.channelOrder === "GRAY" ? 1 : 3, tall, wide],
    window: [top / height, left / width, tall / height, wide / width],
  };
}

function cut(planes, height, width, top, left, tall, wide) {
  if (tall === height && wide === width) return planes;
  const result = new Float32Array(3 * tall * wide);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < tall; y++) {
      const start = (channel * height + top + y) * width + left;
      result.set(planes.subarray(start, start + wide), (channel * tall + y) * wide);
    }
  }
  return result;
}

/** RGB planes of 0…255 -> the network's input: its channels, minus the mean, times the scale. */
export function toInput(rgb, how) {
  const plane = rgb.length / 3, scale = Math.fround(how.scale);
  const channels = how.channelOrder === "GRAY" ? 1 : 3;
  const values = channels === 1 ? grey(rgb) : rgb;
  const result = new Float32Array(channels * plane);
  for (let channel = 0; channel < channels; channel++) {
    const from = channels === 1 ? 0 : ordered(channel, how) * plane;
    const mean = Math.fround(meanOf(channel, how));
    for (let i = 0; i < plane; i++) {
      const value = Math.fround(values[from + i] - mean);
      result[channel * plane + i] = scale === 1 ? value : value * scale;
    }
  }
  return result;
}

/** OpenCV's grey of 8 bits. */
function grey(rgb) {
  const plane = rgb.length / 3;
  const result = new Float32Array(plane);
  for (let i = 0; i < plane; i++) {
    const [red, green, blue] = [rgb[i], rgb[plane + i], rgb[2 * plane + i]];
    result[i] = (blue * 3735 + green * 19235 + red * 9798 + 16384) >> 15;
  }
  return result;
}

/** An image that a network made of three channels -> RGB planes, the inverse of `toInput`. */
export function fromOutput(values, how) {
  const plane = values.length / 3;
  return new Float32Array(values.length).map((_, i) => {
    const channel = ordered(Math.floor(i / plane), how);
    return values[channel * plane + (i % plane)] / how.scale + meanOf(channel, how);
  });
}

/** The channel's place in the other order; going there and coming back are the same. */
export function ordered(channel, how) {
  return how.channelOrder === "BGR" ? 2 - channel : channel;
}

/** The mean is given in the network's order, or as one number for all. */
export function meanOf(channel, how) {
  return how.mean[how.mean.length === 3 ? channel : 0];
}
