"""The page in a real browser: it draws every point, says nothing wrong, and can be used."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oncefit
from supernet.families.catalog import Supernet
from tests.helpers.browser import browser, prefer, resize, wait_for
from tests.helpers.pages import Parsed, hostile_device, hostile_predictor, parsed

DRAWN = "document.documentElement.dataset.drawn"
WIDTHS = (400, 1000, 2000)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, supernet: Supernet) -> Path:
    """A page of predicted figures on a device, whose names would be markup."""
    folder = tmp_path_factory.mktemp("browser")
    run = oncefit.search(
        "fmnist_mbv3", out=folder / "run", accuracy="predicted",
        device=str(hostile_device(supernet, folder / "device.yaml")),
        predictor=str(hostile_predictor(supernet, folder / "drawn.safetensors")), objectives=["top1", "latency_ms"],
        sampler="random", trials=22, say=lambda _: None,
    )  # fmt: skip
    return run.report()


@pytest.fixture(scope="module")
def page(written: Path) -> Parsed:
    return parsed(written.read_text())


@pytest.fixture(scope="module")
def driver(written: Path) -> Iterator[Any]:
    with browser() as found:
        resize(found, 1000)
        found.get(written.as_uri())
        wait_for(found, DRAWN)
        yield found


def test_nothing_is_said_to_be_wrong(driver: Any) -> None:
    assert driver.execute_script(f"return {DRAWN}") == "yes"
    assert driver.get_log("browser") == []


def test_no_name_ran(driver: Any) -> None:
    """What alert(1) would have left open is a dialogue, and its image an element."""
    assert driver.execute_script("return document.images.length") == 0
    assert driver.execute_script("return document.querySelectorAll('svg a, .hovertext a').length") == 0


def test_every_chart_has_all_its_points(driver: Any, page: Parsed) -> None:
    for name, chart in page.charts.items():
        for place, trace in enumerate(chart["figure"]["data"]):
            kind = "g.points > .point" if trace["type"] == "bar" else ".scatterlayer > .trace"
            if trace["type"] == "bar":
                script = f"return document.querySelectorAll('#chart-{name} {kind}').length"
                assert driver.execute_script(script) == len(trace["x"])
            elif "markers" in trace["mode"]:
                script = (
                    f"return [...document.querySelectorAll('#chart-{name} {kind}')][{place}]"
                    ".querySelectorAll('.points > path').length"
                )
                assert driver.execute_script(script) == len(trace["x"]), (name, trace["name"])


def test_pointing_at_a_subnet_tells_all_its_figures(driver: Any, page: Parsed) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    star = driver.find_elements(
        "css selector", "#chart-front .scatterlayer > .trace:last-child .points > path"
    )[-1]
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", star)
    ActionChains(driver).move_to_element(star).perform()
    told = wait_for(driver, "document.querySelector('#chart-front .hoverlayer .hovertext')?.textContent")
    figures = page.charts["front"]["figure"]["data"][-1]["text"][0].split("<br>")
    for figure in figures[1:]:
        name = figure.partition(", ")[0].partition(" (")[0]
        assert name in told


def test_arrow_keys_walk_over_the_points(driver: Any, page: Parsed) -> None:
    from selenium.webdriver.common.keys import Keys

    plot = driver.find_element("id", "chart-front")
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    told = driver.find_element("id", "point-front").text
    trace = page.charts["front"]["figure"]["data"][0]
    arch = trace["text"][1].partition("arch ")[2].partition("<")[0]
    assert f"arch {arch}" in told
    assert "<br>" not in told
    plot.send_keys(Keys.ARROW_DOWN)
    assert driver.find_element("id", "point-front").text.startswith("front, predicted: arch ")
    plot.send_keys(Keys.ESCAPE)
    assert driver.find_element("id", "point-front").text == ""


def test_another_axis_moves_the_points(driver: Any, page: Parsed) -> None:
    script = "return document.querySelector('#chart-front').data[0].x"
    titles = [axis["title"] for axis in page.charts["front"]["axes"]]
    macs = titles.index("MACs (M)")
    options = driver.find_elements("css selector", "#axis-front option")
    assert [option.text for option in options] == [" ".join(title.split()) for title in titles]
    options[macs].click()
    wait_for(driver, "document.querySelector('#chart-front .xtitle').textContent === 'MACs (M)'")
    assert driver.execute_script(script) == page.charts["front"]["axes"][macs]["x"][0]
    assert driver.execute_script("return document.querySelector('#chart-front').data[1].mode") == "markers"
    options[0].click()
    wait_for(driver, "document.querySelector('#chart-front').data[1].mode === 'lines+markers'")


def test_a_table_is_sorted_by_a_column(driver: Any) -> None:
    [table] = driver.find_elements("css selector", "#front table.sortable")
    headings = [cell.text.strip() for cell in table.find_elements("css selector", "thead th")]
    column = headings.index("MACs (M)")
    button = table.find_elements("css selector", "thead th button")[column]
    figures = "return [...arguments[0].tBodies[0].rows].map((row) => parseFloat(row.cells[arguments[1]].textContent))"
    for order, kept in (("descending", True), ("ascending", False)):
        driver.execute_script("arguments[0].click()", button)
        found = driver.execute_script(figures, table, column)
        assert found == sorted(found, reverse=kept)
        assert table.find_elements("css selector", "thead th")[column].get_attribute("aria-sort") == order


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_any_width(driver: Any, width: int) -> None:
    """Tables are moved inside their frames; a chart's drawing is as wide as its frame, and none of it is cut off."""
    resize(driver, width)
    wait_for(driver, f"innerWidth === {width}")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    for plot in driver.find_elements("css selector", ".plot"):
        fits = "Math.abs(arguments[0].querySelector('.main-svg').getBoundingClientRect().width - arguments[0].clientWidth) < 10"
        name = plot.get_attribute("id")
        wait_for(driver, fits.replace("arguments[0]", f"document.getElementById('{name}')"))
        inner, outer = driver.execute_script(
            "return [arguments[0].querySelector('.main-svg').getBoundingClientRect().bottom, "
            "arguments[0].getBoundingClientRect().bottom]", plot,
        )  # fmt: skip
        assert inner <= outer + 1


def test_dark_and_light_are_what_the_reader_prefers(driver: Any) -> None:
    found = {}
    for scheme in ("dark", "light"):
        prefer(driver, scheme)
        page = "getComputedStyle(document.body).backgroundColor"
        chart = "document.querySelector('#chart-front').layout.paper_bgcolor"
        wait_for(
            driver,
            f"{chart} === getComputedStyle(document.documentElement).getPropertyValue('--page').trim()",
        )
        found[scheme] = driver.execute_script(f"return {page}")
    assert found == {"dark": "rgb(20, 24, 29)", "light": "rgb(255, 255, 255)"}


def test_everything_can_be_reached_by_keyboard(driver: Any) -> None:
    script = """return [...document.querySelectorAll('.plot, .scroll, thead button, select, pre, summary, nav a')]
        .filter((one) => one.tabIndex < 0).length"""
    assert driver.execute_script(script) == 0


def test_it_can_be_printed(driver: Any) -> None:
    made = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    pdf = base64.b64decode(made["data"])
    assert pdf.startswith(b"%PDF")
    assert driver.execute_script("return [...document.querySelectorAll('details')].every((one) => one.open)")
