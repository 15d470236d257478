"""What only a browser shows: the script, the security policy, focus, widths, hostile values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.conftest import Host
from tests.pages import FIRST, RANGE, add_rows, row

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
LONG = "/" + "a-very-long-path/" * 50
#: Tells the test of everything that the security policy refused.
LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""
#: Waits until the chart does not look as before.
BECOMES_ANOTHER = """light => new Promise((resolve) => {
  let frames = 0;
  const look = () => {
    if (document.querySelector(".st-plot canvas").toDataURL() !== light) resolve(true);
    else if (++frames > 300) resolve(false);
    else requestAnimationFrame(look);
  };
  look();
})"""


@pytest.fixture(scope="module")
def dashboard(served: Host) -> str:
    """The URL of the dashboard over three days with hostile and long values."""
    values: list[dict[str, Any]] = [
        {"path": "/", "browser": "Firefox"},
        {"path": "/tea", "route": "/tea/<name>", "browser": "Chrome", "visitor": "bob"},
        {"path": LONG, "route": None, "user_agent": "x" * 900, "platform": "y" * 100},
        {"path": f"/{HOSTILE}", "route": HOSTILE, "browser": HOSTILE, "source": HOSTILE,
         "exception": HOSTILE, "status_code": 500, "referrer": "javascript:alert(3)",
         "platform": "javascript:alert(4)", "mimetype": "\u202egnp.exe", "bot": HOSTILE},
    ]  # fmt: skip
    for number in range(60):
        changed = values[number % len(values)]
        add_rows(served, row(0, **changed | {"date": FIRST + timedelta(hours=number)}))
    return f"{served.app.config['URL']}/statistics/"


@pytest.fixture
def complaints() -> list[str]:
    """What the console complained about, and what was asked of elsewhere."""
    return []


@pytest.fixture
def open_page(
    browser: Browser, served: Host, complaints: list[str]
) -> Iterator[Callable[..., Page]]:
    """Open pages that report every complaint, dialog and request to elsewhere."""
    pages: list[Page] = []
    own = (served.app.config["URL"], "data:")

    def requested(request: Request) -> None:
        if not request.url.startswith(own):
            complaints.append(request.url)

    def failed(request: Request) -> None:
        # Leaving a page ends what it still loads, such as its icon; that is no failure.
        if "ABORTED" not in (request.failure or ""):
            complaints.append(request.url)

    def open_page(url: str, width: int = 1440, **options: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("requestfailed", failed)
        page.on("request", requested)
        page.add_init_script(LISTEN)
        page.goto(url)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1440, 2560])
def test_every_page_fits_every_screen(
    open_page: Callable[..., Page], dashboard: str, complaints: list[str], width: int, scheme: Any
) -> None:
    """Without a violation of the policy, without a word on the console, whatever the values."""
    page = open_page(f"{dashboard}?{RANGE}", width, color_scheme=scheme)
    for url in (
        f"?{RANGE}", f"?{RANGE}&path={LONG}", f"breakdown/path?{RANGE}", "",
        f"?{RANGE}&route=/tea/<name>&browser=Chrome&bots=1&interval=hour",
    ):  # fmt: skip
        page.goto(dashboard + url)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), url
        assert page.evaluate("violations") == []
    assert complaints == []


def test_the_chart_is_swapped_without_loading(
    open_page: Callable[..., Page], dashboard: str, complaints: list[str]
) -> None:
    """A tile changes chart, table and URL; the other links follow; back leads back."""
    page = open_page(f"{dashboard}?{RANGE}&browser=Chrome")
    expect(page.locator(".st-plot canvas")).to_be_visible()
    page.evaluate("window.same = true")
    page.click("[data-metric=hits]")
    expect(page.locator(".st-chart-head h2")).to_contain_text("Hits")
    expect(page.locator(".st-plot canvas")).to_be_visible()
    assert page.evaluate("window.same")
    assert page.url.endswith(f"?{RANGE}&browser=Chrome&metric=hits")
    expect(page.locator("[data-metric=hits]")).to_be_focused()
    today = page.get_by_role("link", name="7 days").get_attribute("href") or ""
    assert "metric=hits" in today
    page.go_back()
    expect(page.locator(".st-chart-head h2")).to_contain_text("Visitors")
    page.go_forward()
    expect(page.locator(".st-chart-head h2")).to_contain_text("Hits")
    page.fill("input[name=end]", "2024-05-01")
    page.click("text=Show")
    assert "metric=hits" in page.url
    assert complaints == []


@pytest.mark.parametrize(
    "parameters",
    [f"{RANGE}&metric={name}" for name in ("response_time", "size", "error_rate", "db_time")]
    + ["start=2024-05-01&end=2024-05-01&interval=day", "start=2024-01-01&end=2024-12-31"],
)
def test_every_kind_of_chart(
    open_page: Callable[..., Page], dashboard: str, complaints: list[str], parameters: str
) -> None:
    """Of every unit, of one point, of many, of numbers that are not known."""
    page = open_page(f"{dashboard}?{parameters}")
    expect(page.locator(".st-plot canvas")).to_be_visible()
    assert complaints == []


def test_a_chart_that_cannot_be_fetched(open_page: Callable[..., Page], dashboard: str) -> None:
    """The link is followed instead."""
    page = open_page(f"{dashboard}?{RANGE}")
    page.route("**/statistics/chart?*", lambda route: route.abort())
    page.click("[data-metric=size]")
    page.wait_for_url(re.compile("metric=size"))
    expect(page.locator(".st-chart-head h2")).to_contain_text("Size")


def test_the_chart_says_what_the_pointer_is_at(
    open_page: Callable[..., Page], dashboard: str, complaints: list[str]
) -> None:
    """The same day and number as in the table."""
    page = open_page(f"{dashboard}?{RANGE}&metric=hits")
    box = page.locator(".u-over").bounding_box()
    assert box
    page.mouse.move(box["x"] + 2, box["y"] + 50)
    expect(page.locator(".st-hint")).to_contain_text("Wed 1 May 2024")
    expect(page.locator(".st-hint strong")).to_have_text("14")
    assert complaints == []


def test_the_chart_follows_the_screen(
    open_page: Callable[..., Page], dashboard: str, complaints: list[str]
) -> None:
    """It is drawn anew for another width, and in the colours of another theme."""
    page = open_page(f"{dashboard}?{RANGE}")
    canvas = page.locator(".st-plot canvas")
    wide = canvas.bounding_box()
    page.set_viewport_size({"width": 500, "height": 900})
    assert wide
    expect(canvas).not_to_have_js_property("clientWidth", round(wide["width"]))
    narrow = canvas.bounding_box()
    assert narrow
    assert narrow["width"] < wide["width"]
    light = canvas.evaluate("canvas => canvas.toDataURL()")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(BECOMES_ANOTHER, light)
    assert complaints == []


def test_definitions_show_on_focus(open_page: Callable[..., Page], dashboard: str) -> None:
    """By keyboard as well as by pointer."""
    page = open_page(f"{dashboard}?{RANGE}")
    definition = page.locator("#st-about-hits")
    expect(definition).to_be_hidden()
    page.locator("[data-metric=hits]").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(definition).to_be_visible()
    page.locator("[data-metric=size]").hover()
    expect(page.locator("#st-about-size")).to_be_visible()


def test_hostile_values_are_text(
    open_page: Callable[..., Page], dashboard: str, complaints: list[str]
) -> None:
    """No element came of them, no link runs anything, no text is turned around."""
    page = open_page(f"{dashboard}?{RANGE}&metric=hits")
    assert page.locator("img").count() == 0
    assert page.locator("a[href^='javascript:'], a[href*='//']").count() == 0
    expect(page.get_by_text("⟨U+202E⟩gnp.exe").first).to_be_visible()
    page.get_by_role("link", name=HOSTILE).first.click()
    expect(page.locator("[data-metric=hits] data")).to_have_attribute("value", "15")
    assert complaints == []


@pytest.mark.parametrize("width", [390, 1440])
def test_inside_flask_admin(
    open_page: Callable[..., Page], served: Host, dashboard: str, complaints: list[str], width: int
) -> None:
    """The chart is drawn and swapped in its frame too, which keeps its own look."""
    admin = f"{served.app.config['URL']}/admin/statistics/"
    page = open_page(f"{admin}?{RANGE}", width, color_scheme="dark")
    expect(page.locator(".st-plot canvas")).to_be_visible()
    page.click("[data-metric=hits]")
    expect(page.locator(".st-chart-head h2")).to_contain_text("Hits")
    assert page.url.startswith(admin)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".statistics").evaluate("e => getComputedStyle(e).colorScheme") == "light"
    assert complaints == []
