// The same picture as JPEG, by the browser's own encoder.

/**
 * The best JPEG of a canvas that takes no more bytes than `most`, or else the smallest one:
 * { bytes, quality (0…1), pixels (ImageData) }.
 */
export async function within(canvas, most) {
  let low = 0, high = 100, best = await encoded(canvas, 0);
  while (low < high) {
    const quality = Math.ceil((low + high) / 2);
    const found = await encoded(canvas, quality / 100);
    if (found.blob.size <= most) [low, best] = [quality, found];
    else high = quality - 1;
  }
  const bitmap = await createImageBitmap(best.blob);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  return { bytes: best.blob.size, quality: best.quality, pixels };
}

async function encoded(canvas, quality) {
  const blob = await new Promise((done) => { canvas.toBlob(done, "image/jpeg", quality); });
  return { blob, quality };
}
