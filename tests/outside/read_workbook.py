"""Reads a spreadsheet as another program sees it and prints it as JSON.

`read_workbook.py FILE.xlsx` reads it with openpyxl; of `FILE.fods` it reads what LibreOffice wrote. Both give
`{sheets: [{name, filter, charts, formulas, cells}], properties}`, a cell being `[type, value, fill]` or null; openpyxl also
tells `frozen_rows`, `formats` and `widths`, which LibreOffice does not write without a window.
Types are `s` for text, `n` for numbers and `d` for dates; a fill is `RRGGBB` or null.
"""

import datetime
import json
import sys
import xml.etree.ElementTree as ElementTree


def with_openpyxl(path: str) -> dict:
    import openpyxl
    from openpyxl.utils.escape import unescape

    def cell(of) -> list | None:
        fill = of.fill.fgColor.rgb[2:] if of.fill.patternType == "solid" else None
        value = of.value
        if value is None:
            return ["e", None, fill] if fill else None
        if of.data_type == "f":
            return ["f", str(value), fill]
        if isinstance(value, datetime.datetime):
            return ["d", value.isoformat(timespec="milliseconds"), fill]
        if isinstance(value, str):
            # openpyxl leaves it to its users to read escaped characters.
            return ["s", unescape(value), fill]
        return ["n", value, fill]

    book = openpyxl.load_workbook(path)
    sheets = []
    for sheet in book.worksheets:
        cells = [[cell(of) for of in row] for row in sheet.iter_rows()]
        sheets.append(
            {
                "name": sheet.title,
                "frozen_rows": sheet.freeze_panes and int(sheet.freeze_panes[1:]) - 1,
                "filter": sheet.auto_filter.ref,
                "charts": len(sheet._charts),
                "formulas": sum(of is not None and of[0] == "f" for row in cells for of in row),
                "formats": sorted({of.number_format for row in sheet.iter_rows() for of in row}),
                "widths": [sheet.column_dimensions[name].width for name in sheet.column_dimensions],
                "cells": cells,
            }
        )
    properties = book.properties
    return {
        "sheets": sheets,
        "properties": {
            "by": properties.creator,
            "at": properties.created.isoformat(),
            "filter": properties.subject,
            "note": properties.description,
        },
    }


SPACES = {
    prefix: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"
    for prefix, name in {
        "office": "office",
        "table": "table",
        "text": "text",
        "style": "style",
        "draw": "drawing",
        "meta": "meta",
        "fo": "xsl-fo-compatible",
    }.items()
} | {"dc": "http://purl.org/dc/elements/1.1/"}


def name(prefixed: str) -> str:
    prefix, local = prefixed.split(":")
    return f"{{{SPACES[prefix]}}}{local}"


def from_libreoffice(path: str) -> dict:
    root = ElementTree.parse(path).getroot()
    fills, parents = {}, {}
    for style in root.iter(name("style:style")):
        own = style.get(name("style:name"))
        parents[own] = style.get(name("style:parent-style-name"))
        for properties in style.iter(name("style:table-cell-properties")):
            colour = properties.get(name("fo:background-color"))
            if colour:
                fills[own] = None if colour == "transparent" else colour[1:].upper()

    def fill(style: str | None) -> str | None:
        while style is not None:
            if style in fills:
                return fills[style]
            style = parents.get(style)
        return None

    def text(of) -> str:
        if of.tag == name("text:s"):
            inner = " " * int(of.get(name("text:c"), "1"))
        elif of.tag == name("text:tab"):
            inner = "\t"
        elif of.tag == name("text:line-break"):
            inner = "\n"
        else:
            inner = of.text or ""
        return inner + "".join(text(child) + (child.tail or "") for child in of)

    def cell(of) -> list | None:
        colour = fill(of.get(name("table:style-name")))
        kind = of.get(name("office:value-type"))
        if kind is None:
            return ["e", None, colour] if colour else None
        if kind == "date":
            value = of.get(name("office:date-value"))
            return ["d", value if "T" in value else f"{value}T00:00:00", colour]
        if kind == "float":
            return ["n", float(of.get(name("office:value"))), colour]
        return ["s", "\n".join(text(line) for line in of.findall(name("text:p"))), colour]

    filters = {}
    for of in root.iter(name("table:database-range")):
        sheet, _, _ = of.get(name("table:target-range-address")).partition(".")
        if of.get(name("table:display-filter-buttons")) == "true":
            filters[sheet.strip("'")] = of.get(name("table:target-range-address"))

    sheets = []
    for table in root.iter(name("table:table")):
        if table.get(name("table:name")) is None or table.find(name("table:table-column")) is None:
            # A chart's own figures are a table as well.
            continue
        rows = []
        for row in [of for of in table.iter(name("table:table-row"))]:
            cells = []
            for of in row:
                if of.tag in (name("table:table-cell"), name("table:covered-table-cell")):
                    repeated = int(of.get(name("table:number-columns-repeated"), "1"))
                    cells += [cell(of)] * min(repeated, 100)
            while cells and cells[-1] is None:
                cells.pop()
            rows += [cells] * min(int(row.get(name("table:number-rows-repeated"), "1")), 100)
        while rows and not rows[-1]:
            rows.pop()
        sheet = table.get(name("table:name"))
        sheets.append(
            {
                "name": sheet,
                "filter": filters.get(sheet),
                "charts": len(list(table.iter(name("draw:object")))),
                "formulas": sum(of.get(name("table:formula")) is not None for of in table.iter()),
                "cells": rows,
            }
        )
    meta = root.find(name("office:meta"))
    told = lambda tag: (meta.find(tag).text if meta.find(tag) is not None else None)
    return {
        "sheets": sheets,
        "properties": {
            "by": told(name("meta:initial-creator")),
            "at": told(name("meta:creation-date")),
            "filter": told(name("dc:subject")),
            "note": told(name("dc:description")),
        },
    }


reader = from_libreoffice if sys.argv[1].endswith(".fods") else with_openpyxl
json.dump(reader(sys.argv[1]), sys.stdout)
