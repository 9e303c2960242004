//! The statuses as a spreadsheet: what is filtered and visible, in its order, and a sheet that sums it up.
//!
//! Rows are written one after another and never held, so that 100,000 of them cost little memory.

mod columns;
mod statuses;
mod summary;
mod tabbed;
mod words;

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, XlsxError};
use tempfile::TempPath;

use crate::error::{AppError, LocalCode};
use crate::ipc::{Connection, ConnectionState, ExportRequest, GridQuery, GridSummary, OutletOption, Session};
use crate::rows::Entry;
pub(crate) use tabbed::tabbed;
use words::Words;

/// Everything that goes into the file.
pub(crate) struct Sheet {
    /// What the window asked for.
    pub(crate) request: ExportRequest,
    /// The rows, in their order.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// The counts.
    pub(crate) summary: GridSummary,
    /// The filters that are on.
    pub(crate) query: GridQuery,
    /// The names of chains and outlets, for the filter.
    pub(crate) options: Vec<OutletOption>,
    /// Who writes it.
    pub(crate) session: Session,
    /// Whether the rows are true now.
    pub(crate) connection: Connection,
    /// When.
    pub(crate) written_at: DateTime<Utc>,
}

impl Sheet {
    /// Whether the rows come from the cache only.
    fn is_offline(&self) -> bool {
        self.connection.state != ConnectionState::Live
    }
}

/// In which zone times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    One(Tz),
    Outlet,
}

impl Zone {
    fn new(name: &str) -> Self {
        match name {
            "outlet" => Self::Outlet,
            name => Self::One(name.parse().unwrap_or(Tz::UTC)),
        }
    }

    /// The time as the clocks of that zone show it. Spreadsheets know no zones.
    fn local(self, at: DateTime<Utc>, outlet: &str) -> Option<ExcelDateTime> {
        let zone = match self {
            Self::One(zone) => zone,
            Self::Outlet => outlet.parse().unwrap_or(Tz::UTC),
        };
        ExcelDateTime::from_timestamp(at.with_timezone(&zone).naive_local().and_utc().timestamp()).ok()
    }
}

/// Writes the file at `path`, whole or not at all.
pub(crate) fn write(sheet: &Sheet, path: &Path) -> Result<(), AppError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let at_path = |error: std::io::Error| AppError::from_io(&error, path);
    let file = File::create(&part).map_err(at_path)?;
    // Removes the file unless it takes its name.
    let part = TempPath::try_from_path(part).map_err(at_path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = write_to(sheet, file, folder).map_err(|error| failure(&error, path))?;
    file.sync_all().map_err(at_path)?;
    drop(file);
    part.persist(path).map_err(|error| at_path(error.error))
}

fn write_to(sheet: &Sheet, file: File, folder: &Path) -> Result<File, XlsxError> {
    let words = Words::new(&sheet.request.words, &sheet.request.locale);
    let zone = Zone::new(&sheet.request.time_zone);
    let mut workbook = Workbook::new();
    // Beside the target, where there must be room anyway, rather than where the system keeps temporary files.
    workbook.set_tempdir(folder)?;
    workbook.set_properties(&properties(sheet, &words));
    statuses::write(&mut workbook, sheet, &words, zone)?;
    summary::write(&mut workbook, sheet, &words, zone)?;
    let mut writer = BufWriter::new(file);
    workbook.save_to_writer(&mut writer)?;
    writer.into_inner().map_err(|error| XlsxError::IoError(error.into_error()))
}

fn properties(sheet: &Sheet, words: &Words<'_>) -> DocProperties {
    let author = sheet.session.name.as_deref().or(sheet.session.email.as_deref()).unwrap_or("Tillwatch");
    let properties = DocProperties::new()
        .set_title(words.get("summary.title"))
        .set_subject(summary::filter(sheet, words).join("; "))
        .set_author(author)
        .set_company("Tillwatch");
    let properties = match ExcelDateTime::from_timestamp(sheet.written_at.timestamp()) {
        Ok(written_at) => properties.set_creation_datetime(&written_at),
        Err(_) => properties,
    };
    if sheet.is_offline() { properties.set_comment(words.get("summary.offline")) } else { properties }
}

fn failure(error: &XlsxError, path: &Path) -> AppError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return AppError::from_io(io, path);
        }
        cause = error.source();
    }
    if let XlsxError::IoError(error) = error {
        return AppError::from_io(error, path);
    }
    tracing::error!(%error, "the spreadsheet could not be made");
    AppError::from(LocalCode::ExportFailed).detail(error)
}

/// Spreadsheets take no longer text in a cell, counted in UTF-16 units.
const LONGEST_TEXT: usize = 32_767;

/// The text as a cell can hold it.
fn capped(text: &str) -> &str {
    if text.len() <= LONGEST_TEXT {
        return text;
    }
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > LONGEST_TEXT
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests;
