"""The author's own text, in Markdown: as safe HTML, and as a plain tree for the other layout.

The dialect is CommonMark with tables and strikethrough. HTML in it is text, never markup; a picture would be fetched
from somewhere, so that its brackets stay text as well; and markdown-it lets no link run a script. Headings begin below
those of the report. Source: the CommonMark specification 0.31.2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from accelmnist.core.errors import DataError
from accelmnist.show.document import Notes

_DEEPEST = 6
_BELOW = 2  # the report's own headings: its title and its chapters
_LARGEST = 1_000_000  # bytes


def read_notes(file: Path) -> Notes:
    """The notes in a Markdown file; raises DataError if it can't be read, is not UTF-8, or is too large."""
    try:
        content = file.read_bytes()
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise DataError(f"--notes {file}: cannot be read ({cause})", remedy="Give a Markdown file") from error
    if len(content) > _LARGEST:
        raise DataError(f"--notes {file}: is larger than 1 MB", remedy="Give the text alone")
    try:
        return parse_notes(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"--notes {file}: is not UTF-8 (byte {error.start})", remedy="Save it as UTF-8 and try again"
        ) from error


def parse_notes(text: str) -> Notes:
    """Markdown as the block of a report."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        _lower_heading(token)
    html = parser.renderer.render(tokens, parser.options, {})
    return Notes(html=html, tree=tuple(_node(child) for child in SyntaxTreeNode(tokens).children))


def _lower_heading(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1:]) + _BELOW, _DEEPEST)}"


def _node(node: SyntaxTreeNode) -> dict[str, Any]:
    """An element by its `type`, with its `text` or its `children`."""
    element: dict[str, Any] = {"type": node.type, "text": "" if node.children else node.content}
    if node.type == "link":
        element["href"] = str(node.attrs.get("href", ""))
    if node.type == "heading":
        element["level"] = int(node.tag[1:])
    element["children"] = [_node(child) for child in node.children]
    return element
