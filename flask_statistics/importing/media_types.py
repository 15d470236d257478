"""The media type of a path, for access logs, which do not hold the one that was sent.

The table does not depend on the machine: the system's own lists are not read, since the same
log must give the same rows everywhere.
"""

from __future__ import annotations

import re
from functools import cache
from mimetypes import MimeTypes

HTML = "text/html"

#: Extensions that the standard library lacks or names differently from release to release.
_TYPES = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "apk": "application/vnd.android.package-archive",
    "asp": HTML,
    "aspx": HTML,
    "atom": "application/atom+xml",
    "avif": "image/avif",
    "bz2": "application/x-bzip2",
    "cfm": HTML,
    "cgi": HTML,
    "conf": "text/plain",
    "deb": "application/vnd.debian.binary-package",
    "dmg": "application/octet-stream",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eot": "application/vnd.ms-fontobject",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gem": "application/octet-stream",
    "go": "text/plain",
    "gz": "application/gzip",
    "ico": "image/x-icon",
    "ini": "text/plain",
    "iso": "application/octet-stream",
    "jar": "application/java-archive",
    "java": "text/plain",
    "js": "text/javascript",
    "jsp": HTML,
    "log": "text/plain",
    "lua": "text/plain",
    "m4a": "audio/mp4",
    "map": "application/json",
    "markdown": "text/markdown",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "msi": "application/octet-stream",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "otf": "font/otf",
    "patch": "text/plain",
    "pcap": "application/vnd.tcpdump.pcap",
    "php": HTML,
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "py": "text/x-python",
    "rar": "application/vnd.rar",
    "rb": "text/plain",
    "rpm": "application/x-rpm",
    "rss": "application/rss+xml",
    "rst": "text/plain",
    "shtml": HTML,
    "spec": "text/plain",
    "sql": "text/plain",
    "tgz": "application/gzip",
    "toml": "text/plain",
    "ttf": "font/ttf",
    "wasm": "application/wasm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xhtml": "application/xhtml+xml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xsl": "application/xslt+xml",
    "xz": "application/x-xz",
    "yaml": "text/plain",
    "yml": "text/plain",
    "zip": "application/zip",
}
_EXTENSION = re.compile(r"[^/]\.([A-Za-z0-9]{1,12})\Z")


def guess_media_type(path: str) -> str:
    """Return the media type that the extension of ``path`` stands for.

    ``text/html`` where there is none, or none that is known: ``/v1.2`` and ``/users/j.smith``
    are pages far more often than files.
    """
    extension = _EXTENSION.search(path)
    return _table().get(extension[1].lower(), HTML) if extension else HTML


@cache
def _table() -> dict[str, str]:
    # A MimeTypes of its own holds the standard library's list alone.
    known = MimeTypes().types_map[True]
    return {extension[1:]: name for extension, name in known.items()} | _TYPES
