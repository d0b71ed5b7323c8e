"""A page of runs: one file, light, printable, no script and nothing fetched."""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.page import material
from experiments.page.material import Beside, Read

# The policy forbids whatever the page could fetch or run; all of it is in the file.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff;
 max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }}
h1 {{ font-size: 1.5rem; margin-bottom: .2rem; }}
h2 {{ font-size: 1.15rem; border-bottom: 1px solid #ccc; margin-top: 2rem; padding-bottom: .2rem; }}
h3 {{ font-size: 1rem; margin: 1.2rem 0 .3rem; }}
nav a {{ margin-right: 1rem; color: #14507d; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .87rem; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .7rem; overflow-wrap: anywhere; }}
th {{ font-weight: 600; }}
th[scope=row] {{ white-space: nowrap; }}
thead th {{ border-bottom: 1px solid #888; }}
tbody tr + tr > * {{ border-top: 1px solid #e4e4e4; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
pre {{ background: #f6f6f4; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere;
 font-size: .82rem; }}
img {{ max-width: 100%; height: auto; }}
figure {{ margin: 1rem 0; }}
figcaption, .note {{ color: #555; font-size: .85rem; }}
@media print {{
 body {{ max-width: none; margin: 0; font-size: 10pt; }}
 nav {{ display: none; }}
 figure, tr, h2, h3 {{ break-inside: avoid; }}
 h2, h3 {{ break-after: avoid; }}
}}
</style>
</head>
<body>
"""


def page(runs: Sequence[Read], others: Sequence[Beside], title: str, curves: bytes | None) -> str:
    """The whole page; curves: an SVG of all runs, None where none of them logged."""
    parts = {
        "Results": results(runs) if runs else "",
        "Configuration": settings(list(map(material.config, runs)), runs) if runs else "",
        "Curves": figure(curves, "image/svg+xml", "losses against the step") if curves else "",
        "Tables": "".join(_text(one) for one in others if one.label.endswith(".txt")),
        "Pictures": "".join(
            figure(one.data, "image/png", one.label) for one in others if one.label.endswith(".png")
        ),
        "Samples": "".join(map(samples, runs)),
        "Environment": settings([material.environment(run.manifest) for run in runs], runs)
        if runs
        else "",
    }
    parts = {name: part for name, part in parts.items() if part}
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in parts)
    told = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    body = [head(title), f"<h1>{safe(title)}</h1>"]
    body.append(f'<p class="note">{told}</p>\n<nav>{links}</nav>')
    for name, part in parts.items():
        body.append(f'<section id="{name.lower()}">\n<h2>{name}</h2>\n{part}\n</section>')
    return "\n".join([*body, "</body>\n</html>\n"])


def head(title: str) -> str:
    """All that comes before the body, and the body's opening."""
    return _HEAD.format(title=safe(title))


def safe(value: Any) -> str:
    """Text as HTML shows it; what a run says is never markup."""
    return html.escape(str(value), quote=True)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows whose first cell is their name."""
    cells = "".join(f'<th scope="col">{safe(name)}</th>' for name in head)
    lines = [f"<thead><tr>{cells}</tr></thead>", "<tbody>"]
    for name, *values in rows:
        row = f'<tr><th scope="row">{safe(name)}</th>{"".join(map(_cell, values))}</tr>'
        lines.append(row)
    return '<div class="wide"><table>\n' + "\n".join([*lines, "</tbody>"]) + "\n</table></div>"


def _cell(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        told = f"{value:.5g}" if isinstance(value, float) and math.isfinite(value) else value
        return f'<td class="number">{safe(told)}</td>'
    shown = "–" if value is None or value == "" else value
    return f"<td>{safe(shown)}</td>"


def results(runs: Sequence[Read]) -> str:
    """A row for each run."""
    told = [material.outcome(run) for run in runs]
    names = list(dict.fromkeys(name for one in told for name in one))
    rows = [
        [run.name, run.manifest["experiment"], *(one.get(name) for name in names)]
        for run, one in zip(runs, told, strict=True)
    ]
    return table(["run", "experiment", *names], rows)


def settings(columns: Sequence[Mapping[str, Any]], runs: Sequence[Read]) -> str:
    """What differs, a column for each run; below it, folded, what is the same in all."""
    differ, same = material.differing(columns)
    parts = []
    if differ:
        rows = [[name, *(column.get(name) for column in columns)] for name in differ]
        parts.append(table(["", *(run.name for run in runs)], rows))
    elif len(runs) > 1:
        parts.append('<p class="note">the same in all runs</p>')
    shared = table(["", "all runs"], [[name, columns[0][name]] for name in same])
    opened = "" if differ else " open"
    parts.append(f"<details{opened}><summary>the same in all</summary>\n{shared}\n</details>")
    return "\n".join(parts)


def samples(run: Read) -> str:
    """The first text that a run wrote, and the last."""
    if not run.samples:
        return ""
    chosen = [run.samples[0], *run.samples[1:][-1:]]
    parts = [f"<h3>{safe(run.name)}</h3>"]
    for step, header, text in chosen:
        shown = text if len(text) <= 2000 else text[:2000] + " …"
        parts.append(f'<p class="note">step {step}: {safe(header)}</p><pre>{safe(shown)}</pre>')
    return "\n".join(parts)


def figure(data: bytes, kind: str, caption: str) -> str:
    """A picture within the page; as an image even an SVG cannot run anything."""
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    told = safe(caption)
    return f'<figure><img src="{source}" alt="{told}"><figcaption>{told}</figcaption></figure>'


def _text(one: Beside) -> str:
    text = one.data.decode("utf-8", "replace")
    return f"<h3>{safe(one.label)}</h3><pre>{safe(text)}</pre>"
