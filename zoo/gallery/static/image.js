// Pictures onto canvases, and how far apart two are.

/** RGB planes as a picture's data. */
export function toImage(rgb, height, width) {
  const image = new ImageData(width, height);
  const plane = height * width;
  for (let i = 0; i < plane; i++) {
    // The array rounds and clamps by itself.
    for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = rgb[channel * plane + i];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

/** RGB planes onto a canvas. */
export function draw(canvas, rgb, height, width) {
  show(canvas, toImage(rgb, height, width));
}

/** A picture's data onto a canvas, which becomes as large. */
export function show(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Where two differ, `factor` times as bright. */
export function drawDifference(canvas, a, b, height, width, factor) {
  draw(canvas, a.map((value, i) => factor * Math.abs(value - b[i])), height, width);
}

/** A canvas as a file that is saved. */
export async function save(canvas, name) {
  const blob = await new Promise((done) => { canvas.toBlob(done, "image/png"); });
  saveBlob(blob, name);
}

/** A file that is saved. */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
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
