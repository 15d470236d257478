"""Access logs as files: plain or compressed, read in blocks of lines in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ..errors import ImportRefusedError
from .access_log import LONGEST_LINE

_CHUNK = 1 << 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Told by their first bytes, since rotated logs have all kinds of names.
_COMPRESSIONS: tuple[tuple[bytes, Callable[[BinaryIO], BinaryIO]], ...] = (
    (b"\x1f\x8b", lambda raw: cast(BinaryIO, gzip.GzipFile(fileobj=raw))),
    (b"BZh", lambda raw: cast(BinaryIO, bz2.BZ2File(raw))),
    (b"\xfd7zXZ\0", lambda raw: cast(BinaryIO, lzma.LZMAFile(raw))),  # noqa: SIM115
)
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)


class Block(NamedTuple):
    """Some lines without their ends; of a line longer than ``LONGEST_LINE`` the beginning.

    :ivar is_rest: whether it is what stands behind the last line end of the file.
    """

    lines: list[bytes]
    is_rest: bool


class LogFile:
    """An access log, closed at the end of a ``with`` block.

    :ivar size: bytes of the file, compressed if it is; None for a stream, which is left open.
    """

    def __init__(self, raw: BinaryIO, size: int | None = None) -> None:
        self.size = size
        self._raw = raw
        self._buffered = io.BufferedReader(cast(io.RawIOBase, raw), _CHUNK)
        self._read_bytes = 0

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self.size is None:
            self._buffered.detach()
        else:
            self._buffered.close()

    @property
    def position(self) -> int:
        """How many bytes of :attr:`size` were read."""
        return self._raw.tell() if self.size is not None else self._read_bytes

    def blocks(self) -> Iterator[Block]:
        """Yield all lines in order.

        :raises ImportRefusedError: where the file is damaged, after the last line before that.
        """
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[: LONGEST_LINE + 1]
            if lines:
                yield Block([line.rstrip(b"\r") for line in lines], is_rest=False)
        if rest:
            yield Block([rest.rstrip(b"\r")], is_rest=True)

    def _chunks(self) -> Iterator[bytes]:
        try:
            stream = _decompressed(self._buffered)
            chunk = stream.read1(_CHUNK).removeprefix(_BYTE_ORDER_MARK)
            while chunk:
                self._read_bytes += len(chunk)
                yield chunk
                chunk = stream.read1(_CHUNK)
        except _DAMAGE as error:
            reason = getattr(error, "strerror", None) or error
            raise ImportRefusedError(
                f"the file is damaged, or ends too early ({reason})"
            ) from error


def _decompressed(buffered: io.BufferedReader[Any]) -> io.BufferedReader[Any]:
    start = buffered.peek(6)
    for magic, decompress in _COMPRESSIONS:
        if start.startswith(magic):
            return cast("io.BufferedReader[Any]", decompress(cast(BinaryIO, buffered)))
    return buffered


def open_log(path: str) -> LogFile:
    """Return the access log at a path.

    :raises ImportRefusedError: where it cannot be opened.
    """
    try:
        raw = Path(path).open("rb", buffering=0)  # noqa: SIM115 - LogFile closes it
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImportRefusedError(f"cannot be read: {reason}") from error
    return LogFile(cast(BinaryIO, raw), os.fstat(raw.fileno()).st_size)
