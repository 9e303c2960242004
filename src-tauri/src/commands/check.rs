//! What the webview hands over is checked before anything is done with it: a page that was taken over must not be able to
//! do more than a user at the window. What a rule of the core refuses anyway is left to that.

use std::collections::BTreeMap;

use tillwatch_protocol::error::ErrorCode;
use uuid::Uuid;

use super::Answer;
use crate::cloud::fingerprint;
use crate::error::AppError;
use crate::ipc::{Archive, ColumnSetting, CopyRequest, ExportColumn, ExportRequest, GridQuery, Settings};

/// More than any name, title or word has.
const LONGEST: usize = 1000;
/// More than any list of columns, words or archives has.
const MOST: usize = 1000;

/// A text of a reasonable length.
pub(super) fn text(field: &str, text: &str) -> Answer<()> {
    if text.chars().take(LONGEST + 1).count() > LONGEST {
        return refuse(field, "it is too long");
    }
    Ok(())
}

/// What to look for in the grid.
pub(super) fn query(query: &GridQuery) -> Answer<()> {
    text("search", &query.search)?;
    few("sort", query.sort.len())
}

/// What the user chose.
pub(super) fn settings(settings: &Settings) -> Answer<()> {
    columns(&settings.columns)?;
    settings.query.as_ref().map_or(Ok(()), kept_query)?;
    few("views", settings.views.len())?;
    for view in &settings.views {
        text("views", &view.name)?;
        columns(&view.columns)?;
        kept_query(&view.query)?;
    }
    settings.view.as_ref().map_or(Ok(()), |name| text("view", name))
}

fn columns(columns: &[ColumnSetting]) -> Answer<()> {
    few("columns", columns.len())?;
    for column in columns {
        text("columns", &column.key)?;
        if !(1..=10_000).contains(&column.width) {
            return refuse("columns", "no column is that wide");
        }
    }
    Ok(())
}

fn kept_query(of: &GridQuery) -> Answer<()> {
    query(of)?;
    // One that can't be read would be refused at each start.
    crate::rows::Fleet::default().set_query(of, chrono::Utc::now())
}

/// An archive as a job told of it.
pub(super) fn archive(archive: &Archive) -> Answer<()> {
    if archive.id.parse::<Uuid>().is_err() {
        return refuse("id", "it is no id");
    }
    if fingerprint(&archive.sha256).is_none() {
        return refuse("sha256", "it is no SHA-256");
    }
    text("file_name", &archive.file_name)
}

/// Archives as jobs told of them.
pub(super) fn archives(archives: &[Archive]) -> Answer<()> {
    few("archives", archives.len())?;
    archives.iter().try_for_each(archive)
}

/// How a spreadsheet is written.
pub(super) fn export(request: &ExportRequest) -> Answer<()> {
    let ExportRequest { dialog_title, file_name, columns, words, locale, time_zone } = request;
    text("dialog_title", dialog_title)?;
    text("file_name", file_name)?;
    table(columns, words, locale, time_zone)
}

/// How rows are copied.
pub(super) fn copy(request: &CopyRequest) -> Answer<()> {
    let CopyRequest { columns, words, locale, time_zone } = request;
    table(columns, words, locale, time_zone)
}

fn table(
    columns: &[ExportColumn],
    words: &BTreeMap<String, String>,
    locale: &str,
    time_zone: &str,
) -> Answer<()> {
    few("columns", columns.len())?;
    if columns.is_empty() {
        return refuse("columns", "there is none");
    }
    for column in columns {
        text("columns", &column.key)?;
        text("columns", &column.title)?;
    }
    few("words", words.len())?;
    for word in words.iter().flat_map(|(key, word)| [key, word]) {
        text("words", word)?;
    }
    text("locale", locale)?;
    if time_zone != "outlet" && time_zone.parse::<chrono_tz::Tz>().is_err() {
        return refuse("time_zone", "it is no zone");
    }
    Ok(())
}

fn few(field: &str, count: usize) -> Answer<()> {
    if count > MOST { refuse(field, "they are too many") } else { Ok(()) }
}

fn refuse(field: &str, why: &str) -> Answer<()> {
    Err(AppError::from(ErrorCode::InvalidRequest).detail(why).param("field", field))
}
