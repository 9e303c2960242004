//! The statuses as a spreadsheet: what is filtered and visible, in its order, and a sheet that sums it up.
//!
//! The library makes the file but for the rows of statuses, which are written one after another and never held, so
//! that 100,000 of them cost little memory and a full disk is an error like any other.

mod cells;
mod columns;
mod package;
mod statuses;
mod summary;
mod tabbed;
mod words;

use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, XlsxError};
use tempfile::NamedTempFile;
use tillwatch_protocol::rest::pos_server::Status;

use crate::error::{AppError, LocalCode};
use crate::ipc::{Connection, ConnectionState, ExportRequest, GridQuery, GridSummary, Session};
use crate::rows::{Entry, Fleet};
use columns::Column;
pub(crate) use tabbed::tabbed;
use words::Words;

/// Everything that goes into the file.
pub struct Sheet {
    request: ExportRequest,
    /// The rows, in their order.
    entries: Vec<Arc<Entry>>,
    summary: GridSummary,
    /// The filters that are on.
    query: GridQuery,
    session: Session,
    connection: Connection,
    written_at: DateTime<Utc>,
}

impl Sheet {
    /// What matches the fleet's query, in its order, as asked for by `session`'s user.
    pub(crate) fn new(
        fleet: &mut Fleet,
        request: ExportRequest,
        session: Session,
        connection: Connection,
        written_at: DateTime<Utc>,
    ) -> Self {
        Self {
            request,
            entries: fleet.matching(written_at),
            summary: fleet.summary(written_at),
            query: fleet.asked().clone(),
            session,
            connection,
            written_at,
        }
    }

    /// What matches `query` of these statuses, which are true at `written_at`. Fails with `invalid_request` when the
    /// query can't be read.
    pub fn of_statuses(
        statuses: impl IntoIterator<Item = Status>,
        query: &GridQuery,
        request: ExportRequest,
        session: Session,
        connection: Connection,
        written_at: DateTime<Utc>,
    ) -> Result<Self, AppError> {
        let mut fleet = Fleet::default();
        fleet.replace(Vec::new(), written_at);
        for status in statuses {
            fleet.apply(status);
        }
        fleet.set_query(query, written_at)?;
        Ok(Self::new(&mut fleet, request, session, connection, written_at))
    }

    /// How many statuses it holds.
    pub fn rows(&self) -> u32 {
        self.entries.len() as u32
    }

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
    fn local(self, at: DateTime<Utc>, outlet: &str) -> NaiveDateTime {
        let zone = match self {
            Self::One(zone) => zone,
            Self::Outlet => outlet.parse().unwrap_or(Tz::UTC),
        };
        at.with_timezone(&zone).naive_local()
    }
}

/// Writes the file at `path`, whole or not at all: beside it first, then in its place. Fails with `disk_full`,
/// `file_in_use`, `file_unwritable` or `export_failed`.
pub fn write(sheet: &Sheet, path: &Path) -> Result<(), AppError> {
    let failed = |error: io::Error| failure(&error, path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = beside(folder).map_err(failed)?;
    let file = write_to(sheet, BufWriter::new(part.as_file())).map_err(failed)?;
    file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    part.persist(path).map(drop).map_err(|error| AppError::from_replacing(&error.error, path))
}

/// A file in that folder that goes away unless it takes another's place; as open to others as any that is saved.
fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tillwatch-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn write_to<W: Write + Seek>(sheet: &Sheet, to: W) -> io::Result<W> {
    let words = Words::new(&sheet.request.words, &sheet.request.locale);
    let columns = columns::columns(&sheet.request.columns, &words);
    let zone = Zone::new(&sheet.request.time_zone);
    let outline = outline(sheet, &columns, &words, zone).map_err(io::Error::other)?;
    package::write(&outline, to, |outline, to| {
        statuses::Rows::new(outline, sheet, &columns, &words, zone)
            .ok_or_else(|| io::Error::other("the outline of the statuses is not as expected"))?
            .write(to)
    })
}

/// The file without its rows.
fn outline(sheet: &Sheet, columns: &[Column], words: &Words<'_>, zone: Zone) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    workbook.set_properties(&properties(sheet, words));
    statuses::outline(&mut workbook, sheet, columns, words)?;
    summary::write(&mut workbook, sheet, words, zone)?;
    workbook.save_to_buffer()
}

fn properties(sheet: &Sheet, words: &Words<'_>) -> DocProperties {
    let author = sheet.session.name.as_deref().or(sheet.session.email.as_deref()).unwrap_or("Tillwatch");
    let properties = DocProperties::new()
        .set_title(words.get("summary.title"))
        .set_subject(summary::filter(sheet, words))
        .set_author(author)
        .set_company("Tillwatch");
    let properties = match ExcelDateTime::from_timestamp(sheet.written_at.timestamp()) {
        Ok(written_at) => properties.set_creation_datetime(&written_at),
        Err(_) => properties,
    };
    if sheet.is_offline() { properties.set_comment(words.get("summary.offline")) } else { properties }
}

/// What the system refused, or a failure of our own making.
fn failure(error: &io::Error, path: &Path) -> AppError {
    if matches!(error.kind(), io::ErrorKind::Other | io::ErrorKind::InvalidData) {
        tracing::error!(%error, "the spreadsheet could not be made");
        return AppError::from(LocalCode::ExportFailed).detail(error);
    }
    AppError::from_io(error, path)
}

#[cfg(test)]
mod tests;
