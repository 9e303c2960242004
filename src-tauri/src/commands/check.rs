//! What the webview hands over is checked before anything is done with it: a page that was taken over must not be able to
//! do more than a user at the window. What a rule of the core refuses anyway is left to that.

use std::collections::BTreeMap;

use tillwatch_protocol::error::ErrorCode;
use uuid::Uuid;

use super::Answer;
use crate::cloud::fingerprint;
use crate::error::AppError;
use crate::ipc::{
    AdminQuery, Archive, AuditQuery, ColumnSetting, CopyRequest, ExportColumn, ExportRequest, GrantPlace,
    GridQuery, OutletTexts, Settings, SsoWords, UserEdit,
};

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

/// A text, if there is one.
pub(super) fn any_text(field: &str, of: Option<&str>) -> Answer<()> {
    of.map_or(Ok(()), |of| text(field, of))
}

/// An id as the cloud gives them.
pub(super) fn id(field: &str, id: &str) -> Answer<()> {
    if id.parse::<Uuid>().is_err() { refuse(field, "it is no id") } else { Ok(()) }
}

/// An id, if there is one.
pub(super) fn any_id(field: &str, of: Option<&str>) -> Answer<()> {
    of.map_or(Ok(()), |of| id(field, of))
}

/// Ids as the cloud gives them.
pub(super) fn ids(field: &str, ids: &[String]) -> Answer<()> {
    few(field, ids.len())?;
    ids.iter().try_for_each(|one| id(field, one))
}

/// What the browser shows when one has signed in there.
pub(super) fn words(words: &SsoWords) -> Answer<()> {
    let SsoWords { language, done, failed } = words;
    text("language", language)?;
    text("done", done)?;
    text("failed", failed)
}

/// What to look for in an administrator's table.
pub(super) fn admin_query(query: &AdminQuery) -> Answer<()> {
    any_id("chain_id", query.chain_id.as_deref())?;
    text("search", &query.search)
}

/// What is said of an outlet.
pub(super) fn outlet(texts: &OutletTexts) -> Answer<()> {
    let OutletTexts { name, crm_id, address, time_zone } = texts;
    text("name", name)?;
    text("crm_id", crm_id)?;
    text("address", address)?;
    text("time_zone", time_zone)
}

/// What is changed of a user.
pub(super) fn user_edit(edit: &UserEdit) -> Answer<()> {
    any_text("email", edit.email.as_deref())?;
    any_text("name", edit.name.as_deref())
}

/// Where something is granted.
pub(super) fn place(place: &GrantPlace) -> Answer<()> {
    any_id("chain_id", place.chain_id.as_deref())?;
    any_id("outlet_id", place.outlet_id.as_deref())
}

/// What to look for in the audit trail.
pub(super) fn audit(query: &AuditQuery) -> Answer<()> {
    any_text("actor", query.actor.as_deref())?;
    any_text("action", query.action.as_deref())?;
    any_text("next", query.next.as_deref())
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
    id("id", &archive.id)?;
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
