//! The grid's columns as columns of a sheet; some become several, so that each cell is one date, number or text.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::words::Words;
use crate::ipc::{ExportColumn, LinkState};
use crate::rows::Entry;

/// What stands in a cell.
pub(super) enum Cell<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Time(DateTime<Utc>),
    Empty,
}

/// What stands in the cells of a column, unless they are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Time,
}

/// One column of the sheet.
pub(super) struct Column {
    pub(super) title: String,
    /// In characters.
    pub(super) width: f64,
    pub(super) kind: Kind,
    pub(super) cell: for<'a> fn(&'a Entry, &'a Words<'a>) -> Cell<'a>,
}

const TEXT: (Kind, f64) = (Kind::Text, 24.0);
const SHORT: (Kind, f64) = (Kind::Text, 14.0);
const LONG: (Kind, f64) = (Kind::Text, 44.0);
const COUNT: (Kind, f64) = (Kind::Number, 14.0);
const TIME: (Kind, f64) = (Kind::Time, 17.0);

/// The columns of the sheet for those of the grid. Unknown keys are passed over.
pub(super) fn columns(asked: &[ExportColumn], words: &Words<'_>) -> Vec<Column> {
    let mut columns = Vec::new();
    for ExportColumn { key, title } in asked {
        let mut push = |title: &str, (kind, width), cell| {
            columns.push(Column { title: title.to_owned(), width, kind, cell });
        };
        match key.as_str() {
            "link" => {
                push(title, SHORT, |entry, words| Cell::Text(words.code("link", entry.link_state.as_str())));
            }
            "organization" => push(title, TEXT, |entry, _| text(&entry.organization)),
            "chain" => push(title, TEXT, |entry, _| text(&entry.chain)),
            "crm_id" => push(title, SHORT, |entry, _| text(&entry.crm_id)),
            "address" => push(title, LONG, |entry, _| text(&entry.address)),
            "name" => push(title, SHORT, |entry, _| text(&entry.name)),
            "pos_version" => push(title, SHORT, |entry, _| text_or_empty(entry.pos_version.as_deref())),
            "required_version" => {
                push(title, SHORT, |entry, _| text_or_empty(entry.required_version.as_deref()));
            }
            "connector_version" => {
                push(title, SHORT, |entry, _| text_or_empty(entry.connector_version.as_deref()));
            }
            "version_updated_at" => push(title, TIME, |entry, _| time(entry.version_updated_at)),
            "last_report_at" => push(title, TIME, |entry, _| time(entry.last_report_at)),
            "last_success_at" => push(title, TIME, |entry, _| time(entry.last_success_at)),
            "error" => push(title, LONG, error),
            "behind" => {
                push(title, COUNT, |entry, _| Cell::Number(entry.behind_changes));
                push(words.get("column.behind_since"), TIME, |entry, _| time(entry.behind_oldest_at));
            }
            "offline" => {
                push(title, TIME, |entry, _| time(entry.link_since.filter(|_| is_offline(entry))));
                push(words.get("column.offline_cause"), TEXT, |entry, words| match entry.cause {
                    Some(cause) if is_offline(entry) => Cell::Text(words.code("cause", cause.as_str())),
                    _ => Cell::Empty,
                });
            }
            "database" => {
                push(words.get("column.database_created_at"), TIME, |entry, _| time(entry.db_created_at));
                push(words.get("column.database_size"), COUNT, |entry, _| count(entry.db_size_bytes));
                push(words.get("column.database_generation"), COUNT, |entry, _| {
                    count(entry.generation.and_then(|generation| generation.try_into().ok()))
                });
            }
            "unsent_transactions" => push(title, COUNT, |entry, _| count(entry.unsent_transactions)),
            "active_job" => push(title, TEXT, active_jobs),
            _ => {}
        }
    }
    columns
}

/// What the store says, with the word that the window has for the code before it.
fn error<'a>(entry: &'a Entry, words: &'a Words<'a>) -> Cell<'a> {
    match &entry.error {
        Some(error) if error.message.is_empty() => Cell::Text(words.code("sync", &error.code)),
        Some(error) => Cell::Text(format!("{}: {}", words.code("sync", &error.code), error.message).into()),
        None => Cell::Empty,
    }
}

fn active_jobs<'a>(entry: &'a Entry, words: &'a Words<'a>) -> Cell<'a> {
    if entry.active_jobs.is_empty() {
        return Cell::Empty;
    }
    let jobs: Vec<String> = entry
        .active_jobs
        .iter()
        .map(|job| {
            format!("{}: {}", words.code("job", job.kind.as_str()), words.code("state", job.state.as_str()))
        })
        .collect();
    Cell::Text(jobs.join("; ").into())
}

fn is_offline(entry: &Entry) -> bool {
    entry.link_state == LinkState::Offline
}

fn text(text: &str) -> Cell<'_> {
    if text.is_empty() { Cell::Empty } else { Cell::Text(text.into()) }
}

fn text_or_empty(of: Option<&str>) -> Cell<'_> {
    of.map_or(Cell::Empty, text)
}

fn time(at: Option<DateTime<Utc>>) -> Cell<'static> {
    at.map_or(Cell::Empty, Cell::Time)
}

fn count(count: Option<u64>) -> Cell<'static> {
    count.map_or(Cell::Empty, Cell::Number)
}
