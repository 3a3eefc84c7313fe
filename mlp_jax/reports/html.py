"""HTML by functions: text is escaped unless it is markup already, so a name cannot become a tag."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlp_jax.charts.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VOID = ("img", "meta", "br", "hr", "col")


class Markup(str):
    """Text that is HTML already; `tag` escapes everything else."""


def escaped(text: object) -> Markup:
    """Escape text as HTML; markup stays unchanged."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text), quote=True))


def joined(parts: Iterable[object], between: str = "") -> Markup:
    """Concatenate the parts."""
    return Markup(escaped(between).join(escaped(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """<name attributes>children</name>.

    An attribute that is None or False is omitted, True stands alone; class_ is class, and
    aria_label aria-label.
    """
    words = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        words.append(f" {word}" if value is True else f' {word}="{escaped(value)}"')
    start = f"<{name}{''.join(words)}>"
    return Markup(start if name in VOID else f"{start}{joined(children)}</{name}>")


def table(
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    words: int = 1,
) -> Markup:
    """Return a table with a head. The first `words` columns are text, the first a row's head."""

    def cells(row: Sequence[object], head: bool) -> list[Markup]:
        return [
            tag(
                "th" if head or not place else "td",
                cell,
                scope="col" if head else None if place else "row",
                class_=None if place < words else "figure",
            )
            for place, cell in enumerate(row)
        ]

    return tag(
        "table",
        tag("thead", tag("tr", *cells(heads, True))),
        tag("tbody", *(tag("tr", *cells(row, False)) for row in rows)),
    )


def scrolling(content: Markup, label: str) -> Markup:
    """Return a region that scrolls sideways on a narrow page, with the keyboard too."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def figure(content: Markup, caption: object, **attributes: object) -> Markup:
    """Return a picture with its caption."""
    return tag("figure", content, tag("figcaption", caption), **attributes)


def chart(drawn: "Figure", title: str, caption: object = "") -> Markup:
    """Return a chart with its caption; screen readers read the title."""
    return figure(Markup(inline_svg(drawn, title)), caption)


def details(summary: object, *content: object, open_: bool = False) -> Markup:
    """Return content that opens when its summary is clicked."""
    return tag("details", tag("summary", summary), *content, open=open_)


def png_image(data: bytes, alt: str, **attributes: object) -> Markup:
    """Return an <img> with its bytes inside."""
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return tag("img", src=source, alt=alt, **attributes)
