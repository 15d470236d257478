"""The dashboard: what it shows of which model, its links, its states, hosts of all kinds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import flask_wtf
import jinja2
import pytest
import sqlalchemy as sa
from flask import Flask, Response, g
from flask.json.provider import DefaultJSONProvider

from flask_statistics.asking.metrics import BY_NAME
from flask_statistics.pages import formats
from flask_statistics.pages.overview import presets
from flask_statistics.pages.rendering import SECURITY_HEADERS
from tests.pages import RANGE, add_rows, classic_model, read, row, show

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

OPEN = {"TESTING": True}
PANELS = [
    "Sources", "Browsers", "Platforms", "Devices", "Countries", "Languages", "Status",
    "Exceptions", "Methods", "Media types", "Bots",
]  # fmt: skip


@pytest.fixture
def shown(make_host: MakeHost) -> Host:
    """A host with every column whose pages are open, without a request."""
    return make_host(settings=OPEN)


@pytest.fixture
def busy(shown: Host) -> Host:
    """Three days: two people, one bot, one failure; and one request the day before."""
    add_rows(
        shown,
        row(-24, visitor="carl", visit="carl-1"),
        row(0, response_time=0.3, source="Google", platform="Linux", device="desktop",
            language="de", country="DE"),
        row(1, path="/tea/1", route="/tea/<int:number>", response_time=0.1),
        row(2, path="/tea/2", route="/tea/<int:number>", visitor="bob", visit="bob-1",
            browser="Chrome", response_time=0.2),
        row(30, path="/fail", route="/fail", status_code=500, exception="KeyError('tea')",
            visitor="bob", visit="bob-2", browser="Chrome", response_time=2.5,
            remote_address="198.51.100.9", user_agent="Chrome on a phone"),
        row(31, path="/robots.txt", route=None, mimetype="text/plain", bot="Googlebot",
            visitor="bot", visit="bot-1", browser="Googlebot", method="HEAD", size=0),
    )  # fmt: skip
    return shown


# ---- what is shown ------------------------------------------------------------------------------


def test_the_totals(busy: Host) -> None:
    """Hits count bots, visitors do not; the tile says so."""
    page = show(busy)
    assert page.tiles() == {
        "visitors": "2",
        "visits": "2",
        "page_views": "3",
        "hits": "5",
        "response_time": "0.64",
        "response_time_p95": "2.5",
        "error_rate": "0.2",
        "size": "4000",
    }
    assert [span.text for span in page.all("span", class_="st-bots")] == [
        *["people only"] * 3, *["bots included"] * 5,
    ]  # fmt: skip
    about = page.all("span", role="tooltip")[3]
    assert about.text == "Recorded requests."
    (hits,) = page.all("a", data_metric="hits")
    assert hits.attributes["aria-describedby"] == about.attributes["id"]


def test_the_change_against_the_period_before(busy: Host) -> None:
    """In words as well as in colour, with the number before and its days."""
    page = show(busy)
    found = [" ".join(s.text.split()) for s in page.all("span", class_="st-change")]
    assert found[0] == "▲up 100 %"
    first = page.all("span", class_="st-change")[0]
    assert first.attributes["title"] == "1 in 28\N{EN DASH}30 Apr 2024"
    assert "st-good" in first.attributes["class"]


def test_without_a_comparison_there_is_no_change(busy: Host) -> None:
    """compare=none leaves the tiles and the chart alone."""
    page = show(busy, f"/statistics/?{RANGE}&compare=none")
    assert not page.all("span", class_="st-change")
    assert "Before" not in [th.text for th in page.all("th")]


@pytest.mark.parametrize(
    ("bots", "hits", "visitors"), [("0", "4", "2"), ("1", "5", "3"), ("only", "1", "1")]
)
def test_bots_in_or_out(busy: Host, bots: str, hits: str, visitors: str) -> None:
    """The switch changes every number, and the tiles say what they count."""
    page = show(busy, f"/statistics/?{RANGE}&bots={bots}")
    assert (page.tiles()["hits"], page.tiles()["visitors"]) == (hits, visitors)
    labels = {"0": "people only", "1": "bots included", "only": "bots only"}
    assert {span.text for span in page.all("span", class_="st-bots")} == {labels[bots]}
    (chosen,) = [a for a in page.all("a", aria_current="true") if f"bots={bots}" in
                 a.attributes["href"] and a.text in {"People", "All", "Bots only"}]  # fmt: skip
    assert chosen.text == {"0": "People", "1": "All", "only": "Bots only"}[bots]


def test_the_chart_is_a_table_too(busy: Host) -> None:
    """Every bucket with its number and the number before, empty ones included."""
    page = show(busy, f"/statistics/?{RANGE}&metric=hits")
    times = [t.attributes["datetime"] for t in page.all("time")][:3]
    assert times == ["2024-05-01", "2024-05-02", "2024-05-03"]
    values = [d.attributes["value"] for d in page.all("data") if not d.attributes.get("class")]
    assert values == ["3", "0", "2", "0", "0", "1"]
    assert "Wed 1 May 2024" in page.text


def test_the_metric_and_the_interval_of_the_chart_are_links(busy: Host) -> None:
    """A tile chooses the metric; hours or days are chosen beside the chart."""
    page = show(busy)
    (hits,) = page.all("a", data_metric="hits")
    assert hits.attributes["href"] == f"/statistics/?{RANGE}&metric=hits"
    assert page.links("Hour") == [f"/statistics/?{RANGE}&interval=hour"]
    hourly = show(busy, page.links("Hour")[0])
    assert len(hourly.all("time")) >= 72
    chosen = show(busy, hits.attributes["href"]).all("a", class_="st-tile", aria_current="true")
    assert [tile.attributes["data-metric"] for tile in chosen] == ["hits"]


def test_the_chart_alone_is_the_same_as_in_the_page(busy: Host) -> None:
    """What the script swaps in is what the page has, links included."""
    alone = busy.open(f"/statistics/chart?{RANGE}&metric=size").text
    whole = busy.open(f"/statistics/?{RANGE}&metric=size").text
    read(alone)
    squeezed = [re.sub(r"\s+", " ", text).strip() for text in (alone, whole)]
    assert squeezed[0]
    assert squeezed[0] in squeezed[1]


def cells(host: Host, url: str, label: str) -> list[list[str]]:
    """Return the texts of the rows of the table under a heading."""
    html = host.open(url).text
    section = next(
        part for part in html.split("<section")[1:] if re.search(rf"<h[12][^>]*>{label}<", part)
    )
    rows = re.findall(r"<tr>(.*?)</tr>", section.partition("<tbody>")[2], re.DOTALL)
    cell = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>", re.DOTALL)
    return [[" ".join(read(c).text.split()) for c in cell.findall(r)] for r in rows]


def test_the_table_of_urls_lists_routes(busy: Host) -> None:
    """With hits, visitors, average and p95, errors, size, last requested."""
    assert cells(busy, f"/statistics/?{RANGE}", "Routes") == [
        ["/tea/<int:number>", "2", "2", "150 ms", "200 ms", "0", "2 kB", "1 May 2024 12:00"],
        ["/", "1", "1", "300 ms", "300 ms", "0", "1 kB", "1 May 2024 10:00"],
        ["/fail", "1", "1", "2.50 s", "2.50 s", "1", "1 kB", "2 May 2024 16:00"],
        ["no route", "1", "0", "100 ms", "100 ms", "0", "0 B", "2 May 2024 17:00"],
    ]


def test_the_table_of_urls_sorts_by_any_column(busy: Host) -> None:
    """A header sorts by it, the largest first; again, the other way round."""
    page = show(busy)
    (by_time,) = page.links("Average")
    assert by_time == f"/statistics/?{RANGE}&sort=-response_time#st-urls"
    slowest = cells(busy, by_time.partition("#")[0], "Routes")
    assert [line[0] for line in slowest] == ["/fail", "/", "/tea/<int:number>", "no route"]
    (again,) = show(busy, by_time.partition("#")[0]).links("Average")
    fastest = cells(busy, again.partition("#")[0], "Routes")
    assert fastest[0][0] == "no route"
    assert show(busy).links("Route") == [f"/statistics/?{RANGE}&sort=value#st-urls"]
    sorted_by = [th for th in show(busy, again).all("th") if "aria-sort" in th.attributes]
    assert [th.attributes["aria-sort"] for th in sorted_by] == ["ascending"]


def test_the_table_of_urls_has_pages(busy: Host) -> None:
    """limit and page in the URL, and links to the next and the previous page."""
    url = f"/statistics/?{RANGE}&limit=3"
    page = show(busy, url)
    assert "1 to 3 of 4" in page.text
    (following,) = page.links("Next →")
    assert following == f"{url}&page=2#st-urls"
    assert [line[0] for line in cells(busy, f"{url}&page=2", "Routes")] == ["no route"]
    (back,) = show(busy, f"{url}&page=9").links("← Previous")
    assert back == f"{url}&page=2#st-urls"


def test_paths_instead_of_routes(busy: Host) -> None:
    """The reader chooses; an imported log, which has no routes, is listed by path at once."""
    by_path = show(busy).links("Paths")[0].partition("#")[0]
    assert by_path == f"/statistics/?{RANGE}&by=path"
    assert "/tea/2" in [line[0] for line in cells(busy, by_path, "Paths")]
    with busy.engine.begin() as connection:
        connection.execute(sa.update(busy.Request.__table__).values(route=None))
    busy.app.extensions["statistics"].kept_answers.clear()
    assert "Paths" in show(busy).headings()
    assert "Routes" in show(busy, f"/statistics/?{RANGE}&by=route").headings()


def test_every_panel(busy: Host) -> None:
    """Each dimension of the model has one; those without a value are named below."""
    assert show(busy).headings()[2:] == PANELS
    assert cells(busy, f"/statistics/?{RANGE}", "Browsers") == [
        ["Chrome", "1", "2", "50.0 %"],
        ["Firefox", "1", "2", "50.0 %"],
        ["Googlebot", "0", "1", "0 %"],
    ]
    assert cells(busy, f"/statistics/?{RANGE}", "Exceptions") == [
        ["KeyError('tea')", "1", "1", "20.0 %"]
    ]
    assert cells(busy, f"/statistics/?{RANGE}", "Bots") == [["Googlebot", "1", "20.0 %"]]
    quiet = show(busy, f"/statistics/?{RANGE}&path=/tea/1")
    assert "Exceptions none in this range" in " ".join(quiet.text.split())
    assert "Exceptions" not in quiet.headings()


def test_a_value_sets_a_filter(busy: Host) -> None:
    """It narrows everything; the chip names it, and removes it."""
    (chrome,) = show(busy).links("Chrome")
    assert chrome == f"/statistics/?{RANGE}&browser=Chrome"
    page = show(busy, chrome)
    assert page.tiles()["hits"] == "2"
    assert "Browser is Chrome" in page.text
    (remove,) = [a.attributes["href"] for a in page.all("a", title="Remove this filter")]
    assert remove == f"/statistics/?{RANGE}"
    assert page.all("input", type="hidden", name="browser")[0].attributes["value"] == "Chrome"


def test_filters_are_said_in_words(busy: Host) -> None:
    """Excluded, absent and present values too; one link removes all of them."""
    url = f"/statistics/?{RANGE}&browser=!Opera*&country=!&route=/fail&bots=0&source="
    page = show(busy, url)
    assert [
        " ".join(li.text.split()).partition("\N{MULTIPLICATION SIGN}")[0] for li in page.all("li")
    ][:4] == [
        "Browser is not Opera*",
        "Country is known",
        "Route is /fail",
        "Source is direct or internal",
    ]
    assert page.links("Remove all") == [f"/statistics/?{RANGE}&bots=0"]


def test_the_page_of_a_url(busy: Host) -> None:
    """One route alone has its paths, its slowest and its failing requests."""
    (link,) = show(busy).links("/tea/<int:number>")
    assert link == f"/statistics/?{RANGE}&route=/tea/%3Cint:number%3E"
    page = show(busy, link)
    assert page.headings()[1:4] == ["Paths", "Slowest requests", "Failing requests"]
    assert [line[1] for line in cells(busy, link, "Slowest requests")] == ["200 ms", "100 ms"]
    assert "No request failed in this range." in page.text
    failing = cells(busy, f"/statistics/?{RANGE}&path=/fail", "Failing requests")
    assert failing == [[
        "2 May 2024 16:00:00", "2.50 s", "500", "GET", "1 kB", "KeyError('tea')",
        "198.51.100.9", "Chrome on a phone",
    ]]  # fmt: skip
    assert "Paths" not in show(busy, f"/statistics/?{RANGE}&path=/fail").headings()


@pytest.mark.parametrize("filters", ["path=/tea/*", "path=!/fail", "path=/&path=/fail"])
def test_a_pattern_is_not_one_url(busy: Host, filters: str) -> None:
    """The lists of single requests belong to exactly one URL."""
    assert "Slowest requests" not in show(busy, f"/statistics/?{RANGE}&{filters}").headings()


def test_all_values_of_a_dimension(busy: Host) -> None:
    """The details of a panel: its title, order and shares, with speed, errors and size."""
    (url,) = {a.attributes["href"] for a in show(busy).all("a", class_="st-more")
              if "browser" in a.attributes["href"]}  # fmt: skip
    assert url == f"/statistics/breakdown/browser?{RANGE}"
    assert cells(busy, url, "Browsers")[0] == [
        "Chrome", "2", "1", "1.35 s", "2.50 s", "1", "2 kB", "50.0 %", "2 May 2024 16:00",
    ]  # fmt: skip
    assert show(busy, url).all("abbr")[0].attributes["title"] == "Share of all visitors"
    (sorted_by,) = show(busy, url).all("th", aria_sort="descending")
    assert sorted_by.text == "Visitors"
    page = show(busy, url + "&limit=2")
    assert "1 to 2 of 3" in page.text
    assert page.links("Next →") == [url + "&limit=2&page=2"]
    assert page.links("← Dashboard") == [f"/statistics/?{RANGE}"]


def test_the_details_of_a_panel_leave_out_what_the_panel_does(busy: Host) -> None:
    """Requests without an exception are neither in the panel nor in its details."""
    details = cells(busy, f"/statistics/breakdown/exception?{RANGE}", "Exceptions")
    assert [(line[0], line[7]) for line in details] == [("KeyError('tea')", "20.0 %")]


def test_the_details_of_no_panel(busy: Host) -> None:
    """The most hits come first, under the name of the dimension, without a share."""
    url = f"/statistics/breakdown/path?{RANGE}"
    assert [line[0] for line in cells(busy, url, "Path")][:2] == ["/", "/fail"]
    assert not show(busy, url).all("abbr")


def test_the_classic_model(make_host: MakeHost) -> None:
    """Shown as far as it has the columns: addresses are the visitors, paths the URLs."""
    host = make_host(model=classic_model, settings=OPEN)
    add_rows(
        host,
        row(0, referrer="https://example.org/", platform="Linux"),
        row(1, remote_address="192.0.2.8", exception="OSError()", status_code=500),
    )
    page = show(host)
    assert page.tiles() == {
        "visitors": "2", "page_views": "1", "hits": "2", "response_time": "0.1",
        "response_time_p95": "0.1", "error_rate": "0.5", "size": "2000",
    }  # fmt: skip
    assert page.headings()[1:] == [
        "Paths", "Sources", "Browsers", "Platforms", "Status", "Exceptions", "Methods",
        "Media types",
    ]  # fmt: skip
    assert page.links("example.org/") == [f"/statistics/?{RANGE}&referrer=https://example.org/"]
    assert not page.all("nav", aria_label="Bots")
    assert not page.all("span", class_="st-bots")
    assert show(host, f"/statistics/?{RANGE}&path=/").headings()[1:3] == [
        "Slowest requests", "Failing requests",
    ]  # fmt: skip
    show(host, f"/statistics/breakdown/referrer?{RANGE}")


def test_the_smallest_model(make_host: MakeHost) -> None:
    """A model of a date alone still has its hits."""

    def model(db: Any) -> Any:
        columns = {"id": db.Column(db.Integer, primary_key=True), "date": db.Column(db.DateTime)}
        return type("Request", (db.Model,), columns)

    host = make_host(model=model, settings=OPEN)
    add_rows(host, row())
    page = show(host)
    assert page.tiles() == {"hits": "1"}
    assert len(page.headings()) == 1


def test_every_page_on_every_database(make_host: MakeHost, database_url: str) -> None:
    """Hostile values, absent ones and every page work on SQLite, PostgreSQL and MariaDB."""
    host = make_host(url=database_url, settings=OPEN)
    add_rows(host, row(), row(1, path="/ä<b>", browser=None, route=None, status_code=None,
                              response_time=None, size=None, mimetype=None))  # fmt: skip
    page = show(host)
    assert page.tiles()["hits"] == "2"
    for panel in page.all("a", class_="st-more"):
        show(host, panel.attributes["href"])
    for filters in ("path=/ä<b>", "route=/", "browser=", "status_code=5xx", "size=>10"):
        show(host, f"/statistics/?{RANGE}&{filters}")


# ---- days ---------------------------------------------------------------------------------------


def test_days_are_those_of_the_zone(make_host: MakeHost) -> None:
    """A request of 22:30 UTC was made on the next day in Berlin; the page names the zone."""
    host = make_host(settings=OPEN | {"STATISTICS_TIMEZONE": "Europe/Berlin"})
    add_rows(host, row(date=datetime(2024, 4, 30, 22, 30)))
    page = show(host)
    assert page.tiles()["hits"] == "1"
    assert "1 May 2024 00:30" in page.text
    assert "Days and times are those of Europe/Berlin." in page.text


def test_presets() -> None:
    """A preset of n days shows n days, today included."""
    found = {name: (start, end) for name, start, end in presets(date(2024, 2, 29))}
    assert found == {
        "Today": (date(2024, 2, 29), date(2024, 2, 29)),
        "Yesterday": (date(2024, 2, 28), date(2024, 2, 28)),
        "7 days": (date(2024, 2, 23), date(2024, 2, 29)),
        "30 days": (date(2024, 1, 31), date(2024, 2, 29)),
        "90 days": (date(2023, 12, 2), date(2024, 2, 29)),
        "This month": (date(2024, 2, 1), date(2024, 2, 29)),
        "12 months": (date(2023, 3, 1), date(2024, 2, 29)),
    }


def test_the_form_keeps_all_but_the_days(busy: Host) -> None:
    """Without the interval, which might not suit the new days."""
    page = show(busy, f"/statistics/?{RANGE}&interval=hour&metric=hits&path=/&bots=1")
    days = [i.attributes["value"] for i in page.all("input", type="date")]
    assert days == ["2024-05-01", "2024-05-03"]
    kept = {i.attributes["name"]: i.attributes["value"] for i in page.all("input", type="hidden")}
    assert kept == {"metric": "hits", "path": "/", "bots": "1"}


@pytest.mark.parametrize("days", ["start=0001-01-01&end=9999-12-31", "start=9999-12-31",
                                  "end=0001-01-01", "start=&end=&bots=&metric="])  # fmt: skip
def test_the_ends_of_time(busy: Host, days: str) -> None:
    """Years 1 and 9999, and a form sent empty, are questions like others."""
    answer = busy.open(f"/statistics/?{days}")
    assert answer.status_code == (400 if days == "start=9999-12-31" else 200)
    read(answer.text)


# ---- when there is nothing to show --------------------------------------------------------------


def test_no_request_yet(make_host: MakeHost) -> None:
    """A new user is told what to check."""
    page = show(make_host(settings=OPEN | {"STATISTICS_ENABLED": False}), "/statistics/")
    assert page.headings() == ["No request was recorded yet"]
    assert "flask db upgrade" in page.text
    assert "STATISTICS_ENABLED is false: set it to True" in " ".join(page.text.split())


def test_no_request_in_this_range(busy: Host) -> None:
    """One click leads to a range that has some."""
    page = show(busy, "/statistics/?start=2020-01-01&end=2020-01-02")
    assert page.headings() == ["No request in this range"]
    (link,) = page.all("a", class_="st-button")
    assert link.text == "Show 25 Apr \N{EN DASH} 2 May 2024"
    assert show(busy, link.attributes["href"]).tiles()["hits"] == "6"


def test_no_request_matches(busy: Host) -> None:
    """With filters, the way out is to remove them."""
    page = show(busy, f"/statistics/?{RANGE}&browser=Lynx")
    assert page.headings() == ["No request matches"]
    assert page.links("Remove the filters") == [f"/statistics/?{RANGE}"]


# ---- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "parameter", "message"),
    [
        ("start=2024-13-45", "start", "'2024-13-45' is not a date such as 2024-01-31"),
        ("start=2024-05-03&end=2024-05-01", "start", "2024-05-03 is after the end, 2024-05-01"),
        ("limit=-1", "limit", "'-1' is not a whole number between 1 and 1000"),
        ("limit=1e9", "limit", "'1e9' is not a whole number between 1 and 1000"),
        ("page=abc", "page", "'abc' is not a whole number between 1 and 1000000000"),
        ("metric=beauty", "metric", "'beauty' is none of hits, visitors"),
        ("metric=hits&metric=size", "metric", "is given 2 times"),
        ("sort=beauty", "sort", "'beauty' is none of"),
        ("by=mood", "by", "'mood' is none of route, path"),
        ("bots=maybe", "bots", "'maybe' is none of 0, 1, only"),
        ("colour=red", "colour", "'colour' is unknown; dimensions are"),
        ("<b>=1", "<b>", "'<b>' is unknown"),
        ("status_code=teapot", "status_code", "'teapot' is not a status"),
    ],
)
def test_a_bad_parameter(busy: Host, parameters: str, parameter: str, message: str) -> None:
    """400, saying which and why."""
    page = show(busy, f"/statistics/?{parameters}", status=400)
    assert f"The parameter {parameter} is wrong" in page.text
    assert message in page.text
    assert f"{parameter}: {message}" not in page.text


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("?brwser=Firefox", "browser"),
        ("?comparr=none", "compare"),
        ("?sort=-visitor", "visitors"),
        ("?metric=hit", "hits"),
        ("breakdown/contry", "country"),
    ],
)
def test_a_slip_of_the_pen(busy: Host, url: str, meant: str) -> None:
    """The page names what is probably meant, and the list of all is not cut."""
    page = show(busy, f"/statistics/{url}", status=400)
    (suggestion,) = [p.text for p in page.all("p") if p.text.startswith("Did you mean")]
    assert suggestion.startswith(f"Did you mean {meant}")
    assert "…" not in page.text


def test_an_unknown_breakdown(busy: Host) -> None:
    """400 too: the dimensions that there are, are named."""
    page = show(busy, "/statistics/breakdown/beauty", status=400)
    assert "'beauty' is unknown; dimensions are" in page.text


def test_ten_thousand_parameters(busy: Host) -> None:
    """They are refused, whatever they are."""
    many = "&".join(f"path=/{number}" for number in range(10_000))
    show(busy, f"/statistics/?{many}", status=400)


def test_a_missing_table(shown: Host, caplog: pytest.LogCaptureFixture) -> None:
    """The page says how to add it; the traceback is in the log alone."""
    with shown.app.app_context():
        shown.db.drop_all()
    page = show(shown, status=503)
    assert "The database has no table request yet." in page.text
    assert "flask db upgrade" in page.text
    assert "SELECT" not in page.text
    (record,) = caplog.records
    assert record.getMessage() == "the statistics pages could not ask the database"
    assert record.exc_info


def test_a_missing_column(shown: Host) -> None:
    """A model that was changed without a migration."""
    with shown.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE request DROP COLUMN city"))
        connection.execute(sa.text("ALTER TABLE request DROP COLUMN size"))
    page = show(shown, status=503)
    assert "Your model has city, size, but the table" in page.text.replace("size, city",
                                                                          "city, size")  # fmt: skip


def test_a_database_that_is_away(shown: Host, tmp_path: Path) -> None:
    """The page says so."""
    shown.engine.dispose()
    for file in tmp_path.glob("*.sqlite*"):
        file.unlink()
    tmp_path.joinpath("host0.sqlite").mkdir()
    page = show(shown, status=503)
    assert "The database did not answer" in page.text


def test_our_tables_may_be_missing(busy: Host) -> None:
    """What does not need them is shown all the same, with how to add them."""
    with busy.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE statistics_salt"))
    page = show(busy)
    assert "The database lacks statistics_salt" in " ".join(page.text.split())
    assert page.tiles()["hits"] == "5"


# ---- what visitors sent -------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "//evil.example/",
    "'; DROP TABLE request; --",
    "x\u202efdp.exe\u2066",
    "a\u0000b\u001b[31m",
    "*!%&=#?+",
    "ⓔ\N{ZERO WIDTH SPACE}é\N{PILE OF POO}",
    "x" * 900,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_visitors_sent_is_inert(shown: Host, text: str) -> None:
    """Markup, templates, links and invisible characters are only shown."""
    names = ("path", "browser", "platform", "source", "mimetype", "exception", "method",
             "language", "device", "user_agent", "bot", "username", "remote_address")  # fmt: skip
    column = shown.Request.__table__.c
    values = {name: text[: getattr(column[name].type, "length", None) or 900] for name in names}
    add_rows(shown, row(0, **values, route=text[:500], country=text[:2]))
    page = show(shown)
    assert "49" not in page.text
    for panel in page.all("a", class_="st-more"):
        show(shown, panel.attributes["href"])
    links = [a.attributes["href"] for a in page.all("a") if "route=" in a.attributes["href"]]
    for link in links:
        narrowed = show(shown, link)
        assert narrowed.tiles()["hits"] == "1"
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", page.text)


def test_invisible_characters_are_shown_as_marks(shown: Host) -> None:
    """A bidi mark cannot turn the text around it, and is seen."""
    add_rows(shown, row(route="/x\u202efdp.exe"))
    assert "/x⟨U+202E⟩fdp.exe" in show(shown).text


def test_a_value_that_a_filter_cannot_say_is_no_link(shown: Host) -> None:
    """A leading exclamation mark would exclude."""
    add_rows(shown, row(browser="!Opera"))
    page = show(shown)
    assert "!Opera" in page.text
    assert page.links("!Opera") == []


# ---- in the host --------------------------------------------------------------------------------


def test_security_headers(busy: Host) -> None:
    """On pages, errors and JSON; assets are kept by browsers for as long as they are the same."""
    for url in ("/statistics/", "/statistics/?start=x", "/statistics/api/summary",
                "/statistics/api/summary?start=x", "/statistics/chart"):  # fmt: skip
        headers = busy.open(url).headers
        assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]
    page = show(busy)
    assets = [e.attributes["href"] for e in page.all("link")]
    assets += [e.attributes["src"] for e in page.all("script")]
    assert len(assets) == 5
    for asset in assets:
        answer = busy.open(asset)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_and_its_assets_weigh_little(busy: Host) -> None:
    """At most 100 kB of the first load, compressed as servers do."""
    import gzip

    page = busy.open(f"/statistics/?{RANGE}")
    parsed = read(page.text)
    urls = [e.attributes["href"] for e in parsed.all("link")]
    urls += [e.attributes["src"] for e in parsed.all("script")]
    bodies = [page.data, *(busy.open(url).data for url in urls)]
    assert sum(len(gzip.compress(body)) for body in bodies) <= 100_000


def test_the_host_cannot_weaken_our_headers(make_host: MakeHost) -> None:
    """Whatever its after_request sets, ours are sent, once."""

    def before(app: Flask) -> None:
        @app.after_request
        def loosen(response: Response) -> Response:
            response.headers["Content-Security-Policy"] = "default-src *"
            response.headers.add("Cache-Control", "public")
            response.headers["X-Frame-Options"] = "SAMEORIGIN"
            return response

    host = make_host(before=before, settings=OPEN)
    headers = host.open("/statistics/").headers
    for name, value in SECURITY_HEADERS.items():
        assert headers.getlist(name) == [value]


def test_a_prefix_of_the_server(busy: Host) -> None:
    """Under SCRIPT_NAME every link and asset has the prefix."""
    environ = {"SCRIPT_NAME": "/my app"}
    answer = busy.open(f"/statistics/?{RANGE}&browser=Firefox", environ_overrides=environ)
    page = read(answer.text)
    for element in page.elements:
        for name in ("href", "src", "action", "data-fragment"):
            where = element.attributes.get(name, "#")
            assert where.startswith(("/my%20app/statistics/", "#")), element


def test_a_prefix_of_ours(make_host: MakeHost) -> None:
    """STATISTICS_URL_PREFIX moves everything."""
    host = make_host(settings=OPEN | {"STATISTICS_URL_PREFIX": "/admin/numbers"})
    page = show(host, "/admin/numbers/")
    assert all(a.attributes["href"].startswith("/admin/numbers/") for a in page.all("a"))
    assert host.open("/statistics/").status_code == 404


def test_url_processors_of_the_host(make_host: MakeHost) -> None:
    """Values that they add or want are no matter of ours."""

    def before(app: Flask) -> None:
        @app.url_value_preprocessor
        def pull(endpoint: str | None, values: dict[str, Any] | None) -> None:
            g.language = (values or {}).pop("language", "de")
            if values is not None:
                values["tenant"] = "acme"

        @app.url_defaults
        def push(endpoint: str, values: dict[str, Any]) -> None:
            values.setdefault("language", g.language)

    host = make_host(before=before, settings=OPEN)
    add_rows(host, row())
    page = show(host)
    assert "language=de" not in "".join(a.attributes["href"] for a in page.all("a"))
    for panel in page.all("a", class_="st-more"):
        show(host, panel.attributes["href"])
    assert host.open("/statistics/api/breakdown/path").status_code == 200


class ShoutingProvider(DefaultJSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return "SHOUT"


def shouting(app: Flask) -> None:
    app.json = ShoutingProvider(app)


def protecting(app: Flask) -> None:
    app.config["WTF_CSRF_CHECK_DEFAULT"] = True
    flask_wtf.CSRFProtect(app)


def strange_jinja(app: Flask) -> None:
    app.jinja_options = {
        "block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "[[",
        "variable_end_string": "]]", "comment_start_string": "<#", "comment_end_string": "#>",
        "undefined": jinja2.StrictUndefined, "trim_blocks": True, "line_statement_prefix": "#",
        "finalize": lambda value: "MINE", "autoescape": False,
    }  # fmt: skip
    app.jinja_env.globals.update(question="mine", links="mine", table="mine", chart="mine")
    app.jinja_env.filters.update(visible=lambda value: "MINE", figure=lambda *values: "MINE")


def chatty_context(app: Flask) -> None:
    app.context_processor(lambda: {"question": "mine", "links": "mine", "rows": 7, "zone": None,
                                   "row": "mine", "content": "mine", "page": 1})  # fmt: skip


def own_templates(app: Flask) -> None:
    folder = Path(app.root_path) / "templates"
    folder.mkdir(exist_ok=True)
    for name in ("base", "layout", "dashboard", "message", "_table", "breakdown"):
        folder.joinpath(f"{name}.html").write_text("the host's own")


def catches_everything(app: Flask) -> None:
    app.register_error_handler(Exception, lambda error: ("the host's handler", 500))
    app.url_map.strict_slashes = False


@pytest.mark.parametrize(
    "before",
    [shouting, protecting, strange_jinja, chatty_context, own_templates, catches_everything],
    ids=lambda function: function.__name__,
)
def test_hosts_of_all_kinds(make_host: MakeHost, before: Callable[[Flask], None]) -> None:
    """Options, names and handlers of the host change nothing on our pages."""
    host = make_host(before=before, settings=OPEN)
    plain = make_host(settings=OPEN, app=Flask("host0", root_path=str(Path(__file__).parent)))
    for to in (host, plain):
        add_rows(to, row(path="/a<b>"))
    for url in (f"/statistics/?{RANGE}", f"/statistics/?{RANGE}&path=/a<b>", "/statistics/?page=x",
                f"/statistics/breakdown/path?{RANGE}", "/statistics/api/summary"):  # fmt: skip
        found, expected = host.open(url), plain.open(url)
        assert found.status_code == expected.status_code
        assert found.text == expected.text


def test_a_host_overrides_a_template(make_host: MakeHost) -> None:
    """A file of the same name in its own templates/flask_statistics/ is taken instead."""

    def before(app: Flask) -> None:
        folder = Path(app.root_path) / "templates/flask_statistics"
        folder.mkdir(parents=True)
        folder.joinpath("_foot.html").write_text("<footer>{{ app_name }} by Me</footer>")

    page = show(make_host(before=before, settings=OPEN), "/statistics/")
    assert "host0 by Me" in page.text


def test_two_apps_do_not_share_anything(make_host: MakeHost) -> None:
    """Each shows its own name and its own rows."""
    first, second = make_host(settings=OPEN), make_host(settings=OPEN)
    add_rows(first, row())
    assert "Statistics of host0" in show(first).text
    page = show(second)
    assert "Statistics of host1" in page.text
    assert page.headings() == ["No request was recorded yet"]


def test_the_pages_are_not_recorded(busy: Host) -> None:
    """Looking at the statistics does not change them."""
    before = len(busy.rows())
    show(busy)
    busy.open("/statistics/static/style.css")
    assert len(busy.rows()) == before


# ---- how numbers are written --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "text", "title"),
    [
        (0, "count", "0", "0"),
        (9999, "count", "9,999", "9,999"),
        (12_432, "count", "12.4k", "12,432"),
        (99_960, "count", "100k", "99,960"),
        (999_960, "count", "1M", "999,960"),
        (1_234_567, "count", "1.2M", "1,234,567"),
        (2.5, "number", "2.5", "2.5"),
        (0.0004, "seconds", "0.40 ms", "0.0004 s"),
        (0.0042, "seconds", "4.2 ms", "0.0042 s"),
        (0.123, "seconds", "123 ms", "0.123 s"),
        (0.9996, "seconds", "1.00 s", "0.9996 s"),
        (59.99, "seconds", "1 min 0 s", "59.99 s"),
        (3700, "seconds", "1 h 1 min", "3,700 s"),
        (512, "bytes", "512 B", "512 bytes"),
        (12_400, "bytes", "12.4 kB", "12,400 bytes"),
        (999_999, "bytes", "1 MB", "999,999 bytes"),
        (2_700_000_000, "bytes", "2.7 GB", "2,700,000,000 bytes"),
        (0.1234, "share", "12.3 %", "12.34 %"),
        (0.0003, "share", "< 0.1 %", "0.03 %"),
        (0.9999, "share", "> 99.9 %", "99.99 %"),
        (1, "share", "100 %", "100 %"),
        (None, "seconds", "\N{EN DASH}", "not known"),
    ],
)
def test_figures(value: float | None, unit: str, text: str, title: str) -> None:
    """Short to read, exact in the title."""
    assert formats.figure(value, unit) == text
    assert formats.exact_figure(value, unit) == title


@pytest.mark.parametrize(
    ("metric", "now", "before", "text", "direction", "verdict"),
    [
        ("hits", 112, 100, "12 %", "up", "good"),
        ("hits", 98, 100, "2.0 %", "down", "bad"),
        ("hits", 5, 0, "nothing before", "same", "neutral"),
        ("hits", 5000, 10, "\N{MULTIPLICATION SIGN} 500", "up", "good"),
        ("hits", 5, 5, "no change", "same", "neutral"),
        ("response_time", 0.2, 0.1, "100 %", "up", "bad"),
        ("error_rate", 0.05, 0.02, "3 points", "up", "bad"),
        ("error_rate", 0.00001, 0, "< 0.01 points", "up", "bad"),
        ("size", 10, 20, "50 %", "down", "neutral"),
    ],
)
def test_changes(
    metric: str, now: float, before: float, text: str, direction: str, verdict: str
) -> None:
    """In relation to before; shares by points; good or bad as the metric says."""
    assert formats.change(BY_NAME[metric], now, before) == (text, direction, verdict)


def test_no_change_is_known_without_both_numbers() -> None:
    """A mean of nothing is not compared."""
    assert formats.change(BY_NAME["response_time"], None, 0.1) is None
    assert formats.change(BY_NAME["response_time"], 0.1, None) is None


def test_code_in_a_definition() -> None:
    """What stands in backticks is code, all else is text."""
    assert formats.with_code("no `<b>` < `c`.") == (
        "no <code>&lt;b&gt;</code> &lt; <code>c</code>."
    )


def test_moments() -> None:
    """In the zone of the pages, with as much as is needed."""
    berlin = ZoneInfo("Europe/Berlin")
    assert formats.moment("2024-05-01T22:30:05.123456Z", berlin) == "2 May 2024 00:30:05"
    assert formats.brief_moment(datetime(2024, 5, 1, 22, 30), berlin) == "2 May 2024 00:30"
    assert formats.moment(None, berlin) == "\N{EN DASH}"
    assert formats.moment("nonsense", berlin) == "\N{EN DASH}"
    assert formats.span(date(2024, 5, 1), date(2024, 5, 1)) == "1 May 2024"
    assert formats.span(date(2023, 12, 31), date(2024, 1, 1)) == (
        "31 Dec 2023 \N{EN DASH} 1 Jan 2024"
    )


def test_page_of_events(make_host: Callable[..., Host]) -> None:
    """The page of all events says how many there were, of whom, and what they brought."""
    host = make_host(settings={"TESTING": True})

    @host.app.route("/buy")
    def buy() -> str:
        host.statistics.track("purchase", revenue=4.5, currency="EUR", tea="oolong")
        host.statistics.track("purchase", revenue=2.0, currency="EUR", tea="oolong")
        return "thanks"

    host.open("/buy", headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/125.0"})
    host.rows()
    text = " ".join(host.open("/statistics/breakdown/event").text.split())
    for word in ("Events", "Revenue", "purchase", "6.5"):
        assert word in text
    assert "oolong" in host.open("/statistics/breakdown/prop.tea").text
