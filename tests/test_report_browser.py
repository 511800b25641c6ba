"""A report in a real browser: it fetches nothing, its parts answer to mouse and keys, and axe finds nothing serious.

Chromium and its driver are Debian's packages chromium and chromium-driver. Where they are not installed the tests are
skipped, but not in CI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from accelmnist.cli import invoke
from accelmnist.measure.record import save_bench
from tests.bench_samples import sample_bench
from tests.report_samples import REQUIRED, make_run, module, tool

if find_spec("selenium") is None and not os.environ.get(REQUIRED):
    pytest.skip("selenium is not installed", allow_module_level=True)

import selenium.webdriver as selenium
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.slow

CSS = "css selector"

DESKTOP, PHONE = (1000, 900), (360, 780)
NOTES = "# Mine\n\nSome *text* with [a link](https://example.org), `code` and\n\n| a | b |\n| - | - |\n| 1 | 2 |\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it."""
    folder = tmp_path_factory.mktemp("report")
    bench = folder / "bench"
    bench.mkdir()
    save_bench(sample_bench(), bench)
    (folder / "notes.md").write_text(NOTES)
    run = make_run(folder / "run")
    given = ["--author", "A. B.", "--notes", str(folder / "notes.md"), "--out", str(folder)]
    assert invoke(["report", str(run), str(bench), *given]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def driver() -> Iterator[selenium.Chrome]:
    """Chromium without a window; the log of its network is kept."""
    options = selenium.ChromeOptions()
    options.binary_location = tool("chromium", "chromium-browser", "google-chrome")
    # Root may not use the sandbox, and a container has little shared memory; the page is our own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    made = selenium.Chrome(options=options, service=selenium.ChromeService(tool("chromedriver")))
    yield made
    made.quit()


@pytest.fixture
def page(driver: Any, file: Any) -> selenium.Chrome:
    """The report, opened from the disk in a light window of ordinary size."""
    show(driver, file)
    return driver


def show(driver: Any, file: Path, *, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    driver.get_log("performance")
    driver.get_log("browser")
    driver.get(file.as_uri())


def all_of(page: Any, selector: str) -> list[Any]:
    return page.find_elements(CSS, selector)


def first(page: Any, selector: str) -> Any:
    return page.find_element(CSS, selector)


def column(page: Any, table: str, place: int) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(row => row.cells[arguments[1]].textContent)"
    return page.execute_script(script, f"#{table} tbody tr", place)


def press(page: Any, key: str) -> None:
    page.switch_to.active_element.send_keys(key)


# --- what the browser sees


def test_no_error_and_no_request(page: selenium.Chrome, file: Path) -> None:
    for button in all_of(page, "#confusion button")[:3]:
        button.click()
    assert page.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in sent if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}


def test_the_policy_holds(page: selenium.Chrome) -> None:
    """Were something to slip through the escaping, it could neither run nor fetch."""
    page.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.evil = 1';"
        "document.body.append(made);"
        "const image = new Image(); image.src = 'https://example.org/x.png'; document.body.append(image);"
    )
    assert page.execute_script("return window.evil") is None
    said = " ".join(entry["message"] for entry in page.get_log("browser"))
    assert said.count("Content Security Policy") >= 2


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "light"), (PHONE, "dark")],
    ids=["desktop-light", "phone-dark"],
)
def test_axe_finds_nothing_serious(driver: selenium.Chrome, file: Path, size: tuple[int, ...], scheme: str) -> None:
    axe = module("axe_playwright_python") / "axe.min.js"
    show(driver, file, size=size, scheme=scheme)
    first(driver, "#confusion button").click()
    driver.execute_script(axe.read_text(encoding="utf-8"))
    driver.set_script_timeout(120)
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(done, error => done({error: String(error)}))"
    )
    assert "error" not in found, found
    grave = [
        (rule["id"], rule["impact"], [(node["target"], node.get("failureSummary", "")) for node in rule["nodes"]][:3])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    assert grave == []
    assert found["testEngine"]["name"] == "axe-core"


@pytest.mark.parametrize("width", [360, 768, 1000, 1500])
def test_no_page_scrolls_sideways(driver: selenium.Chrome, file: Path, width: int) -> None:
    show(driver, file, size=(width, 800))
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_theme_follows_the_system_and_the_switch(driver: selenium.Chrome, file: Path) -> None:
    def background() -> str:
        return driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    show(driver, file, scheme="light")
    light = background()
    show(driver, file, scheme="dark")
    dark = background()
    assert light != dark
    switch = first(driver, "#theme")
    switch.click()
    assert (switch.text, background()) == ("Theme: light", light)
    switch.click()
    assert (switch.text, background()) == ("Theme: dark", dark)
    show(driver, file, scheme="light")
    assert background() == dark, "the choice is kept"
    first(driver, "#theme").click()
    assert background() == light


# --- tables


def test_a_table_is_sorted_by_its_headings(page: selenium.Chrome) -> None:
    header = all_of(page, "#classes thead th")[2]
    button = header.find_element(CSS, "button")
    before = column(page, "classes", 2)
    button.click()
    assert header.get_attribute("aria-sort") == "descending"
    falling = column(page, "classes", 2)
    assert falling == sorted(before, key=lambda text: -float(text.removesuffix(" %")))
    button.send_keys(Keys.ENTER)
    assert header.get_attribute("aria-sort") == "ascending"
    rising = [float(text.removesuffix(" %")) for text in column(page, "classes", 2)]
    assert rising == sorted(rising)
    all_of(page, "#classes thead button")[0].click()
    assert header.get_attribute("aria-sort") is None
    assert column(page, "classes", 0) == list("0123456789")


def test_numbers_are_sorted_as_numbers_and_the_unknown_comes_last(page: selenium.Chrome) -> None:
    table = next(
        made.get_attribute("id")
        for made in all_of(page, "table")
        if (made.get_attribute("id") or "").startswith("cases-training")
    )
    headings = [made.text.split("\n")[0].strip() for made in all_of(page, f"#{table} thead th")]
    place = next(index for index, text in enumerate(headings) if text.startswith("compile"))
    for _ in range(2):
        all_of(page, f"#{table} thead button")[place].click()
        found = column(page, table, place)
        known = [text for text in found if text != "–"]
        assert 0 < len(known) < len(found)
        assert found[len(known) :] == ["–"] * (len(found) - len(known))


# --- the confusion matrix


def test_a_cell_shows_its_images_by_mouse_and_by_key(page: selenium.Chrome) -> None:
    drawer, button = first(page, "#confusion-images"), first(page, "#confusion td:not(.right) button")
    assert not drawer.is_displayed()
    button.click()
    assert drawer.is_displayed()
    assert button.get_attribute("aria-expanded") == "true"
    label = button.get_attribute("aria-label").removesuffix(": show images")
    assert drawer.text.startswith(label)
    tiles = drawer.find_elements(CSS, ".tile")
    assert len(tiles) == min(int(button.text.replace(",", "")), 24)
    assert all(label.split()[-1] in tile.get_attribute("aria-label") for tile in tiles)
    assert "data:image/png" in tiles[0].value_of_css_property("background-image")
    button.send_keys(Keys.SPACE)
    assert not drawer.is_displayed()
    assert button.get_attribute("aria-expanded") == "false"
    button.send_keys(Keys.ENTER)
    assert drawer.is_displayed()


def test_arrow_keys_go_from_cell_to_cell(page: selenium.Chrome) -> None:
    buttons = all_of(page, "#confusion button")
    assert [button.get_attribute("tabindex") for button in buttons[:2]] == ["0", "-1"]
    buttons[0].send_keys(Keys.END)
    assert page.switch_to.active_element == buttons[-1]
    assert buttons[0].get_attribute("tabindex") == "-1"
    place = int(buttons[-1].get_attribute("data-cell"))
    press(page, Keys.ARROW_UP)
    above = int(page.switch_to.active_element.get_attribute("data-cell"))
    assert above % 10 == place % 10
    assert above < place
    press(page, Keys.HOME)
    press(page, Keys.ARROW_LEFT)
    assert page.switch_to.active_element == buttons[0]


# --- the atlas


def test_a_neuron_in_focus_or_under_the_mouse_shows_what_it_does(page: selenium.Chrome) -> None:
    cards, detail = all_of(page, "button[data-card]"), first(page, "#neuron")
    assert len(cards) == 16
    page.execute_script("arguments[0].focus()", cards[2])
    assert cards[2].get_attribute("aria-current") == "true"
    name, _, sentence = cards[2].get_attribute("aria-label").partition(": ")
    assert detail.text.startswith(name)
    assert sentence in detail.text
    assert len(detail.find_elements(CSS, ".row")) == 10
    assert len(detail.find_elements(CSS, ".pair .tile")) == 2
    press(page, Keys.ARROW_RIGHT)
    assert page.switch_to.active_element == cards[3]
    assert detail.text.startswith(cards[3].get_attribute("aria-label").partition(":")[0])
    selenium.ActionChains(page).move_to_element(cards[1]).perform()
    assert detail.text.startswith(cards[1].get_attribute("aria-label").partition(":")[0])


def test_the_keyboard_reaches_everything_and_the_focus_is_seen(page: selenium.Chrome) -> None:
    """By Tab alone: the skip link, headings of tables, one cell, one neuron; each with an outline of its own."""
    look = (
        "const active = document.activeElement, style = getComputedStyle(active);"
        "return [active.tagName, active.dataset.cell ? 'cell' : active.dataset.card ? 'card' : active.className,"
        " style.outlineStyle, parseFloat(style.outlineWidth)]"
    )
    reached = set()
    for _ in range(400):
        press(page, Keys.TAB)
        tag, kind, style, width = page.execute_script(look)
        if tag == "BODY":
            break
        assert (style, width) >= ("solid", 2), (tag, kind)
        reached.add(kind)
    assert {"cell", "card", "sort", "skip"} <= reached
