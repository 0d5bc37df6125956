"""A document as one HTML file that needs nothing else: no network, no script, figures within.

Every string becomes text. Markup comes from `tag` alone, whose strings are escaped; so nothing has to be remembered.
"""

import base64
import html
import re

from adawac.report.blocks import Block, Code, Document, Finding, Heading, Paragraph, Picture, Section, Table

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content security policy: the browser itself refuses whatever is not in the file."""

SIGNS = {
    "better": "▲",
    "worse": "▼",
    "no significant difference": "=",
    "not significant after correction": "≈",
    "single run": "?",
    None: "?",
}

STYLE = """
:root{--ink:#1c2126;--soft:#57606a;--line:#d9dee3;--wash:#f5f7f9;--blue:#005a94;--red:#a84300;color-scheme:light}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:#fff;color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif}
header,main,footer{max-width:62rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
.kind{margin:0;color:var(--soft);font-size:.85rem;letter-spacing:.04em}
h1{margin:.2rem 0 .9rem;font-size:1.9rem;line-height:1.2;letter-spacing:-.01em;overflow-wrap:anywhere}
.summary{max-width:none;margin:0 0 1.2rem;padding:.9rem 1.1rem;background:var(--wash);border-left:4px solid var(--ink);
font-size:1.15rem;line-height:1.5}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:0;padding:.6rem 0;list-style:none;font-size:.92rem;
border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
a{color:var(--blue)}
section{margin:2.6rem 0}
h2{margin:0 0 .8rem;font-size:1.35rem;line-height:1.25}
h3{margin:1.8rem 0 .5rem;font-size:1.05rem;overflow-wrap:anywhere}
p{margin:.6rem 0;max-width:47rem;overflow-wrap:anywhere}
.finding{display:grid;grid-template-columns:1.9rem 1fr;margin:.55rem 0;padding:.55rem 1rem .6rem .6rem;
border:1px solid var(--line);border-left:4px solid var(--soft);border-radius:4px}
.finding .sign{font-size:1.05rem;text-align:center;color:var(--soft)}
.finding.better{border-left-color:var(--blue)}.finding.better .sign,.finding.better strong{color:var(--blue)}
.finding.worse{border-left-color:var(--red)}.finding.worse .sign,.finding.worse strong{color:var(--red)}
.finding p{max-width:none;margin:.1rem 0 0;font-variant-numeric:tabular-nums}
.finding .title{font-weight:600;margin:0}
.scroll{overflow-x:auto;margin:.8rem 0 .3rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;min-width:min(100%,30rem)}
th,td{padding:.36rem 0 .36rem 1.3rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;padding-left:.15rem;overflow-wrap:anywhere;min-width:10rem}
td{white-space:nowrap}
table.words td{white-space:normal;text-align:left;overflow-wrap:anywhere;min-width:7rem}
table.words th{text-align:left}
thead th{min-width:4.6rem;border-bottom:1.5px solid var(--ink);vertical-align:bottom;font-weight:600;line-height:1.3}
tbody th{font-weight:500}
tbody tr:hover{background:var(--wash)}
.note,figcaption{color:var(--soft);font-size:.86rem;max-width:47rem;margin:.2rem 0 1rem;overflow-wrap:anywhere}
figure{margin:1rem 0 1.4rem}
figure img{display:block;max-width:100%;height:auto}
pre{overflow-x:auto;margin:.6rem 0;padding:.8rem 1rem;background:var(--wash);border-radius:4px;font-size:.85rem;
line-height:1.45}
footer{margin-top:3rem;padding-top:1rem;padding-bottom:2.5rem;color:var(--soft);font-size:.85rem}
@media (max-width:40rem){body{font-size:15px}h1{font-size:1.5rem}header{padding-top:1.3rem}.summary{font-size:1.05rem}}
@media print{body{font-size:10.5pt}nav{display:none}header,main,footer{max-width:none;padding:0}
.scroll{overflow:visible}section{margin:1.4rem 0}h2,h3{break-after:avoid}figure,.finding,tr{break-inside:avoid}
table{font-size:8pt}td,table.words td{white-space:normal}}
"""


class Html(str):
    """Markup. A plain string is text, and is escaped when it is put into a `tag`."""

    __slots__ = ()


def text(content: str) -> Html:
    """Markup that shows a string as it is."""
    return content if isinstance(content, Html) else Html(html.escape(content, quote=True))


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element.

    Args:
        name: of the element.
        children: its content, strings escaped.
        attributes: its attributes, escaped; `class_` is class.

    Example:
        >>> tag("p", "a < b ", tag("em", "c"), class_='"x"')
        '<p class="&quot;x&quot;">a &lt; b <em>c</em></p>'
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    if name in ("meta", "img", "link"):
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: "list[Html] | tuple[str, ...]") -> Html:
    """Elements and strings one after the other."""
    return Html("".join(text(child) for child in children))


def render(document: Document) -> str:
    """A whole page.

    Args:
        document: the document.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("link", rel="icon", href="data:,"),
        tag("title", document.title),
        tag("style", Html(STYLE)),
    )
    links = [tag("li", tag("a", part.short or part.title, href=f"#{_anchor(part)}")) for part in document.sections]
    header = tag(
        "header",
        tag("p", "adawac report", class_="kind"),
        tag("h1", document.title),
        tag("p", document.summary, class_="summary"),
        tag("nav", tag("ul", *links), aria_label="FileHashCache"),
    )
    main = tag("main", *(_section(part) for part in document.sections))
    footer = tag("footer", "Written by adawac. This file holds everything it shows; it loads nothing.")
    body = tag("body", header, main, footer)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _anchor(section: Section) -> str:
    return re.sub(r"[^a-z0-9]+", "-", section.title.casefold()).strip("-")


def _section(section: Section) -> Html:
    return tag("section", tag("h2", section.title), *(_block(block) for block in section.blocks), id=_anchor(section))


def _block(block: Block) -> Html:
    match block:
        case Paragraph(content):
            return tag("p", content)
        case Heading(content):
            return tag("h3", content)
        case Code(content):
            return tag("pre", tag("code", content))
        case Finding(verdict, title, content):
            word = tag("strong", (verdict or "nothing to compare").capitalize() + ".")
            return tag(
                "div",
                tag("span", SIGNS[verdict], class_="sign", aria_hidden="true"),
                tag("div", tag("p", title, class_="title"), tag("p", word, " " + content)),
                class_=f"finding {verdict.replace(' ', '-') if verdict else 'none'}",
            )
        case Picture(_, kind, content, alt, caption):
            mime = "image/svg+xml" if kind == "svg" else "image/png"
            data = f"data:{mime};base64,{base64.b64encode(content).decode()}"
            return tag("figure", tag("img", src=data, alt=alt), tag("figcaption", caption))
        case Table(header, lines, note, words):
            head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in header)))
            rows = [
                tag("tr", tag("th", line[0], scope="row"), *(tag("td", cell) for cell in line[1:])) for line in lines
            ]
            table = tag("table", head, tag("tbody", *rows), **({"class_": "words"} if words else {}))
            # Wide tables scroll by themselves on a narrow screen, also by keyboard.
            scroll = tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=header[0] or "table")
            return join((scroll, tag("p", note, class_="note"))) if note else scroll
