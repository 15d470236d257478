"""What may be the folder of an archive, and what is said of one that may not or is damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from flask_statistics.archive import folder as folders
from flask_statistics.archive.building import build, drop, rebuild
from flask_statistics.archive.folder import Archive
from flask_statistics.archive.manifest import from_bytes
from flask_statistics.archive.opening import archive_of
from flask_statistics.archive.verifying import verify
from flask_statistics.errors import ArchiveError
from tests.archived import (
    NOW,
    archived_host,
    in_table,
    manifest_of,
    prune,
    request,
    seen,
    state_of,
    store,
)

MakeHost = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def host(make_host: MakeHost, sqlite_url: str, folder: Path) -> Any:
    """A host with an archive of three days."""
    host = archived_host(make_host, sqlite_url, folder)
    store(host, request(5), request(6), request(7))
    return host


def refused(host: Any, operation: Callable[..., Any] = build) -> str:
    with pytest.raises(ArchiveError) as caught:
        operation(state_of(host))
    return str(caught.value)


def test_a_folder_of_others(host: Any, folder: Path) -> None:
    """A folder that holds other things is left alone."""
    folder.mkdir()
    (folder / "thesis.odt").touch()
    assert refused(host) == (
        f"{folder} holds other things (thesis.odt): set STATISTICS_ARCHIVE to an empty folder, "
        "or to one that does not exist yet."
    )
    assert [path.name for path in folder.iterdir()] == ["thesis.odt"]


def test_a_file(host: Any, folder: Path) -> None:
    """A file is no folder."""
    folder.touch()
    assert refused(host) == f"{folder} is a file: set STATISTICS_ARCHIVE to a folder."


def test_a_link_to_elsewhere(host: Any, folder: Path, tmp_path: Path) -> None:
    """A symbolic link is refused: it might lead anywhere."""
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert refused(host) == (
        f"{folder} is a symbolic link: set STATISTICS_ARCHIVE to the folder itself."
    )


def test_a_folder_that_cannot_be_made(make_host: MakeHost, sqlite_url: str, tmp_path: Path) -> None:
    """Where the folder cannot be made, the message names it and the reason."""
    (tmp_path / "file").touch()
    host = archived_host(make_host, sqlite_url, tmp_path / "file" / "archive")
    assert refused(host).startswith(
        f"The archive cannot be written to {tmp_path / 'file' / 'archive'}: Not a directory."
    ) or "cannot be read: Not a directory" in refused(host)


def test_a_full_disk(host: Any, folder: Path) -> None:
    """What could not be written is read from the table, and nothing of it is left behind."""
    build(state_of(host), now=NOW)
    store(host, request(8))
    before = (folder / "manifest.json").read_bytes()

    def full(name: str) -> None:
        if name == "written .parquet":
            raise OSError(28, "No space left on device")

    with pytest.raises(ArchiveError, match=r"No space left on device\. It is as it was before"):
        build(state_of(host), now=NOW, step=full)
    assert (folder / "manifest.json").read_bytes() == before
    assert not archive_of(state_of(host)).unnamed(manifest_of(host))
    assert seen(host) == in_table(host)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"format": 1', '"format": 99'), "is of a newer format (99;"),
        (lambda text: text.replace('"format": 1', '"format": 0'), "is of an older or unknown"),
        (lambda text: text[: len(text) // 2], "The manifest of the archive is damaged"),
        (lambda text: text.replace("request", "requesu", 1), "manifest of the archive is damaged"),
        (lambda text: "", "The manifest of the archive is damaged"),
    ],
)
def test_a_manifest_that_cannot_be_read(
    host: Any, folder: Path, change: Callable[[str], str], message: str
) -> None:
    """A newer or older format, a truncated or changed file: a clear message; rebuild mends it."""
    build(state_of(host), now=NOW)
    path = folder / "manifest.json"
    path.write_text(change(path.read_text()))
    assert message in refused(host)
    rebuild(state_of(host), now=NOW)
    assert seen(host) == in_table(host)
    assert verify(state_of(host)) == []


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", "a'b.parquet", "", 5])
def test_a_manifest_that_leads_out_of_the_folder(host: Any, folder: Path, name: Any) -> None:
    """A file is one of the folder itself, whatever the manifest says and its checksum tells."""
    build(state_of(host), now=NOW)
    document = json.loads((folder / "manifest.json").read_text())
    next(s for s in document["archive"]["segments"] if s["requests"])["requests"]["name"] = name
    body = json.dumps(document["archive"], sort_keys=True, ensure_ascii=False)
    document["checksum"] = sha256(body.encode()).hexdigest()
    with pytest.raises(ArchiveError, match="damaged"):
        from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, '{"format": 1, "archive": 5}', "null"])
def test_a_manifest_that_is_none(content: str) -> None:
    """Whatever JSON there is, the error is the one that says what to do."""
    with pytest.raises(ArchiveError, match="damaged"):
        from_bytes(content.encode())


def test_a_manifest_that_cannot_be_read_while_it_alone_has_requests(
    host: Any, folder: Path
) -> None:
    """Nothing is thrown away unless it is asked for by name."""
    build(state_of(host), now=NOW)
    prune(host, datetime(2026, 1, 6))
    (folder / "manifest.json").write_text("{}")
    assert "Restore the folder from your backup" in refused(host, rebuild)
    rebuild(state_of(host), now=NOW, begin_again=True)
    assert seen(host) == in_table(host)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "deleted"])
def test_a_damaged_segment(host: Any, folder: Path, damage: str) -> None:
    """Verify names the segment; rebuild mends it."""
    built = build(state_of(host), now=NOW)
    name = next(segment.requests.name for segment in built.manifest.segments if segment.requests)
    path = folder / name
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[:200])
    (problem,) = verify(state_of(host), quick=True)
    assert problem.startswith(f"Segment {name}: {path} ")
    rebuild(state_of(host), now=NOW)
    assert verify(state_of(host)) == []
    assert seen(host) == in_table(host)


def test_two_apps_on_one_folder(make_host: MakeHost, host: Any, folder: Path) -> None:
    """The second app is refused, whatever it asks for; the archive stays the first one's."""
    build(state_of(host), now=NOW)
    other = archived_host(make_host, None, folder)  # type: ignore[arg-type]
    for operation in (build, rebuild, drop, verify):
        assert "is the archive of another app or database" in refused(other, operation)
    assert verify(state_of(host)) == []


def test_two_builders_at_once(host: Any, folder: Path) -> None:
    """The second one is told so, and changes nothing."""
    archive = Archive(folder)
    with archive.locked():
        code = (
            "import sys; from flask_statistics.archive.folder import Archive\n"
            "from flask_statistics.errors import ArchiveError\n"
            "try:\n with Archive(sys.argv[1]).locked(): pass\n"
            "except ArchiveError as error: print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
        )
    assert ran.stdout.startswith("Another process changes the archive")


def test_dropping(host: Any, folder: Path) -> None:
    """The folder is gone; the table answers; a new archive can be built."""
    build(state_of(host), now=NOW)
    drop(state_of(host))
    assert not folder.exists()
    assert seen(host) == in_table(host)
    build(state_of(host), now=NOW)
    assert seen(host) == in_table(host)


def test_dropping_what_is_nowhere_else(host: Any, folder: Path) -> None:
    """An archive that alone has requests is dropped only where that is asked for."""
    build(state_of(host), now=NOW)
    prune(host, datetime(2026, 1, 6))
    with pytest.raises(ArchiveError, match="are only in the archive"):
        drop(state_of(host))
    drop(state_of(host), lose=True)
    assert seen(host) == in_table(host)


def test_an_archive_that_vanished_though_it_alone_has_requests(host: Any, folder: Path) -> None:
    """A folder that is not mounted is no reason to begin anew."""
    build(state_of(host), now=NOW)
    prune(host, datetime(2026, 1, 6))
    folder.rename(folder.with_name("unmounted"))
    assert "holds no archive any more" in refused(host)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.with_name("unmounted").rename(folder)
    build(state_of(host), now=NOW)
    assert len(seen(host)) == 3


def test_old_files_stay_for_those_who_read(
    host: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a manifest does not name any more goes after a grace, not before."""
    first = build(state_of(host), now=NOW).manifest
    store(host, request(5, 11))
    second = build(state_of(host), now=NOW).manifest
    gone = set(first.files) - set(second.files)
    assert gone
    assert all((folder / name).exists() for name in gone)
    monkeypatch.setattr(folders, "GRACE", timedelta(0))
    build(state_of(host), now=NOW)
    assert not any((folder / name).exists() for name in gone)


def test_the_manifest_is_json(host: Any, folder: Path) -> None:
    """Whoever has only the folder can see what is in it."""
    build(state_of(host), now=NOW)
    document = json.loads((folder / "manifest.json").read_text())
    assert document["format"] == 1
    assert sum((s["requests"] or {"rows": 0})["rows"] for s in document["archive"]["segments"]) == 3


def test_what_a_killed_reader_left_is_no_other_thing(tmp_path: Path) -> None:
    """A folder in which a reader spilled, and was killed, is still an archive's, and is removed."""
    (tmp_path / "archive" / "spilled-4194305").mkdir(parents=True)
    archive = Archive(tmp_path / "archive")
    archive.check()
    with archive.locked():
        archive.remove()
    assert not (tmp_path / "archive").exists()
