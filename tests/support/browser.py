"""A real browser: the system's Chromium, headless, with a profile of its own, driven by selenium.

Debian has it as ``chromium`` and ``chromium-driver``. Whatever the browser's console says of the page (a refused script
or style, an error in ours) is kept for :meth:`Browser.complaints`.
"""

from __future__ import annotations

import base64
import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from tests.support.wait import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "needs Chromium: apt install chromium chromium-driver"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--lang=en",
)
WIDE, PHONE = (1200, 800), (390, 844)
SECONDS = 30.0

_SHIFTS = """
const done = arguments[0];
let sum = 0;
new PerformanceObserver((list) => { for (const one of list.getEntries()) sum += one.value; })
  .observe({type: "layout-shift", buffered: true});
requestAnimationFrame(() => setTimeout(() => done(sum), 50));
"""
_WEIGHT = """
const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
return all.map((one) => [one.name, one.encodedBodySize]);
"""
_PAINT = "return performance.getEntriesByName('first-contentful-paint').map((one) => one.startTime)[0] ?? null"
_ARRIVED = "return !window.seenByTest && document.readyState === 'complete' && !!document.querySelector('h1')"
_AXE = """
const done = arguments[0];
const nothing = [{id: "axe-core looked at next to nothing"}];
axe.run(document).then(
  (found) => done(found.passes.length > 5 ? found.violations : nothing), (fault) => done([{id: String(fault)}]));
"""


@functools.cache
def axe_script() -> str:
    """axe-core, out of the wheel that carries it."""
    files = metadata.files("axe-playwright-python") or []
    return next(file for file in files if file.name == "axe.min.js").read_text("utf-8")


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    # -- looking

    def go(self, url: str) -> None:
        """Open an address."""
        self.driver.get(url)

    @property
    def url(self) -> str:
        """Where the window is."""
        return self.driver.current_url

    @property
    def text(self) -> str:
        """What a person sees."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    @property
    def source(self) -> str:
        """The page as it is now."""
        return self.driver.page_source

    @property
    def heading(self) -> str:
        """The page's first heading."""
        return self.one("h1").text

    def one(self, selector: str) -> WebElement:
        """The first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Every element of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def row(self, name: str) -> WebElement:
        """The row of a table that is about ``name``."""
        return next(row for row in self.all(".rows tbody tr") if name in row.find_element(By.TAG_NAME, "th").text)

    # -- acting

    def follow(self, label: str, within: WebElement | None = None) -> None:
        """Click the link or button that is called so, and wait for what comes of it."""
        place: Any = within or self.driver
        self.mark()
        choices = place.find_elements(By.CSS_SELECTOR, "a, button")
        next(one for one in choices if one.text.strip() == label).click()
        self.arrive(f"{label} leads on")

    def submit(self, element: WebElement) -> None:
        """Press Enter in a field, and wait for what comes of it."""
        self.mark()
        element.send_keys(Keys.ENTER)
        self.arrive("the form is answered")

    def mark(self) -> None:
        """Remember this document, for :meth:`arrive`."""
        self.driver.execute_script("window.seenByTest = true")

    def arrive(self, what: str) -> None:
        """Wait until another document than the marked one is there, whole."""
        until(lambda: self.driver.execute_script(_ARRIVED), what=what, seconds=SECONDS)

    def write(self, label: str, text: str) -> WebElement:
        """Fill the field with this label."""
        field = self.field(label)
        field.clear()
        field.send_keys(text)
        return field

    def choose(self, label: str, option: str) -> None:
        """Choose in the list with this label."""
        Select(self.field(label)).select_by_visible_text(option)

    def tick(self, label: str) -> None:
        """Tick the box, or take the choice, with this label."""
        next(one for one in self.all("label.choice") if one.text.strip() == label).click()

    def field(self, label: str) -> WebElement:
        """The field with this label."""
        found = next(one for one in self.all("label[for]") if (one.get_attribute("textContent") or "").strip() == label)
        return self.driver.find_element(By.ID, found.get_attribute("for") or "")

    def press(self, *keys: str) -> WebElement:
        """Type on the keyboard; gives what has the focus then."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()
        return self.driver.switch_to.active_element

    # -- what it is like

    def look(self, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        """The window's size, and whether its user likes it dark."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """The page as a PNG, also what lies below the window."""
        made = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole, "format": "png"})
        file.write_bytes(base64.b64decode(made["data"]))

    def complaints(self) -> list[str]:
        """What the console said since the last call, but for answers that are errors on purpose."""
        said = self.driver.get_log("browser")
        return [one["message"] for one in said if one["source"] != "network" and one["level"] in ("SEVERE", "WARNING")]

    def barriers(self) -> list[str]:
        """What axe-core finds: each violation with its first place."""
        self.driver.execute_script(axe_script())
        found = self.driver.execute_async_script(_AXE)
        return [f"{one['id']}: {[node['html'][:120] for node in one.get('nodes', [])[:2]]}" for one in found]

    def shifts(self) -> float:
        """How much the layout moved while the page came up."""
        moved: float = self.driver.execute_async_script(_SHIFTS)
        return moved

    def weight(self) -> dict[str, int]:
        """Bytes of the page and of everything it loaded, by address."""
        return dict(self.driver.execute_script(_WEIGHT))

    def first_paint(self) -> float | None:
        """Milliseconds until something was to be seen."""
        paint: float | None = self.driver.execute_script(_PAINT)
        return paint

    def forget(self) -> None:
        """Drop every cookie."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})


@contextmanager
def browser(profile: Path, *, scripts: bool = True) -> Iterator[Browser]:
    """A window until the block ends."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        driver.set_page_load_timeout(SECONDS * 2)
        driver.set_script_timeout(SECONDS)
        yield Browser(driver)
    finally:
        driver.quit()
