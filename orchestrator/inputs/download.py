"""Resumes interrupted downloads, and verifies each file before it is used."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from orchestrator import activity
from orchestrator.activity import Activity
from orchestrator.errors import DataError

CONNECT_TIMEOUT = 10  # seconds
SILENCE_TIMEOUT = 60  # seconds without a byte

_CHUNK = 1 << 16  # bytes: little is lost when the connection breaks
LARGEST = 1 << 30  # bytes: six times the largest file of any dataset; a bad server cannot fill the disk


class DownloadError(DataError):
    """A file could not be fetched, or was not the one it should be."""


def fetch(url: str, path: Path, *, sha256: str, largest: int = LARGEST) -> None:
    """Make `path` the file at `url`, whose SHA-256 is known. A file already there is only verified.

    One try. What arrived before a failure stays beside `path` as .part and is continued by the next call.
    Raises DownloadError saying why, also when the file is larger than `largest` bytes.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the download is reported below
    path.parent.mkdir(parents=True, exist_ok=True)
    resuming = ResumingDownloader(path.with_name(f"{path.name}.part"), largest)
    try:
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=resuming)
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DownloadError(f"{url} is another file than it should be: its SHA-256 is not {sha256}") from error


class ResumingDownloader:
    """A downloader for pooch that keeps what it received in a file `part` until it has everything."""

    def __init__(self, part: Path, largest: int) -> None:
        self._part = part
        self._largest = largest

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Fetch `url` into `output_file`. Raises DownloadError."""
        try:
            while not self._receive(url):
                self._part.unlink()
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise DownloadError(f"{url} could not be downloaded: {_reason(error, url)}") from error
        # A wrong file is not kept: pooch deletes what fails the checksum, and the next call starts again.
        self._part.replace(output_file)

    def _receive(self, url: str) -> bool:
        """Complete `part`; False when the server reports that `part` is no beginning of the file."""
        have = self._part.stat().st_size if self._part.exists() else 0
        # "identity": a server that would compress the archive once more must not, its bytes are what was hashed.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        timeout = (CONNECT_TIMEOUT, SILENCE_TIMEOUT)
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if have and response.status_code == requests.codes.requested_range_not_satisfiable:
                return False
            response.raise_for_status()
            if response.status_code == requests.codes.partial_content:
                if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                    return False
            else:
                have = 0  # the server ignores ranges and sends everything
            length = response.headers.get("Content-Length", "")
            total = have + int(length) if length.isdecimal() else None
            what = f"downloading {Path(urlsplit(response.url).path).name}"
            start = Activity(what=what, done=have, total=total, unit=activity.BYTES)
            with (
                self._part.open("ab" if have else "wb") as stream,
                activity.reported(start) as now,
            ):
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    have += len(chunk)
                    if have > self._largest:
                        raise DownloadError(f"{url} is larger than {self._largest:,} bytes, which no dataset here is")
                    stream.write(chunk)
                    now(done=have)
        if total is not None and have < total:
            raise DownloadError(f"{url} broke off after {have:,} of {total:,} bytes")
        return True


def _reason(error: Exception, url: str) -> str:
    """The cause of an error of requests or urllib3, in a few words."""
    host = urlsplit(url).netloc
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{host} answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {host} was refused (if your network has its own CA, set REQUESTS_CA_BUNDLE)"
    if isinstance(error, requests.ConnectTimeout):
        return f"{host} did not answer within {CONNECT_TIMEOUT} s"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy did not let us reach {host}"
    if isinstance(error, requests.ConnectionError):
        return f"{host} cannot be reached"
    return f"the connection to {host} broke ({type(error).__name__})"
