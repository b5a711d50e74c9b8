// Photographs to what the network takes, and back.

const LARGEST = 16e6; // pixels; some browsers give no larger canvas

/** The pixels of a file or URL, upright, on white where it lets through. */
export async function decode(source) {
  const blob = typeof source === "string" ? await fetched(source) : source;
  const bitmap = await createImageBitmap(blob);
  const factor = Math.min(1, Math.sqrt(LARGEST / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(bitmap.width * factor));
  canvas.height = Math.max(1, Math.floor(bitmap.height * factor));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.blob();
}

/** Plain bilinear, without antialiasing, as OpenCV has it: RGB values, rounded, plane by plane. */
export function resize(image, height, width) {
  const { data } = image;
  const result = new Float32Array(3 * height * width);
  const columns = places(image.width, width), rows = places(image.height, height);
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = rows[y];
    for (let x = 0; x < width; x++) {
      const [left, right, across] = columns[x];
      for (let channel = 0; channel < 3; channel++) {
        const at = (row, column) => data[4 * (row * image.width + column) + channel];
        const above = at(top, left) * (1 - across) + at(top, right) * across;
        const below = at(bottom, left) * (1 - across) + at(bottom, right) * across;
        result[(channel * height + y) * width + x] = Math.round(above * (1 - down) + below * down);
      }
    }
  }
  return result;
}

function places(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const exact = (i + 0.5) * (from / to) - 0.5;
    const low = Math.max(0, Math.min(from - 1, Math.floor(exact)));
    const high = Math.min(from - 1, low + 1);
    return [low, high, Math.max(0, Math.min(1, exact - low))];
  });
}

/** RGB planes of 0…255 -> the network's input: its channel order, minus the mean, times the scale. */
export function toInput(rgb, model) {
  const plane = rgb.length / 3;
  return new Float32Array(rgb.length).map((_, i) => {
    const channel = Math.floor(i / plane);
    return (rgb[ordered(channel, model) * plane + (i % plane)] - mean(channel, model)) * model.scale;
  });
}

/** The network's output -> RGB planes, the inverse. */
export function fromOutput(values, model) {
  const plane = values.length / 3;
  return new Float32Array(values.length).map((_, i) => {
    const channel = ordered(Math.floor(i / plane), model);
    return values[channel * plane + (i % plane)] / model.scale + mean(channel, model);
  });
}

/** The channel's place in the other order; going there and coming back are the same. */
function ordered(channel, model) {
  return model.channelOrder === "BGR" ? 2 - channel : channel;
}

/** The mean is given in the network's order, or as one number for all. */
function mean(channel, model) {
  return model.mean[model.mean.length === 3 ? channel : 0];
}

/** RGB planes onto a canvas. */
export function draw(canvas, rgb, height, width) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const plane = height * width;
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * i + channel] = Math.round(rgb[channel * plane + i]); // clamps by itself
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const CORNERS = [[18, 68, 77], [86, 185, 203], [244, 162, 89], [246, 239, 224]];

/** Four planes of switches as a picture: a colour for each corner of the window. */
export function drawSwitches(canvas, switches, dims) {
  const [channels, height, width] = dims.slice(1);
  const across = channels > 1 ? 2 : 1;
  canvas.width = across * width;
  canvas.height = across * height;
  const image = new ImageData(canvas.width, canvas.height);
  for (let tile = 0; tile < Math.min(channels, across * across); tile++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const colour = CORNERS[switches[(tile * height + y) * width + x]];
        const row = Math.floor(tile / across) * height + y;
        const place = 4 * (row * canvas.width + (tile % across) * width + x);
        image.data.set([...colour, 255], place);
      }
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Root of the mean squared difference, with pixels in [0, 1]. */
export function rmse(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum / a.length) / 255;
}

/** The greatest difference, in values of 0…255. */
export function largestChange(a, b) {
  let found = 0;
  for (let i = 0; i < a.length; i++) found = Math.max(found, Math.abs(a[i] - b[i]));
  return found;
}
