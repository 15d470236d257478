"""Access logs become rows: each line once, on every database."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from flask_statistics.asking.query import Filter, Period, Query
from flask_statistics.errors import ImportRefusedError, MissingTableError
from flask_statistics.importing import importer
from flask_statistics.importing.importer import Importer, LiveSpans, Tally, importing
from flask_statistics.importing.known_lines import KnownLines, hash_line
from flask_statistics.importing.log_file import LogFile, open_log
from flask_statistics.importing.writing import BatchWriter
from flask_statistics.state import get_state
from tests.sample_log import ADDRESSES, DAYS, SAMPLE, SAMPLE_LINES, STATUSES, line

if TYPE_CHECKING:
    from tests.conftest import Host

MAY = Period(date(2015, 5, 17), date(2015, 5, 20), ZoneInfo("UTC"))

MakeHost = Callable[..., "Host"]


def import_logs(host_: Host, *paths: Path | str, **options: Any) -> list[Tally]:
    """Import logs in one run."""
    tallies = []
    with host_.app.app_context(), importing(get_state(), **options) as importer_:
        for path in paths:
            tallies.append(Tally())
            with open_log(str(path)) as log:
                importer_.read(log, tallies[-1])
    return tallies


def read_log(importer_: Importer, path: Path, *arguments: Any) -> None:
    with open_log(str(path)) as log:
        importer_.read(log, *arguments)


def import_text(host_: Host, folder: Path, text: str | bytes, **options: Any) -> Tally:
    """Import a log with this text."""
    path = folder / "access.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tally,) = import_logs(host_, path, **options)
    return tally


def counts(tally: Tally) -> tuple[int, int, int, int, int]:
    return tally.read, tally.new, tally.known, tally.bad, tally.refused


def paths(host: Host) -> list[str]:
    return [row["path"] for row in host.stored()]


# ---- the sample log -------------------------------------------------------------------------


def test_sample_log(make_host: MakeHost, database_url: str) -> None:
    """SELECT, answers and JSON agree on the facts of the sample; a second run adds nothing."""
    host = make_host(url=database_url)
    (tally,) = import_logs(host, SAMPLE)
    assert counts(tally) == (10_000, 10_000, 0, 0, 0)
    _check_select(host)
    _check_answers(host)
    _check_json(host)
    (tally,) = import_logs(host, SAMPLE)
    assert counts(tally) == (10_000, 0, 10_000, 0, 0)
    assert len(host.stored()) == 10_000


def _check_select(host: Host) -> None:
    rows = host.stored()
    assert len(rows) == 10_000
    assert Counter(row["date"].date().isoformat() for row in rows) == DAYS
    assert len({row["remote_address"] for row in rows}) == ADDRESSES
    assert Counter(row["status_code"] for row in rows) == STATUSES
    assert all(row["visitor"] and row["visit"] for row in rows)
    assert all(row["mimetype"] == "image/png" for row in rows if row["path"].endswith(".png"))
    assert all(row["mimetype"] == "text/html" for row in rows if row["path"].endswith("/"))
    assert sum(row["bot"] == "Googlebot" for row in rows) > 100


def _check_answers(host: Host) -> None:
    with host.app.app_context():
        answers = get_state().answers
    query = Query(MAY)
    summary = answers.summary(query)
    assert (summary["hits"], summary["errors"]) == (10_000, 3)
    points = answers.timeseries(query.replace(bucket="day"))
    assert {point["start"]: point["hits"] for point in points} == DAYS
    statuses = answers.breakdown(query.replace(group_by=("status_code",))).rows
    assert {row["value"]: row["hits"] for row in statuses} == STATUSES
    assert answers.breakdown(query.replace(group_by=("remote_address",))).total == ADDRESSES
    assert answers.count(query.replace(filters=(Filter("status_code", ("5xx",)),))) == 3


def _check_json(host: Host) -> None:
    host.app.testing = True
    client = host.app.test_client()
    span = {"start": "2015-05-17", "end": "2015-05-20"}
    summary = client.get("/statistics/api/summary", query_string=span).get_json()
    assert summary["metrics"]["hits"] == 10_000
    series = client.get(
        "/statistics/api/timeseries", query_string=span | {"interval": "day"}
    ).get_json()
    assert {point["start"][:10]: point["hits"] for point in series["points"]} == DAYS
    statuses = client.get("/statistics/api/breakdown/status_code", query_string=span).get_json()
    assert {int(row["value"]): row["hits"] for row in statuses["rows"]} == STATUSES


# ---- each line once -------------------------------------------------------------------------


def test_log_that_grew(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """Of a log that grew only the new lines are added, though it was cut in a line before."""
    host = make_host(url=database_url)
    whole = b"".join(SAMPLE_LINES[:1000])
    for size in (50_000, 50_001, 99_000, len(whole) - 1, len(whole)):
        import_text(host, tmp_path, whole[:size])
    assert sorted(paths(host)) == sorted(_paths_of(SAMPLE_LINES[:1000]))


def _paths_of(lines: list[bytes]) -> list[str]:
    targets = (line_.split(b'"')[1].split(b" ")[1] for line_ in lines)
    return ["/" + unquote(t.decode().partition("?")[0]).lstrip("/") for t in targets]


def test_logs_that_overlap(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """Rotated logs that overlap add each line once, in one run or in two, in any order."""
    host = make_host(url=database_url)
    parts = {"b": SAMPLE_LINES[400:900], "a": SAMPLE_LINES[:500], "c": SAMPLE_LINES[100:600]}
    for name, lines in parts.items():
        (tmp_path / name).write_bytes(b"".join(lines))
    first, second = import_logs(host, tmp_path / "b", tmp_path / "a")
    assert (first.new, second.new) == (500, 400)
    (third,) = import_logs(host, tmp_path / "c")
    assert counts(third) == (500, 0, 500, 0, 0)
    assert len(host.stored()) == 900


def test_identical_lines(host: Host, tmp_path: Path) -> None:
    """Of identical lines as many are kept as the log with most of them has."""
    assert import_text(host, tmp_path, line() * 3).new == 3
    assert counts(import_text(host, tmp_path, line() * 2)) == (2, 0, 2, 0, 0)
    assert counts(import_text(host, tmp_path, line() * 5)) == (5, 2, 3, 0, 0)
    assert len(host.stored()) == 5


def test_identical_lines_of_two_transactions(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one transaction stored is not taken for known by the next of the same log."""
    monkeypatch.setattr("flask_statistics.importing.writing.BATCH", 2)
    assert import_text(host, tmp_path, line() * 7).new == 7
    assert import_text(host, tmp_path, line() * 9).new == 2


def test_transactions_end_in_time(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow database gets many short transactions, each with the marks of its own rows."""
    monkeypatch.setattr("flask_statistics.importing.writing.PART", 3)
    monkeypatch.setattr("flask_statistics.importing.writing.HELD", 0.0001)
    monkeypatch.setattr("flask_statistics.importing.writing.GAP", 0.0)
    log = "".join(line(f"/{number}") for number in range(20))
    assert import_text(host, tmp_path, log).new == 20
    imported = get_state(host.app).tables.imported
    with host.engine.connect() as connection:
        lengths = connection.scalars(sa.select(sa.func.length(imported.c.lines))).all()
    assert lengths == [24] * 6 + [16]
    assert import_text(host, tmp_path, log).known == 20


def test_line_ends_do_not_matter(host: Host, tmp_path: Path) -> None:
    """A log that was copied from Windows, or lost its last line end, is the same log."""
    log = line("/a") + line("/b")
    assert import_text(host, tmp_path, log).new == 2
    assert import_text(host, tmp_path, log.replace("\n", "\r\n")).new == 0
    assert import_text(host, tmp_path, log.rstrip("\n")).new == 0
    assert import_text(host, tmp_path, "\ufeff" + log).new == 0
    assert import_text(host, tmp_path, "\n\n" + log + "\n\n").read == 2


def test_same_line_of_two_sites(host: Host, tmp_path: Path) -> None:
    """Equal lines in the logs of two hosts are two requests; each is known under its own."""
    assert import_text(host, tmp_path, line(), host="a.example").new == 1
    assert import_text(host, tmp_path, line(), host="b.example").new == 1
    assert import_text(host, tmp_path, line(), host="a.example").known == 1
    named = "c.example:80 " + line()
    assert import_text(host, tmp_path, named).new == 1
    assert import_text(host, tmp_path, named, host="a.example").known == 1
    assert sorted(row["host"] for row in host.stored()) == ["a.example", "b.example", "c.example"]


def test_known_lines_stay_exact_outside_of_memory() -> None:
    """A log whose hours alternate is counted exactly when only some hours fit into memory."""
    stored = {hour: [hash_line(b"a") * 2 + hash_line(bytes([hour]))] for hour in range(20)}
    loaded: list[int] = []

    def load(hour: int) -> list[bytes]:
        loaded.append(hour)
        return stored[hour]

    known = KnownLines(load, most=5)
    found = [known.use(hour, hash_line(b"a")) for _ in range(3) for hour in range(20)]
    assert found == [True] * 40 + [False] * 20
    assert [known.use(hour, hash_line(bytes([hour]))) for hour in range(20)] == [True] * 20
    assert [known.use(hour, hash_line(bytes([hour]))) for hour in range(20)] == [False] * 20
    assert sorted(loaded) == list(range(20))
    known.close()


# ---- interrupted, crashed, two at once ---------------------------------------------------------


def test_interrupted_import_goes_on(
    make_host: MakeHost, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C whole transactions are stored, and the next run adds the rest."""
    host = make_host(url=database_url)
    tally = Tally()
    monkeypatch.setattr("flask_statistics.importing.writing.BATCH", 1000)

    def interrupt() -> None:
        if tally.read > 5000:
            raise KeyboardInterrupt

    with (
        host.app.app_context(),
        importing(get_state()) as importer_,
        pytest.raises(KeyboardInterrupt),
    ):
        read_log(importer_, SAMPLE, tally, interrupt)
    assert 0 < tally.new < 10_000
    assert len(host.stored()) == tally.new
    (rest,) = import_logs(host, SAMPLE)
    assert (rest.new, rest.known) == (10_000 - tally.new, tally.new)
    assert Counter(row["status_code"] for row in host.stored()) == STATUSES


def test_failed_transaction_leaves_nothing(
    make_host: MakeHost, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and the hashes of their lines are stored together or not at all."""
    host = make_host(url=database_url)

    def fail(*_: object) -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("flask_statistics.importing.known_lines.ImportedLines.append", fail)
        with pytest.raises(ZeroDivisionError):
            import_text(host, tmp_path, line() * 3)
    assert host.stored() == []
    assert import_text(host, tmp_path, line() * 3).new == 3


def test_two_imports_at_once(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """A second import is refused, at once or when the first has stored lines meanwhile."""
    host = make_host(url=database_url)
    path = tmp_path / "access.log"
    path.write_text(line() * 3)
    tally = Tally()
    with host.app.app_context(), importing(get_state()) as first:
        try:
            with importing(get_state()) as second:
                read_log(first, path, tally)
                read_log(second, path, Tally())
                read_log(second, _longer(path), Tally())
        except ImportRefusedError as error:
            refused = str(error).lower()
        else:
            refused = "no"
        read_log(first, path, tally)
    assert "another import" in refused
    assert len(host.stored()) == 3
    assert import_logs(host, path)[0].known == 3


def _longer(path: Path) -> Path:
    longer = path.with_suffix(".longer")
    longer.write_text(path.read_text() + line("/more"))
    return longer


def test_lock_is_given_back(make_host: MakeHost, database_url: str) -> None:
    """An import that failed does not lock out the next one."""
    host = make_host(url=database_url)
    for _ in range(3):
        with host.app.app_context(), pytest.raises(ZeroDivisionError), importing(get_state()):
            raise ZeroDivisionError


def test_locked_database_is_waited_for(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that finds the database locked is tried again."""
    write = BatchWriter._write
    locked = [sa.exc.OperationalError("INSERT", {}, Exception("database is locked"))] * 2

    def write_late(self: BatchWriter, *arguments: Any) -> int:
        if locked:
            raise locked.pop()
        return write(self, *arguments)

    monkeypatch.setattr("flask_statistics.importing.writing.LONG_GAP", 0.0)
    monkeypatch.setattr(BatchWriter, "_write", write_late)
    assert import_text(host, tmp_path, line()).new == 1
    assert locked == []


# ---- what is refused ---------------------------------------------------------------------------


def test_recorded_time_is_refused(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """Lines of a time that was recorded live are refused unless it is asked for."""
    host = make_host(
        url=database_url, before=lambda app: app.add_url_rule("/", view_func=lambda: "live")
    )
    host.open("/")
    (row,) = host.rows()
    live = row["date"].replace(tzinfo=timezone.utc)
    log = "".join(
        line(path, moment.strftime("%d/%b/%Y:%H:%M:%S +0000"))
        for path, moment in (
            ("/before", live - timedelta(hours=1)),
            ("/during", live),
            ("/after", live + timedelta(hours=1)),
        )
    )
    tally = import_text(host, tmp_path, log)
    assert counts(tally) == (3, 2, 0, 0, 1)
    second = live.replace(microsecond=0, tzinfo=None)
    assert tally.refused_span == (second, second)
    assert sorted(paths(host)) == ["/", "/after", "/before"]
    assert counts(import_text(host, tmp_path, log, overlap=True)) == (3, 1, 2, 0, 0)
    assert counts(import_text(host, tmp_path, log)) == (3, 0, 3, 0, 0)


def test_live_spans() -> None:
    """Spans hold their bounds, and the second in which they begin; those that meet are one."""
    spans = LiveSpans([(100.5, 110.0), (105.0, 120.2), (200.0, 201.0)])
    held = [second for second in range(90, 210) if spans.holds(second)]
    assert held == [*range(100, 121), 200, 201]
    assert not LiveSpans().holds(100)


def test_no_log(host: Host, tmp_path: Path) -> None:
    """A file without a single line of a log is refused; the first lines are kept to be shown."""
    path = tmp_path / "junk"
    path.write_bytes(bytes(range(256)) * 300)
    tally = Tally()
    with (
        host.app.app_context(),
        importing(get_state()) as importer_,
        pytest.raises(ImportRefusedError, match="none of its lines is a line of an access log"),
    ):
        read_log(importer_, path, tally)
    assert tally.bad == tally.read == 301
    assert len(tally.shown) == importer.SHOWN


def test_bad_lines_between_good_ones(host: Host, tmp_path: Path) -> None:
    """No good line is lost beside bad ones, of which number and beginning are kept."""
    junk = ["junk\n", "\x00\x1b[31m\n", "a" * 2**20 + "\n"]
    text = line("/a") + junk[0] + line("/b") + junk[1] + junk[2] + line("/c")
    tally = import_text(host, tmp_path, text)
    assert counts(tally) == (6, 3, 0, 3, 0)
    assert [(number, shown[:6]) for number, shown in tally.shown] == [
        (2, b"junk"), (4, b"\x00\x1b[31m"), (5, b"aaaaaa"),
    ]  # fmt: skip
    assert len(tally.shown[2][1]) == 200
    assert paths(host) == ["/a", "/b", "/c"]


@pytest.mark.parametrize("end", ["/x HT", '/x HTTP/1.1" 200', '/x HTTP/1.1" 200 5', None])
def test_unfinished_last_line(host: Host, tmp_path: Path, end: str | None) -> None:
    """The beginning of a line is not imported; once it is whole it is, once."""
    last = line("/x")
    torn = last[: last.index(end) + len(end)] if end else last[:-4]
    assert import_text(host, tmp_path, line("/a") + torn).new == 1
    assert import_text(host, tmp_path, line("/a") + last).new == 1
    assert paths(host) == ["/a", "/x"]


def test_missing_tables(host: Host) -> None:
    """A missing table of ours or of the host is named with the remedy."""
    for name in ("statistics_imported", "request"):
        with host.engine.begin() as connection:
            connection.execute(sa.text(f"DROP TABLE {name}"))
        with pytest.raises(MissingTableError) as error:
            import_logs(host, SAMPLE)
        assert str(error.value) == (
            f"The table {name} is missing: "
            "run `flask db migrate` and `flask db upgrade`, "
            "or db.create_all() after Statistics(…), to make it."
        )


# ---- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_compressions(host: Host, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """Compression is told by content, whatever the name is; the lines are the same."""
    tally = import_text(host, tmp_path, compress(b"".join(SAMPLE_LINES[:300])))
    assert counts(tally) == (300, 300, 0, 0, 0)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_torn_archive(host: Host, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """Of half an archive the good lines are stored, and then it is said."""
    whole = compress(b"".join(SAMPLE_LINES))
    path = tmp_path / "torn"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    tally = Tally()
    with (
        host.app.app_context(),
        importing(get_state()) as importer_,
        pytest.raises(ImportRefusedError, match="the file is damaged, or ends too early"),
    ):
        read_log(importer_, path, tally)
    stored = paths(host)
    assert tally.new == len(stored) > 0
    assert stored == _paths_of(SAMPLE_LINES[: len(stored)])
    path.write_bytes(whole)
    assert import_logs(host, path)[0].new == 10_000 - len(stored)


def test_archive_with_junk_behind(host: Host, tmp_path: Path) -> None:
    """Junk behind an archive is damage; its lines are stored."""
    path = tmp_path / "junk"
    path.write_bytes(gzip.compress(line().encode()) + b"junk")
    with pytest.raises(ImportRefusedError, match="damaged"):
        import_logs(host, path)
    assert len(host.stored()) == 1


def test_empty_log(host: Host, tmp_path: Path) -> None:
    """An empty log is a log without lines."""
    assert counts(import_text(host, tmp_path, "")) == (0, 0, 0, 0, 0)
    assert counts(import_text(host, tmp_path, gzip.compress(b""))) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    """What cannot be opened is refused with the reason."""
    make(tmp_path / "log")
    with pytest.raises(ImportRefusedError) as error:
        open_log(str(tmp_path / "log"))
    assert str(error.value) == message


def test_name_that_no_file_can_have() -> None:
    """A NUL in a name is no traceback."""
    with pytest.raises(ImportRefusedError, match="cannot be read: embedded null byte"):
        open_log("a\0b")


def test_lines_across_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are whole however the file is read, in memory of a line's length."""
    monkeypatch.setattr("flask_statistics.importing.log_file._CHUNK", 7)
    monkeypatch.setattr("flask_statistics.importing.log_file.LONGEST_LINE", 20)
    path = tmp_path / "log"
    path.write_bytes(b"one\r\ntwo" + b"x" * 100 + b"\n\nthree")
    with open_log(str(path)) as log:
        blocks = list(log.blocks())
    lines = [line_ for block in blocks for line_ in block.lines]
    assert [len(line_) for line_ in lines] == [3, lines[1] and len(lines[1]), 0, 5]
    assert 20 < len(lines[1]) <= 28
    assert [block.is_rest for block in blocks][-1] is True


def test_stream_without_a_size() -> None:
    """Standard input has no size, and a position all the same."""
    import io

    log = LogFile(io.BytesIO(line().encode() * 2))
    assert [len(block.lines) for block in log.blocks()] == [2]
    assert log.position == len(line()) * 2


# ---- rows --------------------------------------------------------------------------------------


def test_hostile_lines(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """Whatever a client sent is stored inertly on every database."""
    host = make_host(url=database_url)
    agent = r"\x00\xff\xed\xa0\x80\xf0\x9f\x98\x80{{ 7*7 }}<script>\xe2\x80\xae"
    log = (
        line(r"/%00%ff%f0%9f%98%80?token=geheim&q=%00").replace("Mozilla/5.0", agent)
        + line("/" + "a" * 30_000)
        + line().replace("GET / HTTP/1.1", r"\x16\x03\x01\x00\xee")
        + line().replace("GET / HTTP/1.1", "-")
    )
    assert counts(import_text(host, tmp_path, log)) == (4, 4, 0, 0, 0)
    first, second, third, fourth = host.stored()
    assert "geheim" not in str(first)
    assert len(second["path"]) == 1024
    assert (third["method"], third["path"]) == (fourth["method"], fourth["path"]) == (None, None)
    assert import_text(host, tmp_path, log).known == 4


def test_visitors_of_two_logs(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """A second log of the same day joins the visitors and visits of the first."""
    host = make_host(url=database_url)
    import_text(host, tmp_path, line("/a"))
    import_text(host, tmp_path, line("/b", "17/May/2015:10:20:00 +0000"))
    import_text(host, tmp_path, line("/c", "17/May/2015:12:20:00 +0000"))
    import_text(host, tmp_path, line("/d", "18/May/2015:10:20:00 +0000"))
    first, second, third, fourth = host.stored()
    assert first["visitor"] == second["visitor"] == third["visitor"] != fourth["visitor"]
    assert first["visit"] == second["visit"] != third["visit"]


def test_salts_are_kept_for_48_hours(host: Host, tmp_path: Path) -> None:
    """The salt of an imported day expires 48 hours after the last import that used it."""
    import_text(host, tmp_path, line())
    salt = get_state(host.app).tables.salt
    with host.engine.connect() as connection:
        row = connection.execute(sa.select(salt)).one()
    assert (row.day, row.live) == (date(2015, 5, 17), False)
    left = row.expires - datetime.now(timezone.utc).replace(tzinfo=None)
    assert timedelta(hours=47, minutes=55) < left <= timedelta(hours=48)


def test_classic_model(make_host: MakeHost, database_url: str, tmp_path: Path) -> None:
    """A model with few columns is filled as far as it goes."""

    def classic(db: Any) -> Any:
        class Classic(db.Model):  # type: ignore[misc]
            index = db.Column(db.Integer, primary_key=True, autoincrement=True)
            date = db.Column(db.DateTime)
            path = db.Column(db.String(100))
            status_code = db.Column(db.Integer)

        return Classic

    host = make_host(model=classic, url=database_url)
    assert import_text(host, tmp_path, line("/x")).new == 1
    row = host.row()
    assert (row["path"], row["status_code"]) == ("/x", 200)


def test_fields_of_the_host(make_host: MakeHost, tmp_path: Path) -> None:
    """A column that a function of the host fills is NULL in imported rows."""

    def model(db: Any) -> Any:
        from flask_statistics import RequestMixin

        return type("Request", (RequestMixin, db.Model), {"tenant": db.Column(db.String(20))})

    host = make_host(model=model)
    host.statistics.field("tenant")(lambda: "never called")
    assert import_text(host, tmp_path, line()).new == 1
    assert host.row()["tenant"] is None


def test_dry_run(host: Host, tmp_path: Path) -> None:
    """A dry run counts what a run would store, of several logs too, and stores nothing."""
    path = tmp_path / "part"
    path.write_bytes(b"".join(SAMPLE_LINES[:500]))
    first, second = import_logs(host, path, SAMPLE, dry_run=True)
    assert (first.new, second.new, second.known) == (500, 9500, 500)
    assert host.stored() == []
    assert import_logs(host, SAMPLE)[0].new == 10_000


def test_shared_memory(make_host: MakeHost, tmp_path: Path) -> None:
    """With SQLite in memory everything happens on the one connection."""
    host = make_host(url="sqlite://")
    assert import_text(host, tmp_path, b"".join(SAMPLE_LINES[:1500])).new == 1500
    assert import_text(host, tmp_path, b"".join(SAMPLE_LINES[:1600])).new == 100


def test_zone_of_times_without_offset(host: Host, tmp_path: Path) -> None:
    """The zone that is given is the one of times without an offset."""
    log = line(time="17/May/2015:10:05:03")
    import_text(host, tmp_path, log, zone=ZoneInfo("Europe/Berlin"))
    assert host.row()["date"] == datetime(2015, 5, 17, 8, 5, 3)


def test_lines_that_the_database_refuses(
    make_host: MakeHost, database_url: str, tmp_path: Path
) -> None:
    """A refused line is bad and shown; all others are stored, and known the next time."""

    def model(db: Any) -> Any:
        from flask_statistics import RequestMixin

        check = sa.CheckConstraint("path NOT LIKE '/bad%'")
        return type("Request", (RequestMixin, db.Model), {"__table_args__": (check,)})

    host = make_host(model=model, url=database_url)
    numbers = range(40)
    log = "".join(line(f"/bad{n}" if n in {7, 30} else f"/{n}") for n in numbers) + "junk\n"
    tally = import_text(host, tmp_path, log)
    assert counts(tally) == (41, 38, 0, 3, 0)
    assert [number for number, _ in tally.shown] == [8, 31, 41]
    assert b"/bad7" in tally.shown[0][1]
    assert sorted(paths(host)) == sorted(f"/{n}" for n in numbers if n not in {7, 30})
    again = import_text(host, tmp_path, log)
    assert counts(again) == (41, 0, 38, 3, 0)
