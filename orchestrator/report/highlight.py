"""Source code as HTML, with its comments, strings and keywords marked by Pygments.

The code of all frameworks takes it about a second. A report has other things to do meanwhile.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from orchestrator.text import plain

if TYPE_CHECKING:  # a process that only marks code need not import more
    from orchestrator.report.sources import SourceFile


def of(source: SourceFile) -> str:
    """The marked code; Pygments escapes it."""
    return _marked(source.path, source.text)


@contextlib.contextmanager
def ahead(sources: Iterable[SourceFile]) -> Iterator[Callable[[SourceFile], str]]:
    """Begin with `sources` in a process of its own. Yields what gives the marked code of any, as `of` does."""
    # Not forked: that copies the results that a report has read, and whatever locks threads hold.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        begun: dict[str, Future[str]] = {}
        for source in sources:
            if source.id not in begun:
                begun[source.id] = pool.submit(_marked, source.path, source.text)
        try:
            yield lambda source: begun[source.id].result() if source.id in begun else of(source)
        finally:
            pool.shutdown(cancel_futures=True)


def _marked(path: str, text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import JuliaLexer, PythonLexer, TextLexer

    lexers = {".py": PythonLexer, ".jl": JuliaLexer}
    lexer = lexers.get(PurePosixPath(path).suffix, TextLexer)
    return highlight(plain(text), lexer(), HtmlFormatter(nowrap=True))
