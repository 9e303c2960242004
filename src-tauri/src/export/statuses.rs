//! The sheet of statuses: a row a POS server, in the grid's colours.

use rust_xlsxwriter::{Color, Format, Workbook, XlsxError};

use super::columns::{Cell, columns};
use super::words::Words;
use super::{Sheet, Zone, capped};
use crate::ipc::{Highlight, LinkState};
use crate::rows::Entry;

/// A sheet has no more rows than this, the header included.
const MOST_ROWS: usize = 1_048_576;

/// The formats of one row colour.
struct Formats {
    plain: Format,
    time: Format,
    number: Format,
}

impl Formats {
    fn new(base: &Format) -> Self {
        Self {
            plain: base.clone(),
            time: base.clone().set_num_format("yyyy\\-mm\\-dd\\ hh:mm"),
            number: base.clone().set_num_format("#,##0"),
        }
    }
}

/// Writes the sheet.
pub(super) fn write(
    workbook: &mut Workbook,
    sheet: &Sheet,
    words: &Words<'_>,
    zone: Zone,
) -> Result<(), XlsxError> {
    let columns = columns(&sheet.request.columns, words);
    let header = Format::new().set_bold().set_background_color(Color::RGB(0xE7_ECEF));
    let base = Format::new();
    let red = Formats::new(&base.clone().set_background_color(Color::RGB(0xFB_DADA)));
    let yellow = Formats::new(&base.clone().set_background_color(Color::RGB(0xFF_F2C9)));
    let grey = Formats::new(
        &base.clone().set_background_color(Color::RGB(0xE6_E6E6)).set_font_color(Color::RGB(0x59_5959)),
    );
    let plain = Formats::new(&base);

    let worksheet = workbook.add_worksheet_with_constant_memory()?;
    worksheet.set_name(words.get("sheet.statuses"))?;
    worksheet.set_freeze_panes(1, 0)?;
    for (at, column) in columns.iter().enumerate() {
        worksheet.set_column_width(at as u16, column.width.max(title_width(&column.title)))?;
    }
    let rows = sheet.entries.len().min(MOST_ROWS - 1);
    if let Some(last) = columns.len().checked_sub(1) {
        worksheet.autofilter(0, 0, rows as u32, last as u16)?;
    }
    for (at, column) in columns.iter().enumerate() {
        worksheet.write_string_with_format(0, at as u16, &column.title, &header)?;
    }
    for (row, entry) in (1_u32..).zip(&sheet.entries[..rows]) {
        let formats = match (entry.highlight, entry.link_state) {
            (Highlight::Error, _) => &red,
            (Highlight::UpdateRequired, _) => &yellow,
            (Highlight::None, LinkState::Offline) => &grey,
            (Highlight::None, _) => &plain,
        };
        write_row(worksheet, row, entry, &columns, formats, words, zone)?;
    }
    Ok(())
}

fn write_row(
    worksheet: &mut rust_xlsxwriter::Worksheet,
    row: u32,
    entry: &Entry,
    columns: &[super::columns::Column],
    formats: &Formats,
    words: &Words<'_>,
    zone: Zone,
) -> Result<(), XlsxError> {
    for (at, column) in (0_u16..).zip(columns) {
        match (column.cell)(entry, words) {
            // Always as text, so that no store can have a formula run here.
            Cell::Text(text) => worksheet.write_string_with_format(row, at, capped(&text), &formats.plain)?,
            Cell::Number(number) => worksheet.write_number_with_format(row, at, number, &formats.number)?,
            Cell::Time(time) => match zone.local(time, &entry.time_zone) {
                Some(local) => worksheet.write_datetime_with_format(row, at, local, &formats.time)?,
                // Before 1900, which only a broken clock says.
                None => worksheet.write_string_with_format(row, at, time.to_rfc3339(), &formats.plain)?,
            },
            Cell::Empty => worksheet.write_blank(row, at, &formats.plain)?,
        };
    }
    Ok(())
}

/// Room for the title and the filter's button.
fn title_width(title: &str) -> f64 {
    title.chars().count() as f64 * 1.1 + 3.0
}
