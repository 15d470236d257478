"""The dashboard in a real browser, with the imported log and made-up traffic. Run by ``.ci/run``.

Screenshots are left in ``screenshots/``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.example_shop import close, make_shop

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOTS = ROOT / "screenshots"
LOG = ROOT / "example_app" / "data" / "access.log.gz"
LOG_DAYS = "start=2015-05-17&end=2015-05-20"
WIDTHS = (390, 1440)


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave the tests' output alone."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The example app in demo mode, with the real log and two days of made-up traffic."""
    file = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    app = make_shop(f"sqlite:///{file}", DEMO=True, STATISTICS_SYNC=False)
    runner = app.test_cli_runner()
    for command in ("db upgrade", "seed --days 2", f"statistics import {LOG}"):
        ran = runner.invoke(args=command.split())
        assert ran.exit_code == 0, ran.output
    yield app
    close(app)


@pytest.fixture(scope="module")
def pages(shop: Flask) -> Iterator[str]:
    """The URL of the statistics, served by a thread of this process."""
    server = make_server("127.0.0.1", 0, shop, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/statistics"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console complained about."""
    return []


def open_page(browser: Browser, complaints: list[str], width: int, **options: object) -> Page:
    """Return a page whose every error and failed request is a complaint."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in {"error", "warning"} else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    return page


def hits(page: Page) -> str | None:
    return page.locator("[data-metric=hits] data").get_attribute("value")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_dashboard_of_the_imported_log(
    browser: Browser, pages: str, complaints: list[str], width: int, scheme: str
) -> None:
    """It shows the log's 10,000 hits and a chart, fits the screen, and the console is silent."""
    page = open_page(browser, complaints, width, color_scheme=scheme)
    page.goto(f"{pages}/?{LOG_DAYS}")
    assert hits(page) == "10000"
    expect(page.locator(".st-plot canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"dashboard-{width}-{scheme}.png", full_page=True)
    page.close()
    assert complaints == []


def test_range_can_be_changed(browser: Browser, pages: str, complaints: list[str]) -> None:
    """The two dates and the button lead to the first day's 1,632 hits."""
    page = open_page(browser, complaints, 1440)
    page.goto(f"{pages}/?{LOG_DAYS}")
    page.fill("input[name=end]", "2015-05-17")
    page.click("text=Show")
    page.wait_for_url(re.compile("end=2015-05-17"))
    assert hits(page) == "1632"
    page.close()
    assert complaints == []


def test_url_can_be_opened(browser: Browser, pages: str, complaints: list[str]) -> None:
    """A click on a URL shows that URL alone."""
    page = open_page(browser, complaints, 1440)
    page.goto(f"{pages}/?{LOG_DAYS}&by=path")
    link = page.locator("#st-urls").locator("xpath=ancestor::section").locator("tbody a").first
    path = link.inner_text()
    link.click()
    page.wait_for_url(re.compile("[?&]path="))
    expect(page.locator("h1")).to_contain_text(path)
    assert 0 < int(hits(page) or 0) < 10_000
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=SCREENSHOTS / f"url-{width}.png", full_page=True)
    page.close()
    assert complaints == []


def test_metric_can_be_chosen(browser: Browser, pages: str, complaints: list[str]) -> None:
    """A click on a total draws that metric."""
    page = open_page(browser, complaints, 1440)
    page.goto(f"{pages}/?{LOG_DAYS}")
    page.click("[data-metric=hits]")
    expect(page.locator(".st-chart-head h2")).to_contain_text("Hits")
    expect(page.locator(".st-plot canvas")).to_be_visible()
    page.close()
    assert complaints == []


def test_page_works_without_javascript(browser: Browser, pages: str, complaints: list[str]) -> None:
    """Totals, links and tables are there without any script."""
    page = open_page(browser, complaints, 1440, java_script_enabled=False)
    page.goto(f"{pages}/?{LOG_DAYS}")
    assert hits(page) == "10000"
    page.click("[data-metric=hits]")
    page.wait_for_url(re.compile("metric=hits"))
    page.click("text=The numbers of this chart")
    expect(page.locator(".st-numbers tbody tr").first).to_be_visible()
    page.close()
    assert complaints == []


def test_own_requests_appear(browser: Browser, pages: str, complaints: list[str]) -> None:
    """A request of the shop stands on the page once it is stored."""
    page = open_page(browser, complaints, 1440)
    page.goto(pages.removesuffix("/statistics") + "/tea/earl-grey?utm_campaign=browser-test")
    question = f"{pages}/?utm_campaign=browser-test"
    for _ in range(50):
        page.goto(question)
        if page.locator("[data-metric=hits]").count():
            break
    assert hits(page) == "1"
    page.close()
    assert complaints == []
