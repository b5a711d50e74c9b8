"""A network for small files in ONNX Runtime, PyTorch and Chromium: each one's files in the others.

    python -m tests.zoo.gallery.round_trip RUNS/A-rate-N IMAGES -o FILE.json

RUNS/A-rate-N is what `zoo train --arch A-rate-N` wrote, IMAGES a folder. Whichever encoded an
image, its file must give all of them the same switches, and these the same file. Which switches an
encoder finds, and the last bit of a pixel, hang on the order in which floats are summed: that is
counted.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import prototxt
import runtime
from runtime.codec import dump, places_of, pointing
from tests.zoo.gallery.browser import Browser, headless
from zoo import hub as hubs
from zoo.compression.network import RateNetwork
from zoo.gallery import build, vendor
from zoo.hub.server import Server
from zoo.paper.coding import Coder, open_coder
from zoo.paper.recipes.run import Files

SCRIPT = """
const [url, name, pixels, height, width, files, done] = arguments;
const load = (module) => import(`${url}/gallery/${module}.js`);
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const textOf = async (bytes) => {
  const address = new FileReader();
  await new Promise((read) => { address.onload = read; address.readAsDataURL(new Blob([bytes])); });
  return address.result.split(",")[1];
};
Promise.all(["networks", "feeding", "codec", "coder", "scores"].map(load)).then(async (modules) => {
  const [networks, feeding, codec, coder, scores] = modules;
  const { models } = await (await fetch(`${url}/gallery/demo.json`)).json();
  const model = models.find((one) => one.name === name);
  const known = await scores.readScores(
    await (await fetch(`${url}/gallery/${model.coding.url}`)).text(), model.levels);
  globalThis.opened ??= await networks.open(model);
  const input = feeding.toInput(Float32Array.from(bytesOf(pixels)), model);
  const { masks, features } = await networks.encode(opened, model, input, height, width);
  const dims = masks.map((mask) => mask.dims);
  const walks = () => dims.map((dim, i) => new scores.ScoresWalk(dim, known[i]));
  const header = { height, width, ...model.file };
  const fileOf = (levels) => codec.switchesFile(
    header, dims, levels, "scores", coder.encode(walks(), levels));
  const levels = masks.map((mask) => codec.toSwitches(mask.data, mask.dims));
  const start = 15 + 2 * dims.length + 1 + header.arch.length + 32;
  const read = files.map((file) => coder.decode(walks(), bytesOf(file).slice(start, -4)));
  const again = await Promise.all(read.map((places) => fileOf(places)));
  const rebuilt = await networks.decode(opened, model, read[0].map((level, i) => (
    { data: codec.toMask(level, dims[i]), dims: dims[i] })), features);
  const picture = Uint8ClampedArray.from(feeding.fromOutput(rebuilt, model));
  done({
    file: await textOf(fileOf(levels)),
    places: await textOf(levels.at(-1)),
    read: await Promise.all(read.map((places) => textOf(places.at(-1)))),
    again: await Promise.all(again.map(textOf)),
    picture: await textOf(picture),
  });
}).catch((error) => done(`${error} ${error.stack}`));
"""


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def compare(
    page: Browser, url: str, name: str, coder: Coder, network: RateNetwork, image: np.ndarray
) -> dict[str, Any]:
    """An H×W×3 uint8 BGR image, H and W multiples of 8, by all three."""
    height, width = image.shape[:2]
    known, header = coder.network.entropy_model, coder.header(height, width)

    def file_of(masks: list[np.ndarray]) -> bytes:
        into = io.BytesIO()
        dump(into, header, masks, known)
        return into.getvalue()

    def read(data: bytes) -> list[np.ndarray]:
        with tempfile.NamedTemporaryFile(suffix=".switches") as file:
            file.write(data)
            file.flush()
            return list(runtime.read_masks(file.name, known))

    by_onnx = coder.switches(image)
    mean = torch.from_numpy(coder.mean.astype(np.float32)) / 255
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)) / 255 - mean
    with torch.no_grad():
        best = network.encode(pixels)[0].argmax(1).numpy()
        *_, onnx_places = places_of(by_onnx)
        ones = torch.from_numpy(onnx_places[:, None] == np.arange(4)[:, None, None])
        rebuilt = network.decode(ones.flatten(0, 1)[None].float()) + mean
    by_torch = [*by_onnx[:-1], pointing(best.copy())]
    files = {"onnxruntime": file_of(by_onnx), "torch": file_of(by_torch)}
    plane = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)).tobytes()
    found = page.driver.execute_async_script(
        SCRIPT, url, name, text_of(plane), height, width, [text_of(f) for f in files.values()]
    )
    if isinstance(found, str):
        raise RuntimeError(found)
    files["chromium"] = base64.b64decode(found["file"])
    places = {"onnxruntime": onnx_places.ravel(), "torch": best.ravel().astype(np.uint8)}
    places["chromium"] = np.frombuffer(base64.b64decode(found["places"]), np.uint8)
    for kind, data in files.items():
        masks = read(data)
        assert np.array_equal(places_of(masks)[-1].ravel(), places[kind]), kind
        assert file_of(masks) == data, kind
    for kind, there, again in zip(places, found["read"], found["again"], strict=False):
        assert base64.b64decode(there) == places[kind].tobytes(), kind
        assert base64.b64decode(again) == files[kind], kind
    ours = coder.picture(by_onnx, height, width).astype(int)
    values = (rebuilt[0].clamp(0, 1) * 255).round().numpy().transpose(1, 2, 0)
    theirs = np.frombuffer(base64.b64decode(found["picture"]), np.uint8)
    pictures = {
        "torch": values.astype(int),
        "chromium": theirs.reshape(3, height, width).transpose(1, 2, 0)[..., ::-1].astype(int),
    }
    return {
        "bytes": {kind: len(data) for kind, data in files.items()},
        "switches": int(onnx_places.size),
        "other_switches": {
            kind: int((where != places["onnxruntime"]).sum())
            for kind, where in places.items()
            if kind != "onnxruntime"
        },
        "largest_difference": {
            kind: int(np.abs(picture - ours).max()) for kind, picture in pictures.items()
        },
    }


@contextmanager
def served(files: Files, folder: Path) -> Iterator[str]:
    """A hub of that network alone with its gallery, by its address."""
    hubs.publish([files.onnx], folder, name=files.name, encoder="learned")
    build(folder, runtime_web=vendor.RUNTIME.kept())
    with Server(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.url
        server.shutdown()


def opened(files: Files) -> tuple[Coder, RateNetwork]:
    """The network in ONNX Runtime and in PyTorch."""
    n1, n2, n3 = map(int, files.name.partition("-")[0].split("_"))
    network = RateNetwork((n1, n2, n3))
    network.load_blobs(prototxt.read_weights(files.caffemodel))
    return open_coder(files.onnx, "cpu"), network.eval()


def main() -> None:
    """The command line above; a line on stdout for each image."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("-o", dest="output", type=Path)
    given = parser.parse_args()
    files = Files(given.run, given.run.name)
    coder, network = opened(files)
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        served(files, Path(folder)) as url,
        headless() as page,
    ):
        page.driver.set_script_timeout(300)
        page.open(f"{url}/index.html")
        for path in runtime.list_images(given.images):
            image = runtime.read_image(path)
            image = image[: image.shape[0] // 8 * 8, : image.shape[1] // 8 * 8]
            rows.append(
                {"image": path.name, **compare(page, url, files.name, coder, network, image)}
            )
            sys.stdout.write(json.dumps(rows[-1]) + "\n")
            sys.stdout.flush()
    if given.output:
        prototxt.atomic_write(
            given.output, json.dumps({"network": files.name, "images": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
