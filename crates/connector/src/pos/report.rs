//! Reading a report, whatever a vendor's POS server makes of it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tillwatch_protocol::report::{DatabaseReport, ExchangeError, ExchangeReport, Report};
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::{ExchangeRefused, ReportSource};
use crate::cloud_client::{causes, read_capped};

/// A POS server that gives no answer for this long does not respond.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an exchange may take before it is answered.
const EXCHANGE_TIMEOUT: Duration = Duration::from_mins(2);
/// A report is a few hundred bytes; it must fit into a frame of the link with room to spare.
const MAX_REPORT_BYTES: usize = 32 * 1024;
/// What is kept of a text in a report.
const MAX_TEXT_CHARS: usize = 1000;

/// Asks one POS server.
pub(super) struct Reporter {
    source: ReportSource,
    printed: watch::Receiver<Option<Url>>,
    http: reqwest::Client,
    silent_since: Mutex<Option<Instant>>,
    last_error: Mutex<Option<ExchangeError>>,
}

impl Reporter {
    pub(super) fn new(
        source: ReportSource,
        printed: watch::Receiver<Option<Url>>,
        http: reqwest::Client,
    ) -> Self {
        Self { source, printed, http, silent_since: Mutex::default(), last_error: Mutex::default() }
    }

    /// The report, or `None` when there is none in time.
    pub(super) async fn fetch(&self) -> Option<Report> {
        let text = tokio::time::timeout(ANSWER_TIMEOUT, self.read()).await.ok()??;
        let mut report = parse(&text)?;
        let mut last_error = self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (Some(error), Some(last)) = (&mut report.exchange.error, &*last_error)
            && error.since == DateTime::UNIX_EPOCH
            && error.code == last.code
        {
            error.since = last.since;
        }
        if let Some(error) = &mut report.exchange.error
            && error.since == DateTime::UNIX_EPOCH
        {
            error.since = Utc::now();
        }
        last_error.clone_from(&report.exchange.error);
        Some(report)
    }

    /// What an answer or its lack means; `None` when it is too early to tell. A POS server that starts or
    /// hiccups is not at once called silent.
    pub(super) fn judge(&self, answered: bool, known_stopped: bool, asked_at: Instant) -> Option<PosState> {
        let mut silent_since = self.silent_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if answered {
            *silent_since = None;
            return Some(PosState::Running);
        }
        let since = *silent_since.get_or_insert(asked_at);
        if known_stopped {
            return Some(PosState::Stopped);
        }
        (since.elapsed() >= ANSWER_TIMEOUT).then_some(PosState::NotResponding)
    }

    /// Asks for an exchange.
    pub(super) async fn exchange(&self) -> Result<(), ExchangeRefused> {
        if let ReportSource::File(_) = self.source {
            return Err(ExchangeRefused::Unsupported);
        }
        let url = self.url("exchange").ok_or_else(|| ExchangeRefused::Silent("it is not running".into()))?;
        let response = self
            .http
            .post(url)
            .timeout(EXCHANGE_TIMEOUT)
            .send()
            .await
            .map_err(|error| ExchangeRefused::Silent(causes(&error)))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(ExchangeRefused::Status(status.as_u16())),
        }
    }

    async fn read(&self) -> Option<Vec<u8>> {
        match &self.source {
            ReportSource::File(path) => read_file(path).await,
            ReportSource::Http(_) | ReportSource::Printed => {
                let response = self.http.get(self.url("report")?).send().await.ok()?;
                if !response.status().is_success() {
                    return None;
                }
                read_capped(response, MAX_REPORT_BYTES).await
            }
        }
    }

    /// The client for the POS server, and its address while that is known.
    pub(super) fn address(&self) -> (&reqwest::Client, Option<Url>) {
        let base = match &self.source {
            ReportSource::Http(url) => Some(url.clone()),
            ReportSource::Printed => self.printed.borrow().clone(),
            ReportSource::File(_) => None,
        };
        (&self.http, base)
    }

    fn url(&self, call: &str) -> Option<Url> {
        let mut url = self.address().1?;
        let path = format!("{}/{call}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Some(url)
    }
}

async fn read_file(path: &PathBuf) -> Option<Vec<u8>> {
    let file = tokio::fs::File::open(Path::new(path)).await.ok()?;
    let mut text = Vec::new();
    file.take(MAX_REPORT_BYTES as u64 + 1).read_to_end(&mut text).await.ok()?;
    (text.len() <= MAX_REPORT_BYTES).then_some(text)
}

/// Reads a report; a field that makes no sense is as if it were missing. `None` when it is no JSON object.
pub(super) fn parse(text: &[u8]) -> Option<Report> {
    let text = String::from_utf8_lossy(text);
    let root: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    root.as_object()?;
    let exchange = &root["exchange"];
    let database = &root["database"];
    Some(Report {
        pos_version: match &root["pos_version"] {
            Value::Number(number) => Some(number.to_string()),
            other => text_of(other),
        },
        version_updated_at: field(&root["version_updated_at"]),
        exchange: ExchangeReport {
            last_success_at: field(&exchange["last_success_at"]),
            last_attempt_at: field(&exchange["last_attempt_at"]),
            error: error_of(&exchange["error"]),
        },
        database: DatabaseReport {
            created_at: field(&database["created_at"]),
            size_bytes: field(&database["size_bytes"]),
            unsent_transactions: field(&database["unsent_transactions"]),
            // Ours to say, whatever the POS server thinks.
            generation: None,
            backups: None,
        },
    })
}

fn field<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value::<Option<T>>(value.clone()).ok().flatten()
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.chars().take(MAX_TEXT_CHARS).collect())
}

fn error_of(value: &Value) -> Option<ExchangeError> {
    let (code, message) = match value {
        Value::Null => return None,
        Value::String(_) => (None, text_of(value)),
        _ => (text_of(&value["code"]), text_of(&value["message"])),
    };
    Some(ExchangeError {
        code: code.filter(|code| !code.is_empty()).unwrap_or_else(|| "unknown".into()),
        message: message.unwrap_or_default(),
        // The reporter puts in when it first saw the error.
        since: field(&value["since"]).unwrap_or(DateTime::UNIX_EPOCH),
        consecutive_failures: field(&value["consecutive_failures"]).unwrap_or(1),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_report_is_read() {
        let report = parse(
            br#"{"pos_version": "34.5.2", "version_updated_at": "2026-11-02T04:10:00Z",
                "exchange": {"last_success_at": "2026-11-02T04:10:00+02:00", "last_attempt_at": null,
                    "error": {"code": "database_inconsistent", "message": "m", "since": "2026-11-02T04:10:00Z", "consecutive_failures": 3}},
                "database": {"created_at": "2026-11-02T04:10:00Z", "size_bytes": 1048576, "unsent_transactions": 0}}"#,
        )
        .unwrap();
        assert_eq!(report.pos_version.as_deref(), Some("34.5.2"));
        assert_eq!(report.database.unsent_transactions, Some(0));
        assert_eq!(report.exchange.error.unwrap().consecutive_failures, 3);
    }

    #[test]
    fn a_poor_report_gives_what_it_has() {
        for (text, version, size) in [
            ("{}", None, None),
            ("\u{feff}{\"pos_version\": 34.5}", Some("34.5"), None),
            (r#"{"pos_version": {"major": 34}, "database": {"size_bytes": 7}}"#, None, Some(7)),
            (r#"{"database": {"size_bytes": -7, "created_at": "yesterday"}}"#, None, None),
            (r#"{"exchange": [], "database": "none"}"#, None, None),
        ] {
            let report = parse(text.as_bytes()).unwrap();
            assert_eq!(
                (report.pos_version.as_deref(), report.database.size_bytes),
                (version, size),
                "{text}"
            );
        }
        let report = parse(br#"{"exchange": {"error": "no route"}}"#).unwrap();
        assert_eq!(report.exchange.error.unwrap().message, "no route");
    }

    #[test]
    fn what_is_no_object_is_no_report() {
        for text in ["", "[]", "null", "<html>", "{"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
