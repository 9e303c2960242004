"""Compares the statuses of spreadsheets with the first one's: cells, formats, colours, widths. Fails at a difference.

With one file it prints the widths of its columns.
"""

import sys

import openpyxl


def sheet(path: str):
    return openpyxl.load_workbook(path).worksheets[0]


def look(cell) -> tuple:
    fill = cell.fill.fgColor.rgb if cell.fill.patternType == "solid" else None
    colour = cell.font.color.rgb if cell.font.color is not None and cell.font.color.type == "rgb" else None
    return cell.value, cell.number_format, fill, colour, cell.font.bold, cell.border.bottom.style


def widths(of) -> list[float]:
    # Neighbours of one width are kept as one.
    each = {at: group.width for group in of.column_dimensions.values() for at in range(group.min, group.max + 1)}
    return [each[at] for at in sorted(each)]


first = sheet(sys.argv[1])
if len(sys.argv) == 2:
    # Five pixels of the width are its edges.
    print(*[round((width * 7 - 5) / 7, 4) for width in widths(first)])
for path in sys.argv[2:]:
    other = sheet(path)
    assert first.dimensions == other.dimensions, (path, first.dimensions, other.dimensions)
    assert first.freeze_panes == other.freeze_panes, path
    assert first.auto_filter.ref == other.auto_filter.ref, path
    assert all(abs(one - two) < 0.2 for one, two in zip(widths(first), widths(other), strict=True)), path
    for one, two in zip(first.iter_rows(), other.iter_rows(), strict=True):
        for a, b in zip(one, two, strict=True):
            assert look(a) == look(b), (path, a.coordinate, look(a), look(b))
