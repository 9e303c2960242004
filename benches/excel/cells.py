"""Reads the statuses of our spreadsheet and writes them in a form that the peers read quickly.

A line a row: its colour's number, then the cells, parted by tabs: `t`, `n` or `d` for the format, then the value.
"""

import sys

import openpyxl

source, target = sys.argv[1:]
KINDS = {"@": "t", "#,##0": "n", "yyyy\\-mm\\-dd\\ hh:mm": "d"}
COLOURS = {None: 0, "FFFBDADA": 1, "FFFFF2C9": 2, "FFE6E6E6": 3}

book = openpyxl.load_workbook(source, read_only=True)
sheet = book.worksheets[0]
# The numbers are taken as they are written: dates would have to be made numbers again.
book._date_formats = set()
styles = {}


def style(cell) -> tuple[int, str]:
    known = styles.get(cell._style_id)
    if known is None:
        fill = cell.fill.fgColor.rgb if cell.fill.patternType == "solid" else None
        known = styles[cell._style_id] = (COLOURS[fill], KINDS[cell.number_format])
    return known


with open(target, "w", encoding="utf-8") as lines:
    for at, row in enumerate(sheet.iter_rows()):
        if at == 0:
            lines.write("\t".join(cell.value for cell in row) + "\n")
            continue
        parts = [str(style(row[0])[0])]
        for cell in row:
            value = cell._value if hasattr(cell, "_value") else cell.value
            parts.append(style(cell)[1] + ("" if value is None else value if isinstance(value, str) else repr(value)))
        lines.write("\t".join(parts) + "\n")
