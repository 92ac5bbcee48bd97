"""A real browser without a window, where one is installed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

HOW = "apt-get install chromium chromium-driver (make browser), and pip install -e '.[dev]' for selenium"
PATIENCE_S = 120.0


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, driven by Selenium. Skips the test where one of the two is not here, and says how to get it."""
    programs = [shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip(f"no Chromium with its driver here: {HOW}")
    webdriver = pytest.importorskip("selenium.webdriver", reason=f"no selenium here: {HOW}")
    service = pytest.importorskip("selenium.webdriver.chrome.service")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    # in a container there is no user but root, and little shared memory
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=service.Service(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(driver: Any, script: str) -> Any:
    """What a script returns as soon as that is true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := driver.execute_script(f"return {script}")):
        assert time.monotonic() < end, f"{script} did not come true"
        time.sleep(0.1)
    return found


def resize(driver: Any, width: int, height: int = 900) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def prefer(driver: Any, scheme: str) -> None:
    """``light`` or ``dark``."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
