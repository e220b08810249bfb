"""Source code as HTML, with its comments, strings and keywords marked by Pygments."""

from __future__ import annotations

from pathlib import PurePosixPath

from orchestrator.report.sources import SourceFile
from orchestrator.text import plain


def of(source: SourceFile) -> str:
    """The marked code; Pygments escapes it."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import JuliaLexer, PythonLexer, TextLexer

    lexers = {".py": PythonLexer, ".jl": JuliaLexer}
    lexer = lexers.get(PurePosixPath(source.path).suffix, TextLexer)
    return highlight(plain(source.text), lexer(), HtmlFormatter(nowrap=True))
