"""A figure as SVG inside an HTML page: the page's colours and font, nothing from elsewhere."""

import hashlib
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, fromstring, tostring

from mlp_jax.charts.figures import FRAME, INK, PALE, TRAIN, VALIDATION, missing_glyphs_allowed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THEME = {
    INK: "var(--ink)",
    FRAME: "var(--soft)",
    PALE: "var(--hair)",
    TRAIN: "var(--train)",
    VALIDATION: "var(--validation)",
    "#ffffff": "var(--paper)",
}
_PIXELS_PER_POINT = 4 / 3
_HREF = "{http://www.w3.org/1999/xlink}href"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBERS = ("d", "x", "y", "width", "height", "transform")
_UNUSED = ("clip-path", "target", "id")  # marks stay within their axes, so nothing is clipped


def inline_svg(figure: "Figure", title: str) -> str:
    """Return the figure as an <svg> element for an HTML page.

    The colours of `charts.figures` become variables of the page's style sheet (`THEME`), the
    background is transparent, and text stays text in the page's font. The url of an artist becomes
    its tooltip. Titles of axes are left out: a page has headings. Equal figures give equal text.

    Args:
        figure: drawn on and changed.
        title: description for screen readers.
    """
    from matplotlib import rc_context

    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.set_title("")
        axes.patch.set_visible(False)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}), missing_glyphs_allowed():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = _NOT_XML.sub("", buffer.getvalue())
    unique = hashlib.sha256((title + text).encode()).hexdigest()[:8]
    names = {
        name: f"c{unique}-{number}"
        for number, name in enumerate(dict.fromkeys(re.findall('href="#([^"]*)"', text)))
    }
    old = fromstring(text)
    _, _, width, height = map(float, old.attrib["viewBox"].split())
    new = Element("svg", {
        "viewBox": f"0 0 {width:.5g} {height:.5g}", "role": "img", "aria-label": title,
        "class": "chart", "style": f"width:{_PIXELS_PER_POINT * width:.0f}px",
    })  # fmt: skip
    new.extend(part for child in old for part in _simplified(child, names))
    return tostring(new, encoding="unicode")


def _simplified(old: Element, names: Mapping[str, str]) -> list[Element]:
    """Return what replaces an element: nothing for one that says nothing, or its children."""
    kind = old.tag.rpartition("}")[2]
    if kind in ("metadata", "style"):
        return []
    children = [new for child in old for new in _simplified(child, names)]
    attributes = _attributes(old, names)
    if kind == "a":
        title = Element("title")
        title.text = old.get(_HREF)
        kind, attributes, children = "g", {}, [title, *children]
    elif kind in ("g", "defs") and not children:
        return []
    elif kind == "g" and not attributes:
        return children
    new = Element(kind, attributes)
    new.text = old.text if kind in ("text", "tspan") else None
    new.extend(children)
    return [new]


def _attributes(old: Element, names: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that matter, with short numbers, unique ids and the page's colours."""
    found = {key: value for key, value in old.attrib.items() if key not in (*_UNUSED, _HREF)}
    for key in _NUMBERS:
        if key in found:
            found[key] = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.5g}", found[key]).strip()
    if "style" in found:
        style = re.sub(r"font-family:[^;]*;?|(?<=font: )[^;]*", "", found["style"])
        found["style"] = re.sub("#[0-9a-f]{6}", lambda m: THEME.get(m[0], m[0]), style).strip()
    if old.get("id") in names:
        found["id"] = names[old.attrib["id"]]
    if (target := old.get(_HREF)) is not None:
        found["href"] = f"#{names[target[1:]]}" if target[0] == "#" else target
    return {key: value for key, value in found.items() if value}
