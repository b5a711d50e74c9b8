"""The gallery in a real browser: headless Chromium, driven by selenium.

Skipped where there is none. The demonstration needs onnxruntime-web as well, which is taken from
the cache (`zoo publish --gallery` puts it there) and never fetched by a test.
"""

import base64
import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime.encoder_decoder import load_encoder_decoder
from runtime.switch_tables import SwitchTables
from tests.scores import drawn_scores
from tests.zoo.gallery.browser import PHONE, WIDE, Browser
from zoo import hub as hubs
from zoo.gallery import build
from zoo.paper.coding import add_tables
from zoo.paper.reconstruction import reconstruct

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def photographs(few_photographs) -> Path:
    return few_photographs


@pytest.fixture(scope="module")
def gallery(published, photographs, onnxruntime_web, tmp_path_factory) -> Path:
    """A hub with its gallery; with the demonstration where its runtime is at hand."""
    root = tmp_path_factory.mktemp("gallery")
    folder, given = root / "hub", root / "given"
    entry = hubs.open_hub(published).index.models[0]
    given.mkdir()
    models = [
        Path(shutil.copy(published / entry.path(file), given / file.name)) for file in entry.models
    ]
    sizes = [runtime.read_image(path) for path in sorted(photographs.iterdir())]
    add_tables(given / "net.onnx", [runtime.resize(image, 128, 128) for image in sizes])
    (given / "card.md").write_text("# A small network\n")
    metric = hubs.Metric("rmse", 0.1, "photographs", 2)
    how = {"encoder": "random", "metrics": [metric], "card": given / "card.md"}
    hubs.publish(models, folder, name=entry.name, **how)
    build(folder, photographs, demo=bool(onnxruntime_web), runtime_web=onnxruntime_web)
    return folder


PAGES = ["index.html", "gallery/2_3_4/1.0.html", "demo.html"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_and_asks_nobody_else(gallery, chromium, url, page, size, dark):
    if not (gallery / page).exists():
        pytest.skip("needs onnxruntime-web in the cache: run `zoo publish --gallery` once")
    chromium.open(f"{url}/{page}", size, dark)
    chromium.until("document.readyState === 'complete'")
    if page == "demo.html":
        chromium.until("document.body.dataset.state === 'done'")
    assert chromium("document.documentElement.scrollWidth") <= size[0]
    light = chromium("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(light) < 200) is dark
    assert chromium.hosts() == {url}
    assert chromium.complaints() == []
    # Pictures are loaded when they come into view.
    chromium.do("for (const image of document.images) image.loading = 'eager'")
    chromium.until("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def contrast(chromium: Browser, selector: str) -> float:
    """WCAG's contrast of a text's colour with what lies behind it."""

    def luminance(colour: list[float]) -> float:
        parts = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    front, back = chromium(
        """(() => {
            const parse = (text) => text.match(/[\\d.]+/g).map(Number);
            const element = document.querySelector(arguments[0]);
            let behind = element;
            const clear = (e) => parse(getComputedStyle(e).backgroundColor)[3] === 0;
            while (behind.parentElement && clear(behind)) behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
                .map(parse);
        })()""",
        selector,
    )
    high, low = sorted((luminance(front), luminance(back)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_texts_can_be_read(chromium, url, dark):
    chromium.open(f"{url}/index.html", dark=dark)
    for selector in (
        "h1",
        ".intro",
        "figcaption",
        ".cards b",
        "td.none",
        ".cards .aside",
        ".badge.reconstruct",
        "footer p",
    ):
        assert contrast(chromium, selector) >= 4.5, selector
    chromium.open(f"{url}/gallery/2_3_4/1.0.html", dark=dark)
    for selector in ("dt", "dd", ".copy-button", "pre code", "summary"):
        assert contrast(chromium, selector) >= 4.5, selector


def test_the_table_is_sorted(chromium, url):
    chromium.open(f"{url}/index.html")
    column = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[{}].textContent.trim())"
    first = chromium(column.format(0))
    published = "document.querySelectorAll('.sortable button')[3]"
    for order in ("ascending", "descending"):
        chromium.do(f"{published}.click()")
        values = [float(text) for text in chromium(column.format(3))]
        assert values == sorted(values, reverse=order == "descending")
        states = chromium("[...document.querySelectorAll('thead th')].map(h => h.ariaSort)")
        assert states == [None, None, None, order, None, None, None]
    chromium.do("document.querySelectorAll('.sortable button')[4].click()")
    assert set(chromium(column.format(4))[-13:]) == {"–"}
    chromium.do("document.querySelectorAll('.sortable button')[0].click()")
    assert chromium(column.format(0)) == first
    # With the keyboard as well.
    chromium.do(f"{published}.focus()")
    chromium.driver.switch_to.active_element.send_keys("\ue007")
    assert chromium(f"{published}.parentElement.ariaSort") == "ascending"


def test_commands_name_this_hub_and_are_copied(chromium, url):
    chromium.open(f"{url}/gallery/2_3_4/1.0.html")
    chromium.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": url},
    )
    codes = chromium("[...document.querySelectorAll('pre')].map((block) => block.textContent)")
    assert f"zoo pull 2_3_4@1.0 --hub {url} -o models" in codes
    chromium.do("document.querySelector('.copy-button').click()")
    chromium.until("document.querySelector('.copy-button').textContent !== 'Copy'")
    names = chromium("[...document.querySelectorAll('.copy-button')].map(b => b.ariaLabel)")
    assert set(names) == {"Copy the code", "Copy the SHA-256"}


def expected_rmse(gallery: Path, photograph: Path, size: int = 128) -> float:
    """What `zoo reconstruct` measures."""
    model = runtime.load(gallery / "2_3_4/1.0/net.onnx")
    mean = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
    return reconstruct(model, runtime.read_image(photograph), mean, (size, size)).rmse


def test_the_page_rebuilds_as_the_command_does(demo, gallery, photographs):
    page = demo()
    for photograph in sorted(photographs.iterdir()):
        page.do("document.body.dataset.state = 'waiting'")
        page.driver.find_element("id", "file").send_keys(str(photograph))
        page.until("document.body.dataset.state === 'done'")
        value = float(page("document.getElementById('rmse').dataset.value"))
        assert value == pytest.approx(expected_rmse(gallery, photograph), abs=2e-4)
    # [2, 3, 4] at 128×128: two bits for each of 2·64² + 3·32² + 4·16² windows.
    assert page.text("bits") == f"{2 * (2 * 4096 + 3 * 1024 + 4 * 256):,} bits"
    bytes_, *words, each, _, _ = page.text("bytes").split()
    assert 0 < int(bytes_.replace(",", "")) < 3072  # those of two bits
    assert words == ["bytes", "for", "128×128", "pixels,"]
    assert float(each) == round(int(bytes_.replace(",", "")) / 2048, 3)
    assert page.text("per-pixel") == "0.5"
    assert page.text("backend").startswith("WebAssembly")
    assert page.complaints() == []


def test_webgpu(demo, gallery, photographs):
    """On a GPU that Chromium imitates; the page takes it only where it is told to."""
    page = demo(query="")
    assert page.text("backend").startswith("WebAssembly")
    page.do("navigator.gpu.requestAdapter().then(a => { document.title = a ? 'there' : 'none'; })")
    if page.until("['there', 'none'].find(t => t === document.title)") == "none":
        pytest.skip("this browser has no WebGPU")
    page = demo(query="?backend=webgpu")
    assert page.text("backend") == "WebGPU"
    value = float(page("document.getElementById('rmse').dataset.value"))
    photograph = sorted(photographs.iterdir())[0]
    # The sample is a JPEG of the photograph.
    assert value == pytest.approx(expected_rmse(gallery, photograph), abs=2e-3)
    choose(page, "document.querySelector('input[value=noise]').click()")
    assert page("document.getElementById('change').dataset.value") == "0"


def test_another_size(demo, gallery, photographs):
    page = demo()
    photograph = sorted(photographs.iterdir())[0]
    page.driver.find_element("id", "file").send_keys(str(photograph))
    page.do("document.getElementById('size').value = '64'")
    page.do("document.getElementById('size').dispatchEvent(new Event('change'))")
    page.until("document.getElementById('bytes').textContent.includes('64×64 pixels')")
    page.until("document.body.dataset.state === 'done'")
    value = float(page("document.getElementById('rmse').dataset.value"))
    assert value == pytest.approx(expected_rmse(gallery, photograph, 64), abs=2e-4)


def choose(page: Browser, script: str) -> None:
    page.do("document.body.dataset.state = 'waiting'")
    page.do(script)
    page.until("document.body.dataset.state === 'done'")


def share(percent: int) -> str:
    return (
        f"const r = document.getElementById('share'); r.value = {percent}; "
        "r.dispatchEvent(new Event('input'))"
    )


def test_features_change_nothing_and_switches_do(demo):
    page = demo()
    canvas = "document.getElementById('rebuilt').getContext('2d')"
    pixels = f"[...{canvas}.getImageData(0, 0, 128, 128).data]"
    before, error = page(pixels), page.text("rmse")
    for kind in ("zero", "noise", "hundredfold"):
        choose(page, f"document.querySelector('input[value={kind}]').click()")
        assert page("document.getElementById('change').dataset.value") == "0"
        assert "Not one pixel changed" in page.text("change")
        assert page(pixels) == before and page.text("rmse") == error
    choose(page, "document.querySelector('input[value=kept]').click()")
    choose(page, share(100))
    assert page.text("rmse-plain") == f"{error} as it was"
    shuffled = page(pixels)
    assert sum(a != b for a, b in zip(shuffled, before, strict=True)) > 5000
    # No level chosen: nothing is shuffled, whatever the share.
    choose(page, "for (const box of document.querySelectorAll('[name=level]')) box.click()")
    assert page(pixels) == before
    choose(page, share(0))
    assert page(pixels) == before and page.text("rmse") == error


def test_what_is_downloaded(demo, gallery, photographs, tmp_path, zoo):
    """The picture is the one on the page, and the switches are those that make it again."""
    page = demo()
    page.do("document.body.dataset.state = 'waiting'")
    page.driver.find_element("id", "file").send_keys(str(sorted(photographs.iterdir())[0]))
    page.until("document.body.dataset.state === 'done'")
    saved = runtime.read_image(page.download("save", tmp_path / "rebuilt.png"))
    canvas = "document.getElementById('rebuilt').getContext('2d')"
    shown = np.array(page(f"[...{canvas}.getImageData(0, 0, 128, 128).data]"), np.uint8)
    np.testing.assert_array_equal(saved[..., ::-1], shown.reshape(128, 128, 4)[..., :3])
    file = page.download("save-switches", tmp_path / "photograph.switches")
    assert runtime.read_header(file).coding == "tables"
    assert page.text("bytes").startswith(f"{file.stat().st_size:,} bytes ")
    assert zoo("decode", file, "--hub", gallery, "-o", "again.png").status == 0
    again = runtime.read_image(tmp_path / "again.png")
    assert np.abs(again.astype(int) - saved).max() <= 1  # where a half is rounded
    # They are the switches that the command finds itself.
    runtime.write_png(tmp_path / "seen.png", seen(page))
    whole = gallery / "2_3_4/1.0/net.onnx"
    assert zoo("encode", "seen.png", "--model", whole, "-o", "own.switches").status == 0
    tables = load_encoder_decoder(whole, "cpu").entropy_model
    own, theirs = (
        list(runtime.read_masks(tmp_path / name, tables)) for name in ("own.switches", file.name)
    )
    for ours, others in zip(own, theirs, strict=True):
        assert (ours != others).mean() < 1e-3


def seen(page: Browser) -> np.ndarray:
    """The photograph as the network sees it: H×W×3, BGR."""
    canvas = "document.getElementById('original').getContext('2d')"
    values = np.array(page(f"[...{canvas}.getImageData(0, 0, 128, 128).data]"), np.uint8)
    return np.ascontiguousarray(values.reshape(128, 128, 4)[..., 2::-1])


def test_beside_jpeg_and_before(demo):
    page = demo()
    size = int(page.text("bytes").split()[0].replace(",", ""))
    words = page.text("jpeg-bytes").split()
    assert 0 < int(words[0].replace(",", "")) <= size and 0 <= int(words[-1]) <= 100
    error = float(page.text("jpeg").removeprefix("RMSE "))
    assert 0 < error < float(page.text("rmse"))
    assert page.text("status").startswith(f"Rebuilt from the switches: {size:,} bytes, an RMSE of")
    # What happened is told above the pictures.
    above = "document.getElementById('{}').getBoundingClientRect().top"
    assert page(above.format("status")) < page(above.format("original"))
    # The difference is what it says: four times as bright.
    get = "document.getElementById('{}').getContext('2d').getImageData(0, 0, 128, 128).data"
    before, after, shown = (
        np.array(page(f"[...{get.format(name)}]"), int)
        for name in ("before", "after", "difference")
    )
    wanted = np.minimum(4 * np.abs(before - after), 255).reshape(-1, 4)[:, :3]
    assert np.abs(shown.reshape(-1, 4)[:, :3] - wanted).max() <= 4  # from values not yet rounded
    choose(page, share(100))
    assert page.text("status").startswith("Rebuilt from shuffled switches")


def test_the_three_pictures_are_in_their_order_on_a_phone(demo):
    page = demo(size=PHONE)
    places = page(
        "['original', 'code', 'rebuilt'].map((id) => {"
        " const { top, left } = document.getElementById(id).getBoundingClientRect();"
        " return [top, left]; })"
    )
    assert places == sorted(places)


def test_a_photograph_is_dropped(demo, url):
    page = demo()
    before = page.text("rmse")
    choose(
        page,
        f"""
        fetch('{url}/gallery/photographs/2.jpg').then((found) => found.blob()).then((blob) => {{
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([blob], 'x.jpg', {{ type: 'image/jpeg' }}));
            const drop = new DragEvent('drop', {{ dataTransfer, bubbles: true, cancelable: true }});
            document.title = document.getElementById('drop').dispatchEvent(drop);
        }});""",
    )
    assert page("document.title") == "false"  # the browser does not open it itself
    assert page.text("rmse") != before


def test_what_is_no_photograph(demo, tmp_path):
    page = demo()
    (tmp_path / "x.png").write_text("nothing")
    page.driver.find_element("id", "file").send_keys(str(tmp_path / "x.png"))
    page.until("document.getElementById('status').classList.contains('error')")
    assert page.text("status") == "That is no picture that this browser can read."


def test_the_code_is_two_bits_a_switch_and_comes_back(demo, url):
    page = demo()
    found = page.driver.execute_async_script(
        """
        const done = arguments[1];
        import(`${arguments[0]}/gallery/codec.js`).then((codec) => {
          const dims = [1, 3, 4, 6], random = codec.randomFrom(3);
          const switches = Uint8Array.from({ length: 72 }, () => Math.floor(4 * random()));
          const mask = codec.toMask(switches, dims);
          const code = codec.pack([switches, switches.slice(0, 5)]);
          const [first, second] = codec.unpack(code, [72, 5]);
          const mixed = codec.shuffle(switches, dims, 1, codec.randomFrom(1));
          const kinds = (list) => [0, 1, 2, 3].map((k) => list.filter((v) => v === k).length);
          const planes = (list) => [0, 1, 2].map((p) => kinds(list.slice(24 * p, 24 * p + 24)));
          done({
            bytes: code.length,
            mask: [...mask].map(Number),
            switches: [...switches],
            again: [...codec.toSwitches(mask, dims)],
            first: [...first],
            second: [...second],
            kept: JSON.stringify(planes(switches)) === JSON.stringify(planes(mixed)),
            moved: mixed.some((value, i) => value !== switches[i]),
            none: [...codec.shuffle(switches, dims, 0, random)],
          });
        }).catch((error) => done({ error: String(error) }));
        """,
        url,
    )
    assert "error" not in found, found
    assert found["bytes"] == 20
    assert found["again"] == found["first"] == found["none"] == found["switches"]
    assert found["second"] == found["switches"][:5]
    assert found["kept"] and found["moved"]
    switches = np.array(found["switches"]).reshape(3, 4, 6)
    rows = 2 * np.arange(4)[:, None] + switches // 2
    columns = 2 * np.arange(6) + switches % 2
    np.testing.assert_array_equal(np.array(found["mask"]).reshape(3, 4, 6), rows * 12 + columns)


SHAPES = [(5, 9, 7), (6, 4, 3), (2, 1, 1), (3, 2, 9)]


@pytest.mark.parametrize("kind", ["tables", "scores"])
def test_switches_are_coded_as_they_are_here(demo, url, kind):
    """The same bytes as constriction's, to every word that a carry changes, and back."""

    def drawn(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [rng.integers(0, 4, shape).astype(np.uint8) & seed % 4 for shape in SHAPES]

    model = SwitchTables.counted(map(drawn, range(10)))
    if kind == "scores":
        model = drawn_scores([shape[0] for shape in SHAPES], 0, own=900)
    cases = [drawn(seed) for seed in range(100, 160)]
    page = demo()
    found = page.driver.execute_async_script(
        """
        const [url, kind, text, dims, cases, done] = arguments;
        const load = (name) => import(`${url}/gallery/${name}.js`);
        Promise.all(["coder", "tables", "scores"].map(load)).then(async (modules) => {
          const [{ decode, encode }, tables, scores] = modules;
          const [read, Walk] = kind === "tables"
            ? [tables.readTables, tables.TablesWalk] : [scores.readScores, scores.ScoresWalk];
          const known = await read(text, dims.map((dim) => dim[1]));
          const walks = () => dims.map((dim, i) => new Walk(dim, known[i]));
          done(cases.map((levels) => {
            const bytes = encode(walks(), levels.map((level) => Uint8Array.from(level)));
            return [[...bytes], decode(walks(), bytes).map((level) => [...level])];
          }));
        }).catch((error) => done(String(error)));
        """,
        url,
        kind,
        model.to_text(),
        [[1, *shape] for shape in SHAPES],
        [[level.ravel().tolist() for level in levels] for levels in cases],
    )
    assert isinstance(found, list), found
    for levels, (code, back) in zip(cases, found, strict=True):
        assert bytes(code) == model.encode(levels)
        assert back == [level.ravel().tolist() for level in levels]


def test_a_plain_static_host_in_a_folder_of_its_own(demo, gallery):
    """No headers of ours, so one thread; and not at the root of the host."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(gallery.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        page = demo(f"{origin}/hub")
        assert page.text("backend") == "WebAssembly"
        assert page.hosts() == {origin}
        assert page.complaints() == []
        page.open(f"{origin}/hub/index.html")
        assert f"export ZOO_HUB={origin}/hub\n" in page("document.querySelector('pre').textContent")
        server.shutdown()


def test_a_policy_keeps_other_hosts_out(chromium, url):
    chromium.open(f"{url}/index.html")
    chromium.do("fetch('https://example.org/').catch(() => { document.title = 'refused'; })")
    chromium.until("document.title === 'refused'")
    assert any("Content Security Policy" in text for text in chromium.complaints())


def test_the_pages_can_be_drawn(chromium, url, tmp_path):
    """The picture of a whole page is not empty: text and pictures are there."""
    chromium.open(f"{url}/index.html")
    shot = chromium.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path = tmp_path / "shot.png"
    path.write_bytes(base64.b64decode(shot["data"]))
    assert len(np.unique(runtime.read_image(path).reshape(-1, 3), axis=0)) > 500


def test_the_manifest_says_what_the_page_needs(gallery):
    if not (gallery / "demo.html").exists():
        pytest.skip("needs onnxruntime-web in the cache: run `zoo publish --gallery` once")
    (model,) = json.loads((gallery / "gallery/demo.json").read_text())["models"]
    assert model["mean"] == [104, 117, 123] and model["channelOrder"] == "BGR"
    assert (model["rmse"], model["bits"], model["levels"]) == (0.1, None, [2, 3, 4])
