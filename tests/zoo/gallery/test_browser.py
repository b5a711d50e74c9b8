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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtime
from zoo import hub as hubs
from zoo.gallery import build, vendor
from zoo.hub.server import Server
from zoo.paper.reconstruction import reconstruct

pytestmark = pytest.mark.browser

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
RUNTIME = vendor.kept()  # of the real cache, before any test names another
IMITATED_GPU = ("enable-unsafe-webgpu", "use-webgpu-adapter=swiftshader")
WIDE, PHONE = (1200, 900), (375, 700)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name, image in runtime.sample_images()[:2]:
        runtime.write_png(folder / f"{name}.png", image[::3, ::3])
    return folder


@pytest.fixture(scope="module")
def gallery(published, photographs, tmp_path_factory) -> Path:
    """A hub with its gallery; with the demonstration where its runtime is at hand."""
    folder = tmp_path_factory.mktemp("gallery") / "hub"
    shutil.copytree(published, folder)
    entry = hubs.open_hub(folder).index.models[0]
    metric = hubs.Metric("rmse", 0.1, "photographs", 2)
    models = [folder / entry.path(file) for file in entry.models]
    hubs.publish(models, folder, encoder="random", metrics=[metric])
    there = vendor.is_right(RUNTIME)
    build(folder, photographs, demo=there, runtime_web=RUNTIME if there else None)
    return folder


@pytest.fixture(scope="module")
def url(gallery) -> Iterator[str]:
    with Server(gallery) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.url
        server.shutdown()


class Browser:
    """A page that is open, and what it asked for and complained of."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, size: tuple[int, int] = WIDE, dark: bool = False) -> None:
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(address)

    def __call__(self, script: str, *arguments: Any) -> Any:
        """The value of an expression in the page."""
        return self.driver.execute_script(f"return ({script})", *arguments)

    def do(self, script: str) -> None:
        self.driver.execute_script(script)

    def until(self, script: str, seconds: float = 60) -> Any:
        """Wait for an expression to be true."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            found = self(script)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}; {self.complaints()}")

    def text(self, name: str) -> str:
        return str(self(f"document.getElementById('{name}').textContent"))

    def complaints(self) -> list[str]:
        return [
            line["message"]
            for line in self.driver.get_log("browser")
            # Chromium's own remark where there is no GPU.
            if "No available adapters" not in line["message"]
        ]

    def hosts(self) -> set[str]:
        """Where everything on the page came from."""
        return set(
            self("performance.getEntriesByType('resource').map(e => new URL(e.name).origin)")
        )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if BROWSER is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", *IMITATED_GPU):
        options.add_argument(f"--{flag}")
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def demo(gallery, chromium, url) -> Callable[..., Browser]:
    """Opens the demonstration and waits until its first photograph is rebuilt."""
    if not (gallery / "demo.html").exists():
        pytest.skip("needs onnxruntime-web in the cache: run `zoo publish --gallery` once")

    def start(at: str = url, query: str = "?backend=wasm", **how: Any) -> Browser:
        chromium.open(f"{at}/demo.html{query}", **how)
        chromium.until("document.body.dataset.state === 'done'")
        assert "error" not in chromium("document.getElementById('status').className")
        return chromium

    return start


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
    assert chromium("document.querySelector('pre').textContent") == (
        f"zoo pull 2_3_4@1.0 --hub {url} -o models"
    )
    chromium.do("document.querySelector('.copy-button').click()")
    chromium.until("document.querySelector('.copy-button').textContent !== 'Copy'")
    names = chromium("[...document.querySelectorAll('.copy-button')].map(b => b.ariaLabel)")
    assert set(names) == {"Copy the command", "Copy the SHA-256"}


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
    assert page.text("bytes") == "3,072 bytes for 128×128 pixels"
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
    page.until("document.getElementById('bytes').textContent.endsWith('64×64 pixels')")
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
    assert (model["rmse"], model["bitsPerPixel"]) == (0.1, 0.5)
