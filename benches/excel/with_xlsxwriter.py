"""Writes the cells that cells.py made with XlsxWriter, and prints the seconds that took."""

import sys
import time

import xlsxwriter

source, target = sys.argv[1:]
with open(source, encoding="utf-8") as lines:
    titles = next(lines).rstrip("\n").split("\t")
    rows = []
    for line in lines:
        colour, *cells = line.rstrip("\n").split("\t")
        rows.append(
            (int(colour), [(of[0], of[1:] if of[0] == "t" or of == of[0] else float(of[1:])) for of in cells])
        )
widths = [float(width) for width in sys.stdin.read().split()]

started = time.perf_counter()
book = xlsxwriter.Workbook(target, {"strings_to_formulas": False, "strings_to_urls": False})
FORMATS = {"t": "@", "n": "#,##0", "d": "yyyy\\-mm\\-dd\\ hh:mm"}
COLOURS = [{}, {"bg_color": "#FBDADA"}, {"bg_color": "#FFF2C9"}, {"bg_color": "#E6E6E6", "font_color": "#595959"}]
formats = [
    {kind: book.add_format({"num_format": code, **colour}) for kind, code in FORMATS.items()} for colour in COLOURS
]
header = book.add_format({"bold": True, "bg_color": "#E7ECEF", "bottom": 1, "bottom_color": "#8B95A3"})
sheet = book.add_worksheet("Statuses")
sheet.freeze_panes(1, 0)
sheet.autofilter(0, 0, len(rows), len(titles) - 1)
for column, (title, width) in enumerate(zip(titles, widths, strict=True)):
    sheet.set_column(column, column, width)
    sheet.write_string(0, column, title, header)
for row, (colour, cells) in enumerate(rows, 1):
    of = formats[colour]
    for column, (kind, value) in enumerate(cells):
        if value == "":
            sheet.write_blank(row, column, None, of[kind])
        elif kind == "t":
            sheet.write_string(row, column, value, of[kind])
        else:
            sheet.write_number(row, column, value, of[kind])
book.close()
print(time.perf_counter() - started)
