"""The commands, as a user types them."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from flask_statistics.cli import statistics_cli
from tests.sample_log import ADDRESSES, DAYS, SAMPLE, SAMPLE_LINES, STATUSES, line

if TYPE_CHECKING:
    from tests.conftest import Host

MakeHost = Callable[..., "Host"]

MAY = ("--start", "2015-05-17", "--end", "2015-05-20")


def run(host: Host, *arguments: str | Path, code: int = 0, **options: Any) -> Result:
    """Run ``flask statistics …`` and check the exit code."""
    runner = host.app.test_cli_runner()
    result = runner.invoke(args=["statistics", *map(str, arguments)], **options)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def sample(host: Host) -> Host:
    """A host with the sample log imported."""
    run(host, "import", SAMPLE)
    return host


# ---- import ------------------------------------------------------------------------------------


def test_import_says_what_became_of_the_lines(host: Host) -> None:
    """The last line counts what was read, new, known, bad and refused, and the rate."""
    first = run(host, "import", SAMPLE)
    assert first.stdout.startswith(
        f"{SAMPLE}: 10,000 lines read, 10,000 new, 0 known, 0 bad, 0 refused ("
    )
    assert first.stdout.endswith(" lines/s)\n")
    assert first.stderr == ""
    second = run(host, "import", SAMPLE)
    assert "10,000 lines read, 0 new, 10,000 known, 0 bad, 0 refused" in second.stdout


def test_import_from_standard_input(host: Host) -> None:
    """A dash is standard input, compressed or not, and leaves it open."""
    text = (line("/a") + line("/b")).encode()
    assert "standard input: 2 lines read, 2 new" in run(host, "import", "-", input=text).stdout
    assert "2 known" in run(host, "import", "-", input=gzip.compress(text)).stdout


def test_bad_lines_are_shown_inertly(host: Host, tmp_path: Path) -> None:
    """The first bad lines are shown with their number; nothing in them reaches the terminal."""
    path = tmp_path / "access.log"
    evil = "\x1b]0;owned\x07\u202egnp.exe\x00"
    path.write_text(line() + f"{evil}\n" + "junk\n" * 9)
    result = run(host, "import", path)
    assert result.stderr.splitlines() == [
        f"{path}, line 2 is no line of an access log: "
        "⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+202E⟩gnp.exe⟨U+0000⟩",
        *(f"{path}, line {number} is no line of an access log: junk" for number in range(3, 7)),
        f"{path}: 5 more bad lines are not shown.",
    ]
    assert "11 lines read, 1 new, 0 known, 10 bad" in result.stdout


def test_files_that_fail_do_not_stop_others(host: Host, tmp_path: Path) -> None:
    """A missing file, a folder, junk and half an archive are named; the others are imported."""
    files = {name: tmp_path / name for name in ("missing", "folder", "junk", "torn", "good")}
    files["folder"].mkdir()
    files["junk"].write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    files["torn"].write_bytes(gzip.compress(b"".join(SAMPLE_LINES))[:60_000])
    files["good"].write_text(line())
    result = run(host, "import", *files.values(), code=1)
    errors = [text for text in result.stderr.splitlines() if text.startswith("Error: ")]
    assert errors[:3] == [
        f"Error: {files['missing']}: cannot be read: No such file or directory.",
        f"Error: {files['folder']}: cannot be read: Is a directory.",
        f"Error: {files['junk']}: none of its lines is a line of an access log.",
    ]
    assert errors[3].startswith(
        f"Error: {files['torn']}: the file is damaged, or ends too early (Compressed file ended"
    )
    assert f"{files['good']}: 1 lines read, 1 new" in result.stdout
    assert len(host.stored()) > 1000


def test_file_without_permission(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is named with the reason."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "access.log"
    monkeypatch.setattr(
        "flask_statistics.importing.log_file.Path.open", refuse
    )  # root may read all
    result = run(host, "import", path, code=1)
    assert result.stderr == f"Error: {path}: cannot be read: Permission denied.\n"


def test_dry_run_stores_nothing(host: Host) -> None:
    """A dry run says what would be new."""
    result = run(host, "import", "--dry-run", SAMPLE)
    assert "10,000 lines read, 10,000 would be new, 0 known" in result.stdout
    assert host.stored() == []


def test_overlap_is_explained(host: Host, tmp_path: Path) -> None:
    """Refused lines are explained, with their span and the option that imports them."""
    live = {"started": sa.func.now(), "ended": sa.func.now()}
    table = host.db.metadata.tables["statistics_live"]
    with host.engine.begin() as connection:
        connection.execute(table.insert().values(live))
        live_now = connection.execute(sa.select(table.c.started)).scalar_one()
    path = tmp_path / "access.log"
    path.write_text(line(time=live_now.strftime("%d/%b/%Y:%H:%M:%S +0000")))
    result = run(host, "import", path)
    assert result.stderr == (
        f"{path}: 1 lines from {live_now} to {live_now} UTC were refused: requests of that time "
        "were recorded live. --overlap imports them, too.\n"
    )
    assert "0 new, 0 known, 0 bad, 1 refused" in result.stdout
    assert "1 new" in run(host, "import", "--overlap", path).stdout


def test_unfinished_line_is_mentioned(host: Host, tmp_path: Path) -> None:
    """The beginning of a last line is left for later, and that is said."""
    path = tmp_path / "access.log"
    path.write_text(line() + line()[:-5])
    assert run(host, "import", path).stderr == (
        f"{path}: the last line is unfinished; it is imported once it is complete.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import",), "Missing argument 'FILE...'."),
        (
            ("import", "--tz", "Mars/Base", "x"),
            "Invalid value for '--tz': 'Mars/Base' is no IANA time zone such as Europe/Berlin.",
        ),
        (("import", "--tz", "../etc/passwd", "x"), "is no IANA time zone"),
        (("import", "--tz", "Europe", "x"), "is no IANA time zone"),
        (
            ("import", "--host", "a b", "x"),
            "Invalid value for '--host': 'a b' is no host such as example.org.",
        ),
        (("import", "--host", "", "x"), "Invalid value for '--host': '' is no host"),
        (("import", "--fast", "x"), "No such option"),
        (
            ("report", "--start", "2024-13-45"),
            "Invalid value for --start: '2024-13-45' is not a date such as 2024-01-31",
        ),
        (
            ("report", "--start", "2024-02-01", "--end", "2024-01-01"),
            "Invalid value for --start: 2024-02-01 is after the end, 2024-01-01",
        ),
        (("report", "--compare", "yesterday"), "Invalid value for --compare: 'yesterday' is none"),
        (("report", "--format", "xml"), "Invalid value for '--format'"),
        (("report", "--limit", "0"), "Invalid value for '--limit'"),
        (("report", "--bots", "2"), "Invalid value for --bots: '2' is none of 0, 1, only"),
        (("report", "--tz", "Mars"), "Invalid value for --tz: 'Mars' is not a time zone"),
        (("report", "--where", "foo"), "Invalid value for --where: 'foo' is no filter such as"),
        (("report", "--where", "foo=3"), "Invalid value for --where: foo: 'foo' is unknown"),
        (("export", "--where", "end=3"), "Invalid value for --where: 'end=3' is no filter"),
        (("status", "--format", "xml"), "Invalid value for '--format'"),
    ],
)
def test_bad_options(host: Host, arguments: tuple[str, ...], message: str) -> None:
    """A bad option is named with what is accepted; the exit code is 2."""
    assert message in run(host, *arguments, code=2).stderr


@pytest.mark.parametrize("command", [("import", "x"), ("report",)])
def test_missing_tables(host: Host, command: tuple[str, ...]) -> None:
    """Without the tables the commands say how to make them."""
    with host.app.app_context():
        host.db.drop_all()
    result = run(host, *command, code=1)
    assert "no such table" in result.stderr or "is missing" in result.stderr
    assert "flask db upgrade" in result.stderr


def test_database_that_is_away(host: Host) -> None:
    """A database that is away is a message, not a traceback."""
    host.app.extensions["statistics"].engine = sa.create_engine(
        "sqlite:////nowhere/at/all.sqlite", poolclass=sa.NullPool
    )
    for command in (("import", str(SAMPLE)), ("report",), ("status",)):
        result = run(host, *command, code=1)
        assert result.stderr.startswith("Error: The database failed: unable to open database file")


APP = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_statistics import RequestMixin, Statistics

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = {url!r}
db = SQLAlchemy(app)


class Request(RequestMixin, db.Model):
    pass


Statistics(app, db, Request)
"""


def test_interrupted_by_ctrl_c(make_host: MakeHost, sqlite_url: str, tmp_path: Path) -> None:
    """Ctrl-C ends with code 130 and what was stored; the next run adds the rest."""
    host = make_host(url=sqlite_url)
    (tmp_path / "host_app.py").write_text(APP.format(url=sqlite_url))
    command = [sys.executable, "-m", "flask", "--app", str(tmp_path / "host_app.py")]
    process = subprocess.Popen(
        [*command, "statistics", "import", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        # A run in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    # More than a pipe and a block hold: when it is written, the import is in the middle of it.
    process.stdin.write(b"".join(SAMPLE_LINES))
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    output, errors = process.stdout.read().decode(), process.stderr.read().decode()
    process.stdin.close()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(30) == 130
    assert errors == "Interrupted. Run it again to go on: what is stored will be recognised.\n"
    stored = len(host.stored())
    assert f" {stored:,} new, 0 known, 0 bad, 0 refused" in output
    run(host, "import", SAMPLE)
    assert len(host.stored()) == 10_000


# ---- report ------------------------------------------------------------------------------------


def test_report_as_json(make_host: MakeHost, database_url: str) -> None:
    """The report has the facts of the sample in the shapes of the API, on every database."""
    host = make_host(url=database_url)
    run(host, "import", SAMPLE)
    report = json.loads(run(host, "report", *MAY, "--format", "json").stdout)
    host.app.testing = True
    client = host.app.test_client()
    span = {"start": MAY[1], "end": MAY[3]}
    assert report["summary"] == client.get("/statistics/api/summary", query_string=span).json
    assert report["timeseries"] == client.get("/statistics/api/timeseries", query_string=span).json
    assert report["summary"]["metrics"]["hits"] == 10_000
    assert report["addresses"] == ADDRESSES
    assert {point["start"]: point["hits"] for point in report["timeseries"]["points"]} == DAYS
    rows = report["breakdowns"]["status_code"]["rows"]
    assert {row["value"]: row["hits"] for row in rows} == STATUSES


def test_report_of_a_filter_and_a_zone(sample: Host) -> None:
    """--where narrows the report as the pages' filters do, and --tz names the days' zone."""
    options = ("--where", "status_code=404", "--tz", "Pacific/Kiritimati")
    report = json.loads(run(sample, "report", *MAY, *options, "--format", "json").stdout)
    assert [row["value"] for row in report["breakdowns"]["status_code"]["rows"]] == [404]
    hits = [point["hits"] for point in report["timeseries"]["points"]]
    assert 0 < sum(hits) <= STATUSES[404]
    in_utc = run(sample, "report", *MAY, *options[:2], "--format", "json").stdout
    assert hits != [point["hits"] for point in json.loads(in_utc)["timeseries"]["points"]]


def test_report_as_text(sample: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the facts of the sample, aligned, no wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "90")
    lines = run(sample, "report", *MAY).stdout.splitlines()
    assert lines[0] == "Statistics, 17\u201320 May 2015, compared with 13\u201316 May 2015"
    assert _figures(lines, "Hits") == ["10,000", "nothing", "before"]
    assert _figures(lines, "Errors")[0] == "3"
    assert _figures(lines, "Addresses") == ["1,753"]
    days = [text for text in lines if text.split()[0:1] and text.split()[0] in {
        "Sun", "Mon", "Tue", "Wed"}]  # fmt: skip
    assert [int(text.split()[4].replace(",", "")) for text in days] == list(DAYS.values())
    assert max(map(len, days)) == 90
    for status, hits in STATUSES.items():
        assert _figures(lines, str(status))[0] == f"{hits:,}"
    assert max(map(len, lines)) <= 90
    assert _figures(lines, "/favicon.ico")[0] == "808"


def _figures(lines: list[str], label: str) -> list[str]:
    (found,) = (text.split()[1:] for text in lines if text.split()[:1] == [label] and (
        text.split()[1:2] != ["per"]) and text.split()[1][0].isdigit())  # fmt: skip
    return found


def test_report_of_nothing(host: Host) -> None:
    """An empty report says what to do."""
    text = run(host, "report", *MAY).stdout
    assert "No request was recorded in this time." in text
    assert "flask statistics import FILE" in text


def test_report_of_hostile_values(host: Host, tmp_path: Path) -> None:
    """Nothing that visitors sent reaches the terminal as it is."""
    path = tmp_path / "access.log"
    path.write_text(line("/%1b%5b31mred%e2%80%ae%00") + line("/%e6%bc%a2%e5%ad%97" * 50))
    run(host, "import", path)
    text = run(host, "report", *MAY).stdout
    assert "\ufffd[31mred⟨U+202E⟩" in text
    assert not {"\x1b", "\u202e", "\0"} & set(text)
    assert "漢字" in text


def test_report_on_a_terminal_without_unicode(sample: Host) -> None:
    """Bars are made of what the terminal's encoding has; the rest is escaped."""
    with sample.app.app_context():
        result = CliRunner(charset="ascii").invoke(statistics_cli, ["report", *MAY])
    assert result.exit_code == 0
    assert "#####" in result.stdout
    assert r"17\u201320 May 2015" in result.stdout


def test_report_of_a_classic_model(make_host: MakeHost) -> None:
    """A model with few columns has a report of these."""

    def classic(db: Any) -> Any:
        class Classic(db.Model):  # type: ignore[misc]
            index = db.Column(db.Integer, primary_key=True)
            date = db.Column(db.DateTime)
            path = db.Column(db.String)

        return Classic

    host = make_host(model=classic)
    run(host, "import", SAMPLE)
    report = json.loads(run(host, "report", *MAY, "--format", "json").stdout)
    assert report["summary"]["metrics"] == {"hits": 10_000, "events": 0, "revenue": 0}
    assert list(report["breakdowns"]) == ["path"]
    assert "10,000" in run(host, "report", *MAY).stdout


# ---- status ------------------------------------------------------------------------------------


def test_status_as_json(make_host: MakeHost, database_url: str) -> None:
    """The status has the recorder's counts and what the table holds."""
    host = make_host(
        url=database_url, before=lambda app: app.add_url_rule("/", view_func=lambda: "x")
    )
    assert json.loads(run(host, "status", "--format", "json").stdout)["table"] == {
        "name": "request", "rows": 0, "newest": None,
    }  # fmt: skip
    host.open("/")
    (row,) = host.rows()
    status = json.loads(run(host, "status", "--format", "json").stdout)
    assert status["recorder"]["stored"] == 1
    assert status["recorder"]["dropped"] == {}
    assert status["table"] == {
        "name": "request", "rows": 1, "newest": row["date"].isoformat(),
    }  # fmt: skip
    assert status["missing"] == []
    assert status["derived"] == {"visits": True, "totals": 0, "archive": None}
    assert list(status)[-1] == "recorder"


def test_status_as_text(host: Host) -> None:
    """The text names queue, stored, dropped, lag and the last error."""
    text = run(host, "status").stdout
    for label in ("Table", "Queue", "Stored", "Dropped", "Lag", "Last error"):
        assert label in text
    assert "request: 0 requests" in text
    assert "Visits            not known before the first request\n" in text
    assert "Totals            0 days added up\n" in text
    assert "Archive           none (STATISTICS_ARCHIVE)\n" in text
    assert text.index("Recorded live") < text.index("This process") < text.index("Stored")
    assert "of this command alone; of a worker: <STATISTICS_URL_PREFIX>/api/status" in text


def test_status_without_tables(host: Host) -> None:
    """Missing tables are named with the remedy; that is no error of the command."""
    with host.app.app_context():
        host.db.drop_all()
    text = run(host, "status").stdout
    assert (
        "Missing tables: request, statistics_salt, statistics_live, statistics_imported, "
        "statistics_visit, statistics_event, statistics_change, statistics_state, "
        "statistics_total. Run `flask db migrate` and `flask db upgrade` to make them, or call "
        "db.create_all() after Statistics(…).\n"
    ) in text


@pytest.mark.parametrize("command", ["import", "report", "status"])
def test_help(host: Host, command: str) -> None:
    """Each command explains itself, and is explained in the docs."""
    assert "Usage:" in run(host, command, "--help").stdout
    docs = Path(__file__).parent.parent / "docs" / "commands.md"
    assert f"flask statistics {command}" in docs.read_text()
