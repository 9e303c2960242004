//! The sheet of statuses: a row a POS server, in the grid's colours.

use std::fmt::Write as _;
use std::io::{self, Write};

use chrono::NaiveDateTime;
use rust_xlsxwriter::{Color, Format, FormatBorder, IgnoreError, Workbook, XlsxError};

use super::columns::{Cell, Column, Kind};
use super::words::Words;
use super::{Sheet, Zone, cells};
use crate::ipc::{Highlight, LinkState};
use crate::rows::Entry;

/// A sheet has no more rows than this, the header included.
const MOST_ROWS: usize = 1_048_576;
/// How dates are written, the same for everybody.
pub(super) const DATE_FORMAT: &str = "yyyy\\-mm\\-dd\\ hh:mm";
/// Text, also once somebody has edited the cell.
const TEXT_FORMAT: &str = "@";

/// The colours of a row's background and text, where they are not those of any sheet.
const COLOURS: [(Option<u32>, Option<u32>); 4] =
    [(None, None), (Some(0xFB_DADA), None), (Some(0xFF_F2C9), None), (Some(0xE6_E6E6), Some(0x59_5959))];

fn colour(entry: &Entry) -> usize {
    match (entry.highlight, entry.link_state) {
        (Highlight::Error, _) => 1,
        (Highlight::UpdateRequired, _) => 2,
        (Highlight::None, LinkState::Offline) => 3,
        (Highlight::None, _) => 0,
    }
}

const KINDS: [Kind; 3] = [Kind::Text, Kind::Number, Kind::Time];

fn format(colour: usize, kind: Kind) -> Format {
    let format = Format::new().set_num_format(match kind {
        Kind::Text => TEXT_FORMAT,
        Kind::Number => "#,##0",
        Kind::Time => DATE_FORMAT,
    });
    let (background, text) = COLOURS[colour];
    let format = match background {
        Some(background) => format.set_background_color(Color::RGB(background)),
        None => format,
    };
    match text {
        Some(text) => format.set_font_color(Color::RGB(text)),
        None => format,
    }
}

/// Adds the sheet with all but its rows. Where they would begin stands a cell of each format instead, by which
/// [`Rows`] knows how the library numbered them.
pub(super) fn outline(
    workbook: &mut Workbook,
    sheet: &Sheet,
    columns: &[Column],
    words: &Words<'_>,
) -> Result<(), XlsxError> {
    let last_row = rows(sheet).len() as u32;
    let last_column = columns.len().saturating_sub(1) as u16;
    let header = Format::new()
        .set_bold()
        .set_background_color(Color::RGB(0xE7_ECEF))
        .set_border_bottom(FormatBorder::Thin)
        .set_border_bottom_color(Color::RGB(0x8B_95A3));
    let worksheet = workbook.add_worksheet();
    worksheet.set_name(words.get("sheet.statuses"))?;
    worksheet.set_freeze_panes(1, 0)?;
    worksheet.autofilter(0, 0, last_row, last_column)?;
    // CRM ids are text that looks like numbers, on purpose.
    worksheet.ignore_error_range(0, 0, last_row, last_column, IgnoreError::NumberStoredAsText)?;
    worksheet.set_landscape().set_print_fit_to_pages(1, 0).set_repeat_rows(0, 0)?;
    for (at, column) in (0_u16..).zip(columns) {
        worksheet.set_column_width(at, column.width.max(title_width(&column.title)))?;
        worksheet.write_string_with_format(0, at, &column.title, &header)?;
    }
    let formats = (0..COLOURS.len()).flat_map(|colour| KINDS.map(|kind| format(colour, kind)));
    for (row, format) in (1..).zip(formats) {
        worksheet.write_blank(row, 0, &format)?;
    }
    Ok(())
}

/// What is written of the sheet's rows.
fn rows(sheet: &Sheet) -> &[std::sync::Arc<Entry>] {
    &sheet.entries[..sheet.entries.len().min(MOST_ROWS - 1)]
}

/// Room for the title and the filter's button.
fn title_width(title: &str) -> f64 {
    title.chars().count() as f64 * 1.1 + 3.0
}

/// The rows of an outlined sheet.
pub(super) struct Rows<'a> {
    before: String,
    after: String,
    /// The attribute of each format, by colour and kind.
    styles: [[String; KINDS.len()]; COLOURS.len()],
    sheet: &'a Sheet,
    columns: &'a [Column],
    words: &'a Words<'a>,
    zone: Zone,
}

impl<'a> Rows<'a> {
    /// Reads the sheet as it was outlined. None if it does not look like one, which only another version of the
    /// library could bring about.
    pub(super) fn new(
        outline: &str,
        sheet: &'a Sheet,
        columns: &'a [Column],
        words: &'a Words<'a>,
        zone: Zone,
    ) -> Option<Self> {
        let (before, rest) = outline.split_once("<row r=\"2\"")?;
        let (samples, after) = rest.split_once("</sheetData>")?;
        let (start, size) = before.split_once("<dimension ref=\"")?;
        let (_, before) = size.split_once('"')?;
        let last_column = columns.len().checked_sub(1).map(letters)?;
        let before = format!("{start}<dimension ref=\"A1:{last_column}{}\"{before}", rows(sheet).len() + 1);
        let mut styles: [[String; KINDS.len()]; COLOURS.len()] = Default::default();
        for (row, style) in (2..).zip(styles.iter_mut().flatten()) {
            let (_, sample) = samples.split_once(&format!("<c r=\"A{row}\""))?;
            style.push_str(sample.split_once("/>")?.0);
        }
        Some(Self { before, after: after.to_owned(), styles, sheet, columns, words, zone })
    }

    /// Writes the whole sheet, the rows one after another and never held.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        /// How much is gathered before it is handed on.
        const GATHER: usize = 64 << 10;

        to.write_all(self.before.as_bytes())?;
        let columns: Vec<(String, &Column)> =
            self.columns.iter().enumerate().map(|(at, column)| (letters(at), column)).collect();
        let mut xml = String::with_capacity(2 * GATHER);
        let mut number = String::new();
        for (row, entry) in (2_u32..).zip(rows(self.sheet)) {
            number.clear();
            // Writing into a string can't fail.
            let _ = write!(number, "{row}");
            xml.push_str("<row r=\"");
            xml.push_str(&number);
            xml.push_str("\">");
            let styles = &self.styles[colour(entry)];
            for (letters, column) in &columns {
                self.push_cell(&mut xml, letters, &number, styles, entry, column);
            }
            xml.push_str("</row>");
            if xml.len() > GATHER {
                to.write_all(xml.as_bytes())?;
                xml.clear();
            }
        }
        to.write_all(xml.as_bytes())?;
        to.write_all(b"</sheetData>")?;
        to.write_all(self.after.as_bytes())
    }

    fn push_cell(
        &self,
        xml: &mut String,
        letters: &str,
        row: &str,
        styles: &[String; KINDS.len()],
        entry: &Entry,
        column: &Column,
    ) {
        let open = |xml: &mut String, kind: Kind| cells::open(xml, letters, row, &styles[kind as usize]);
        match (column.cell)(entry, self.words) {
            Cell::Text(text) => {
                open(xml, Kind::Text);
                cells::text(xml, &text);
            }
            Cell::Number(number) => {
                open(xml, Kind::Number);
                cells::number(xml, number);
            }
            Cell::Time(time) => {
                if let Some(day) = day(self.zone.local(time, &entry.time_zone)) {
                    open(xml, Kind::Time);
                    cells::number(xml, day);
                } else {
                    // Only a broken clock says so.
                    open(xml, Kind::Text);
                    cells::text(xml, &time.to_rfc3339());
                }
            }
            Cell::Empty => {
                open(xml, column.kind);
                cells::blank(xml);
            }
        }
    }
}

/// The time as spreadsheets count: days since the end of 1899, to the second. None where they disagree with the
/// calendar, which has no 29 February 1900, and where they know no more years.
fn day(local: NaiveDateTime) -> Option<f64> {
    const FROM_1970: i64 = 25_569;
    const DAY: i64 = 24 * 60 * 60;
    let seconds = local.and_utc().timestamp() + FROM_1970 * DAY;
    ((61 * DAY)..(2_958_466 * DAY)).contains(&seconds).then(|| seconds as f64 / DAY as f64)
}

/// The letters of a column, the first being 0.
fn letters(column: usize) -> String {
    let letter = char::from(b'A' + (column % 26) as u8);
    match column / 26 {
        0 => letter.to_string(),
        more => letters(more - 1) + &letter.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use rust_xlsxwriter::ExcelDateTime;

    use super::*;

    #[test]
    fn columns_have_the_letters_of_spreadsheets() {
        for (column, is) in
            [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")]
        {
            assert_eq!(letters(column), is);
        }
    }

    #[test]
    fn days_are_those_of_the_library() {
        let mut at: NaiveDateTime = "1900-03-01T00:00:00".parse().unwrap();
        assert!(day(at - TimeDelta::seconds(1)).is_none());
        let end: NaiveDateTime = "9999-12-31T23:59:59".parse().unwrap();
        assert!(day(end).is_some() && day(end + TimeDelta::seconds(1)).is_none());
        while at < end {
            let library = ExcelDateTime::from_timestamp(at.and_utc().timestamp()).unwrap().to_excel();
            let ours = day(at).unwrap();
            assert!((ours - library).abs() < 1e-9, "{at}: {ours}, {library}");
            at += TimeDelta::seconds(7_654_321);
        }
        assert_eq!(day(Utc::now().naive_utc() - TimeDelta::days(400_000)), None);
    }
}
