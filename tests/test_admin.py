"""The dashboard and the list of requests inside Flask-Admin."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask_admin import Admin

from flask_statistics import ConfigurationError
from tests.pages import RANGE, add_rows, classic_model, read, row

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

OPEN = {"TESTING": True}
DASHBOARD, REQUESTS = "/admin/statistics/", "/admin/statistics-requests/"
CSV = f"{REQUESTS}export/csv/"
PAGES = (DASHBOARD, f"{DASHBOARD}chart", f"{DASHBOARD}breakdown/path", REQUESTS,
         f"{REQUESTS}details/?id=1", CSV)  # fmt: skip
ADDRESS = "198.51.100.77"


@pytest.fixture
def make_admin(make_host: MakeHost) -> MakeHost:
    """Build hosts as ``make_host`` does, with our views in a Flask-Admin."""

    def make(**options: Any) -> Host:
        host = make_host(**options)
        admin = Admin(host.app, name="tea house")
        with host.app.app_context():
            host.statistics.add_admin_views(admin)
        add_rows(host, row(path="/tea", remote_address=ADDRESS, username="anna"))
        return host

    return make


@pytest.fixture
def admin(make_admin: MakeHost) -> Host:
    return make_admin(settings=OPEN)


def content(html: str) -> str:
    """Return our part of a page in Flask-Admin's frame."""
    found = re.search(r'<div class="statistics st-framed">.*</footer>\s*</div>', html, re.DOTALL)
    assert found, html
    return found[0]


def test_the_dashboard_in_the_frame(admin: Host) -> None:
    """The same content, with our style and scripts, in Flask-Admin's page."""
    html = admin.open(f"{DASHBOARD}?{RANGE}").text
    page = read(content(html))
    assert page.tiles()["hits"] == "1"
    assert "tea house" in html
    for asset in ("style.css", "dashboard.js", "uplot/uPlot.iife.min.js", "uplot/uPlot.min.css"):
        (url,) = re.findall(rf'"(/statistics/static/{re.escape(asset)}\?v=[0-9a-f]+)"', html)
        assert admin.open(url).status_code == 200


@pytest.mark.parametrize("url", [*PAGES, f"{DASHBOARD}?start=x"])
@pytest.mark.parametrize("settings", [OPEN, {}], ids=["open", "closed"])
def test_security_headers(make_admin: MakeHost, url: str, settings: dict[str, Any]) -> None:
    """What a person may see is kept by no browser or proxy, whatever the answer."""
    headers = make_admin(settings=settings).open(url).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_links_stay_in_the_frame(admin: Host) -> None:
    """Every link of ours leads to a page in Flask-Admin."""
    page = read(content(admin.open(f"{DASHBOARD}?{RANGE}").text))
    links = {a.attributes["href"] for a in page.all("a")}
    for link in links:
        assert link.startswith(DASHBOARD)
        assert admin.open(link.partition("#")[0]).status_code == 200
    (section,) = page.all("section", id="st-chart")
    assert section.attributes["data-fragment"] == f"{DASHBOARD}chart"


@pytest.mark.parametrize("url", [f"{DASHBOARD}?start=x", f"{DASHBOARD}breakdown/beauty"])
def test_a_bad_parameter(admin: Host, url: str) -> None:
    """400, as on the pages."""
    answer = admin.open(url)
    assert answer.status_code == 400
    assert "That cannot be asked" in answer.text


def test_the_list_of_requests(admin: Host) -> None:
    """Search, filters, sorting, details, pages; nothing can be changed."""
    for number in range(60):
        add_rows(admin, row(number, path=f"/{number}", browser="Opera"))
    listed = admin.open(REQUESTS).text
    assert "List (61)" in listed
    assert listed.count("details/?id=") == 50
    assert "List (1)" in admin.open(f"{REQUESTS}?search=/tea").text
    assert "List (60)" in admin.open(f"{REQUESTS}?flt0_browser_equals=Opera").text
    ascending = admin.open(f"{REQUESTS}?sort=0").text
    assert "/tea" in ascending
    assert "Opera" in admin.open(f"{REQUESTS}details/?id=2").text
    assert admin.open(f"{REQUESTS}?page_size=1000000").text.count("details/?id=") == 50
    for way in ("new/", "edit/?id=1", "delete/", "action/"):
        for method in ("GET", "POST"):
            assert admin.open(f"{REQUESTS}{way}", method=method).status_code in {302, 404, 405}
    assert len(admin.rows()) == 61


@pytest.mark.parametrize(
    "parameters",
    ["page=-4", "page=99999999999999999999", "page=abc", "sort=999", "sort=-1", "search=%00",
     "search=%25%27%22", "search=" + "x" * 5000, "details/?id=abc", "details/?id=9" + "9" * 30,
     "details/", "flt0_status_equals=99999999999999999999", "flt99_x=1"],
)  # fmt: skip
def test_bad_input(make_admin: MakeHost, database_url: str, parameters: str) -> None:
    """Never a 500, on any database."""
    host = make_admin(settings=OPEN, url=database_url)
    url = REQUESTS + (parameters if parameters.startswith("details") else f"?{parameters}")
    assert host.open(url).status_code in {200, 302, 400}


def test_the_list_writes_as_the_dashboard_does(make_admin: MakeHost) -> None:
    """Moments in the zone of the pages, response times in milliseconds, and the route."""
    host = make_admin(settings={**OPEN, "STATISTICS_TIMEZONE": "Europe/Berlin"})
    html = host.open(REQUESTS).text
    cells = [cell.strip() for cell in re.findall(r'<td class="col-[^"]*">([^<]*)<', html)]
    assert cells[:5] == ["1 May 2024 12:00:00", "GET", "/tea", "/", "200"]
    assert cells[5] == "100 ms"


def exported(host: Host) -> list[dict[str, str]]:
    return list(csv.DictReader(host.open(CSV).text.splitlines()))


def test_csv(admin: Host) -> None:
    """All recorded columns; no cell is a formula for a spreadsheet."""
    add_rows(admin, row(1, user_agent="=HYPERLINK(1)", referrer="@x", exception="-1+2"))
    newest = exported(admin)[0]
    assert newest["User agent"] == "'=HYPERLINK(1)"
    assert (newest["Referrer"], newest["Exception"]) == ("'@x", "'-1+2")
    assert exported(admin)[1]["Address"] == ADDRESS
    add_rows(admin, row(2, user_agent=" =HYPERLINK(1)", referrer="\uff1dx"))
    newest = exported(admin)[0]
    assert (newest["User agent"], newest["Referrer"]) == ("' =HYPERLINK(1)", "'\uff1dx")


def test_closed_when_the_pages_are(make_admin: MakeHost) -> None:
    """The same 403, and no entry in the menu."""
    host = make_admin()
    for url in PAGES:
        assert host.open(url).status_code == 403, url
    assert "permission_f" in host.open(DASHBOARD).text
    assert "statistics" not in host.open("/admin/").text


def test_before_f_answers_here_too(make_admin: MakeHost) -> None:
    """Its response is returned as it is; the menu stays closed."""
    host = make_admin(before_f=lambda: ("log in first", 401))
    for url in PAGES:
        answer = host.open(url)
        assert (answer.status_code, answer.text) == (401, "log in first"), url
    assert "statistics" not in host.open("/admin/").text


@pytest.mark.parametrize("granted", [("view",), ("view", "personal"), ("view", "export")], ids=str)
def test_each_permission(make_admin: MakeHost, granted: tuple[str, ...]) -> None:
    """Personal columns and the export need permissions of their own."""
    host = make_admin(permission_f=lambda action: action in granted)
    assert DASHBOARD in host.open("/admin/").text
    for url in (REQUESTS, f"{REQUESTS}details/?id=1", f"{DASHBOARD}?{RANGE}&path=/tea"):
        answer = host.open(url)
        assert answer.status_code == 200
        assert (ADDRESS in answer.text) == ("personal" in granted)
    assert (CSV in host.open(REQUESTS).text) == ("export" in granted)
    assert host.open(CSV).status_code == (200 if "export" in granted else 403)
    filtered = host.open(f"{DASHBOARD}?remote_address={ADDRESS}")
    assert filtered.status_code == (200 if "personal" in granted else 403)


def test_csv_without_personal_columns(make_admin: MakeHost) -> None:
    """Their cells are empty for whom may export but not see them."""
    host = make_admin(permission_f=lambda action: action != "personal")
    (line,) = exported(host)
    assert (line["Address"], line["User"], line["Path"]) == ("", "", "/tea")


def test_personal_columns_cannot_be_searched(make_admin: MakeHost) -> None:
    """Neither by the search nor by sorting: an answer would tell what they hold."""
    host = make_admin(permission_f=lambda action: action == "view")
    assert "There are no items" in host.open(f"{REQUESTS}?search={ADDRESS}").text
    listed = host.open(REQUESTS).text
    assert "status_equals" in listed
    assert "address_equals" not in listed
    assert "List (1)" in host.open(f"{REQUESTS}?flt0_address_equals=nobody").text


def test_what_visitors_sent_is_inert(admin: Host) -> None:
    """In the frame, the list and the details."""
    add_rows(admin, row(2, path="<script>alert(1)</script>", route="{{ 7 * 7 }}"))
    for url in (f"{DASHBOARD}?{RANGE}&by=path", REQUESTS, f"{REQUESTS}details/?id=2"):
        html = admin.open(url).text
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert" in html


def test_the_classic_model(make_admin: MakeHost) -> None:
    """With its own primary key and columns without length."""
    host = make_admin(model=classic_model, settings=OPEN)
    for url in PAGES:
        assert host.open(url).status_code == 200, url
    assert ADDRESS in host.open(REQUESTS).text


def test_the_views_are_not_recorded(admin: Host) -> None:
    """Looking at the statistics does not change them."""
    for url in PAGES:
        admin.open(url)
    assert len(admin.rows()) == 1


def test_under_a_prefix_of_the_server(admin: Host) -> None:
    """SCRIPT_NAME is before every link."""
    html = admin.open(f"{DASHBOARD}?{RANGE}", environ_overrides={"SCRIPT_NAME": "/app"}).text
    page = read(content(html))
    assert all(a.attributes["href"].startswith("/app/admin/") for a in page.all("a"))


def test_an_admin_without_an_app(host: Host) -> None:
    """The message says what to do first."""
    with host.app.app_context(), pytest.raises(ConfigurationError, match="Admin"):
        host.statistics.add_admin_views(Admin())


def test_another_category(make_host: MakeHost) -> None:
    """The menu entry is the host's to name."""
    host = make_host(settings=OPEN)
    with host.app.app_context():
        host.statistics.add_admin_views(Admin(host.app), category="Insights")
    assert "Insights" in host.open("/admin/").text
