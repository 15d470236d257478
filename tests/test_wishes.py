"""Requests that ask not to be tracked, and addresses that are cut before they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flask_statistics.fields import PERSONAL
from tests.owned import ALICE, BOB, MakeHost, everything, peoples_host, run, visit
from tests.sample_log import line

WISHES = [{"DNT": "1"}, {"Sec_GPC": "1"}, {"DNT": "0", "Sec_GPC": "1"}]


@pytest.mark.parametrize("wish", WISHES)
def test_excluded(make_host: MakeHost, database_url: str, wish: dict[str, str]) -> None:
    """With 'exclude' nothing of such a request is stored, events neither."""
    host = peoples_host(make_host, database_url, RESPECT_DNT="exclude")
    visit(host, "/?buy=1", ALICE, **wish)
    visit(host, "/", BOB, DNT="0", Sec_GPC="0")
    assert [row["remote_address"] for row in host.rows()] == [BOB]
    assert everything(host)["statistics_event"] == []


@pytest.mark.parametrize("wish", WISHES)
def test_anonymised(make_host: MakeHost, database_url: str, wish: dict[str, str]) -> None:
    """With 'anonymise' every personal column is empty, and all others are as ever."""
    host = peoples_host(make_host, database_url, RESPECT_DNT="anonymise", USERNAME=lambda: "Ann")
    sent = {"X_Forwarded_For": "192.0.2.1", "X_Request_ID": "mine", "Authorization": "Basic QTpi"}
    visit(host, "/?buy=1", ALICE, **sent)
    visit(host, "/?buy=1", ALICE, **sent, **wish)
    plain, anonymous = host.rows()
    personal = PERSONAL - {"ip_info"}  # of a later release
    assert all(plain[name] is not None for name in personal)
    assert all(anonymous[name] is None for name in PERSONAL)
    kept = set(plain) - PERSONAL - {"id", "date", "response_time"}
    assert {name: anonymous[name] for name in kept} == {name: plain[name] for name in kept}
    assert len(everything(host)["statistics_visit"]) == 1
    of_plain, of_anonymous = everything(host)["statistics_event"]
    assert "alice@example.org" in str(of_plain)
    assert "alice@example.org" not in str(of_anonymous)
    assert 9.5 in of_anonymous
    assert not {plain["visitor"], plain["visit"], "Ann"} & set(of_anonymous)


def test_not_heeded(make_host: MakeHost, sqlite_url: str) -> None:
    """Without the setting such requests are recorded like others."""
    host = peoples_host(make_host, sqlite_url)
    visit(host, "/?buy=1", ALICE, DNT="1", Sec_GPC="1")
    (row,) = host.rows()
    assert (row["remote_address"], row["visitor"] is None) == (ALICE, False)


def test_anonymised_failures_and_streams(make_host: MakeHost, sqlite_url: str) -> None:
    """A view that raises, and a body that is sent piece by piece, are anonymous, too."""
    host = peoples_host(make_host, sqlite_url, RESPECT_DNT="anonymise")
    host.app.add_url_rule("/fail/<int:n>", view_func=lambda n: 1 / n, endpoint="fail")
    host.app.add_url_rule("/stream/it", view_func=lambda: iter(["a", "b"]), endpoint="stream")
    visit(host, "/fail/0", ALICE, DNT="1")
    visit(host, "/stream/it", ALICE, DNT="1")
    failed, streamed = host.rows()
    assert (failed["status_code"], streamed["size"]) == (500, 2)
    assert all(row[name] is None for row in (failed, streamed) for name in PERSONAL)


@pytest.mark.parametrize(
    ("mask", "four", "six", "forwarded"),
    [
        (None, "203.0.113.9", "2001:db8:1:2::3", "203.0.113.77, 10.1.2.3:80"),
        ("last-octet", "203.0.113.0", "2001:db8:1::", "203.0.113.0, 10.1.2.0"),
        ("full", "0.0.0.0", "::", "0.0.0.0, 0.0.0.0"),
        ((16, 32), "203.0.0.0", "2001:db8::", "203.0.0.0, 10.1.0.0"),
    ],
)
def test_masked_before_anything_is_stored(
    make_host: MakeHost, sqlite_url: str, tmp_path: Path, mask: Any, four: str, six: str,
    forwarded: str,
) -> None:  # fmt: skip
    """No table holds more of an address than was set, of live requests and of imported ones."""
    host = peoples_host(make_host, sqlite_url, MASK_IP=mask)
    visit(host, "/?buy=1", "203.0.113.9", X_Forwarded_For="203.0.113.77, 10.1.2.3:80")
    visit(host, "/", "2001:db8:1:2::3")
    live = host.rows()
    path = tmp_path / "access.log"
    path.write_text(
        line("/c").replace("::1 ", "203.0.113.9 ") + line("/d").replace("::1 ", "2001:db8:1:2::3 ")
    )
    run(host, "import", path)
    rows = host.stored()
    assert [row["remote_address"] for row in rows] == [four, six, four, six]
    assert rows[0]["xforwardedfor"] == forwarded
    if mask is not None:
        stored = str(everything(host))
        assert not any(text in stored for text in ("203.0.113.9", "203.0.113.77", "2001:db8:1:2"))
    # Whoever shares a masked address is still another visitor.
    visit(host, "/", "203.0.113.10")
    assert host.rows()[-1]["visitor"] != live[0]["visitor"]
