"""What the commands and the keeper do with the archive of an app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import sleep

from ..changes import utc_now
from ..errors import ArchiveError
from .absorbing import finish_absorbing
from .compacting import compact, oldest_kept, retire
from .extending import (
    PrunedMeanwhileError,
    add_to_pruned,
    archived,
    extend,
    held_of,
    pruned_before,
    refresh_changed,
)
from .folder import GRACE, Step
from .manifest import Manifest, Segment
from .opening import Change, Host, archive_of, begin_anew, changing
from .schema import kinds
from .segments import write_segment


@dataclass(frozen=True)
class Built:
    """What became of the archive.

    :ivar manifest: what it holds now.
    :ivar messages: what somebody should do about it.
    """

    manifest: Manifest
    messages: tuple[str, ...] = ()


def build(
    host: Host,
    *,
    wait: bool = False,
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
    go_on: Callable[[], bool] | None = None,
    step: Step | None = None,
) -> Built:
    """Bring the archive up to date: everything but the last ten minutes is in it then.

    :param wait: whether to wait for another process that changes it.
    :param now: UTC; another moment than now is for tests.
    :param progress: called with the number of rows of each segment that was written.
    :param go_on: called between two segments; where it returns false, the next build continues.
    :param step: called with the name of each step; what a test ends the process in.
    :raises ArchiveError: where the archive cannot be changed; it is as it was before.
    :raises MissingExtraError: where PyArrow is not installed.
    """
    archive = archive_of(host, step)
    with changing(host, archive, wait=wait) as change:
        _prepare(change, now, progress, go_on)
        finish_absorbing(change)
        refresh_changed(change)
        # Who asks between two segments is the keeper, in the host's process: it takes its time.
        extend(change, oldest_kept(change), ahead=go_on is None)
        compact(change)
        retire(change)
        archive.remove_unnamed(change.manifest)
    return Built(change.manifest, tuple(differing_columns(host, change.manifest)))


def _prepare(
    change: Change,
    now: datetime | None,
    progress: Callable[[int], None] | None,
    go_on: Callable[[], bool] | None,
) -> None:
    change.now = now or change.now
    change.progress = progress or change.progress
    change.go_on = go_on or change.go_on
    change.archive.remove_unnamed(change.manifest if change.manifest.segments else None)


def rebuild(
    host: Host,
    *,
    begin_again: bool = False,
    wait: bool = False,
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
    step: Step | None = None,
) -> Built:
    """Make the archive anew from the table; of pruned days it keeps what it has.

    :param begin_again: begin with nothing, also where the archive is the only place of requests
        and cannot be read; these are lost.
    :raises ArchiveError: where the archive cannot be changed; it is as it was before.
    """
    archive = archive_of(host, step)
    with changing(host, archive, wait=wait, anew="always" if begin_again else "damaged") as change:
        _prepare(change, now, progress, None)
        finish_absorbing(change)
        _rebuild_pruned(change)
        _rebuild_others(change)
        extend(change, oldest_kept(change), ahead=True)
        compact(change)
        retire(change)
        archive.remove_unnamed(change.manifest)
    return Built(change.manifest, tuple(differing_columns(host, change.manifest)))


def _rebuild_pruned(change: Change) -> None:
    """Give the segments of pruned days the columns of today, and what came to these days."""
    pruned = pruned_before(change)
    for segment in change.manifest.segments:
        if segment.begin >= pruned:
            return
        held = held_of(change, segment)
        days = dict(segment.days)
        new = write_segment(change.archive, segment.begin, segment.end, days, held)
        change.commit([segment], [new])
        while add_to_pruned(change, new):
            (new,) = change.manifest.between(new.begin, new.end)


def _rebuild_others(change: Change) -> None:
    """Put all that the table holds in the place of the segments that are not of pruned days."""
    pruned = pruned_before(change)
    others = [segment for segment in change.manifest.segments if segment.begin >= pruned]
    if not others:
        return
    try:
        new = archived(change, others[0].begin, others[-1].end, ahead=True)
        change.commit(others, new)
    except PrunedMeanwhileError:
        raise ArchiveError("The table is being pruned: run this again afterwards.") from None


def drop(host: Host, *, lose: bool = False, step: Step | None = None) -> None:
    """Remove the archive.

    :param lose: also where requests were pruned from the table and are only there.
    :raises ArchiveError: where they are, or where the archive is not this app's.
    """
    archive = archive_of(host, step)
    with changing(host, archive, anew="always" if lose else "damaged") as change:
        pruned = pruned_before(change)
        if pruned > datetime.min and not lose:
            raise ArchiveError(
                f"Requests before {pruned:%Y-%m-%d %H:%M} UTC are only in the archive. Export or "
                "copy them first; then `flask statistics archive drop --lose` removes them."
            )
        begin_anew(host, forget_pruned=True)
        archive.remove()


def remove_old(host: Host) -> int:
    """Remove files that do not count any more, after their grace of seconds.

    For what must not be found on the disk any more. Returns how many were removed.
    """
    archive = archive_of(host)
    with changing(host, archive, wait=True) as change:
        if not archive.unnamed(change.manifest):
            return 0
        past = utc_now() - change.manifest.written
        sleep(max(0.0, (GRACE - past).total_seconds()))
        return archive.remove_unnamed(change.manifest)


def differing_columns(host: Host, manifest: Manifest) -> list[str]:
    """Return what is to be said of columns that the model has lost or gained since."""
    today = kinds(host.model)
    held: list[Segment] = [segment for segment in manifest.segments if segment.files]
    gained = sorted({n for s in held for n, kind in today.items() if not s.serves({n: kind})})
    lost = sorted({name for segment in held for name in segment.columns} - set(today))
    messages = []
    if gained:
        messages.append(
            f"The model has gained or changed {', '.join(gained)}: older requests are read from "
            "the table until `flask statistics archive rebuild` has run."
        )
    if lost:
        messages.append(
            f"The archive still holds {', '.join(lost)}, which the model has lost: "
            "`flask statistics archive rebuild` removes it."
        )
    return messages
