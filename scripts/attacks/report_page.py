"""Pages that need nothing but themselves: script, style and data are inside, and a policy forbids every request."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

HERE = Path(__file__).parent
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def render(template: str, **values: Any) -> str:
    """A template beside this file, with style, plotly and the script that draws; all text in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        policy=POLICY,
        style=Markup((HERE / "report.css").read_text()),
        script=Markup((HERE / "report.js").read_text()),
        plotly=Markup(get_plotlyjs()),
        chart=chart,
        **values,
    )


def chart(label: str, figure: dict[str, Any]) -> Markup:
    """A place where a figure of plotly's, ``data`` and ``layout``, is drawn when it comes into view.

    With ``layout.meta.ranges`` it has buttons that change the scale of the prices.
    """
    tools = Markup(
        '<div class="tools" hidden><button type="button" data-do="log">logarithmic</button>'
        '<button type="button" data-do="own">each its own scale</button></div>\n'
    )
    place = Markup(
        '<div class="plot" style="min-height:{}px" role="img" aria-label="{}">'
        '<script type="application/octet-stream">{}</script></div>'
    )
    layout = figure["layout"]
    drawn = place.format(layout["height"], label, pack(figure))
    return tools + drawn if "ranges" in layout.get("meta", {}) else drawn


def pack(value: Any) -> str:
    """JSON, compressed by gzip and written in base64: a fifth of its length, and harmless in HTML."""
    plain = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(plain, mtime=0)).decode()
