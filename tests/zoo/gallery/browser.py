"""A page in headless Chromium, driven by selenium."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
IMITATED_GPU = ("enable-unsafe-webgpu", "use-webgpu-adapter=swiftshader")
WIDE, PHONE = (1280, 900), (390, 844)


class Browser:
    """A page that is open, and what it asked for and complained of."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, size: tuple[int, int] = WIDE, dark: bool = False) -> None:
        self.look(size, dark)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(address)

    def look(self, size: tuple[int, int], dark: bool) -> None:
        """On a screen of width and height, in the light or dark scheme."""
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

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

    def download(self, button: str, path: Path) -> Path:
        """Press the button of an id and wait for the file that it saves."""
        behaviour = {"behavior": "allow", "downloadPath": str(path.parent)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        self.do(f"document.getElementById('{button}').click()")
        limit = time.monotonic() + 20
        while not path.is_file():
            assert time.monotonic() < limit, f"{path.name} never came; {self.complaints()}"
            time.sleep(0.05)
        return path

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


@contextmanager
def headless() -> Iterator[Browser]:
    """A browser without a window, for as long as it is needed."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", *IMITATED_GPU):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()
