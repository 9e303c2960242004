//! A simulated POS server: exchanges with the cloud, keeps its rows in a file, writes a log, and is stopped
//! and started by the connector of its store.

use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tillwatch_connector::cloud_client::{CallError, CloudClient};
use tillwatch_connector::pos::HostedCommand;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::exchange::{ExchangeAnswer, ExchangeRequest};
use tillwatch_protocol::report::{DatabaseReport, ExchangeError, ExchangeReport, Report, SyncError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub mod database;
pub mod report;

use crate::log::{self, Log};
use crate::scenario::{Past, Trouble};
use database::{Content, Database};
use report::Ask;

/// How long after an exchange the next one begins.
const INTERVAL: Duration = Duration::from_mins(1);
/// How long the cloud may take to answer one page.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Its state. Files are small here, so that reading them where they are needed blocks nobody.
struct SimulatedPos {
    trouble: Trouble,
    past: Past,
    client: CloudClient,
    database: Database,
    log: Log,
    exchange: ExchangeReport,
    round: Round,
    reports: watch::Sender<Option<Report>>,
}

/// What the exchange under way has done so far.
#[derive(Default)]
struct Round {
    changes: usize,
    cursor: i64,
    /// Everything was taken, and the cloud is told so.
    confirming: bool,
}

/// How others reach it.
pub struct Ends {
    /// Orders of the connector.
    pub hosted: mpsc::Receiver<HostedCommand>,
    /// Asks for an exchange.
    pub asks: mpsc::Receiver<Ask>,
    /// Its report; none while it is stopped.
    pub reports: watch::Sender<Option<Report>>,
}

type Answer = Result<ExchangeAnswer, CallError>;
type InFlight = Option<Pin<Box<dyn Future<Output = Answer> + Send>>>;

/// A failed exchange.
type Failure = (SyncError, String);

/// What a POS server is made of.
pub struct Setup {
    /// The store's data dir.
    pub data_dir: PathBuf,
    /// What is wrong with it.
    pub trouble: Trouble,
    /// What happened before.
    pub past: Past,
    /// Calls the cloud as the store's device.
    pub client: CloudClient,
    /// Its log.
    pub log: Log,
    /// When its first exchange begins.
    pub first_after: Duration,
}

/// Runs a POS server until `shutdown`.
pub async fn run(setup: Setup, ends: Ends, shutdown: CancellationToken) {
    let Ends { mut hosted, mut asks, reports } = ends;
    let Setup { data_dir, trouble, past, client, log, first_after } = setup;
    let exchange = past_exchanges(&past, Utc::now());
    let mut pos = SimulatedPos {
        trouble,
        past,
        client,
        database: Database::new(&data_dir),
        log,
        exchange,
        round: Round::default(),
        reports,
    };
    let mut waiting: Vec<Ask> = Vec::new();
    let mut in_flight: InFlight = None;
    let mut next_at = Instant::now() + first_after;
    pos.start();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => {
                pos.stop();
                return;
            }
            Some(command) = hosted.recv() => {
                // An exchange that is under way is dropped: what it brings is asked for again.
                in_flight = None;
                pos.round = Round::default();
                waiting.clear();
                let done = match command {
                    HostedCommand::Start(done) => {
                        pos.start();
                        next_at = Instant::now();
                        done
                    }
                    HostedCommand::Stop(done) => {
                        pos.stop();
                        done
                    }
                };
                // Whoever ordered may have gone.
                let _ = done.send(());
                continue;
            }
            Some(ask) = asks.recv(), if pos.is_running() => {
                waiting.push(ask);
                if in_flight.is_some() {
                    continue;
                }
            }
            () = sleep_until(next_at), if pos.is_running() && in_flight.is_none() => {}
            answer = arrive(&mut in_flight) => {
                in_flight = None;
                if pos.take(answer) {
                    in_flight = pos.begin();
                    if in_flight.is_some() {
                        continue;
                    }
                }
                next_at = Instant::now() + INTERVAL;
                answer_all(&mut waiting);
                continue;
            }
        }
        in_flight = pos.begin();
        if in_flight.is_none() {
            next_at = Instant::now() + INTERVAL;
            answer_all(&mut waiting);
        }
    }
}

async fn arrive(in_flight: &mut InFlight) -> Answer {
    match in_flight {
        Some(exchange) => exchange.await,
        None => std::future::pending().await,
    }
}

fn answer_all(waiting: &mut Vec<Ask>) {
    for ask in waiting.drain(..) {
        let _ = ask.send(());
    }
}

/// What a report told before this program ran.
fn past_exchanges(past: &Past, now: DateTime<Utc>) -> ExchangeReport {
    let Some((since, error)) = past.failing_since else { return ExchangeReport::default() };
    ExchangeReport {
        last_success_at: Some(since - INTERVAL),
        last_attempt_at: Some(now - INTERVAL),
        error: Some(ExchangeError {
            code: error.as_str().to_owned(),
            message: message(error).to_owned(),
            since,
            consecutive_failures: (now - since).num_minutes().unsigned_abs(),
        }),
    }
}

/// What a POS server says of its trouble.
fn message(error: SyncError) -> &'static str {
    match error {
        SyncError::DatabaseInconsistent => {
            "The rows' checksum is not the cloud's after all changes were applied. Reset the POS database."
        }
        SyncError::DiskFull => "There is not enough space on the disk D: (0 bytes free of 111.8 GiB).",
        _ => "The exchange failed.",
    }
}

impl SimulatedPos {
    fn is_running(&self) -> bool {
        self.reports.borrow().is_some()
    }

    fn start(&mut self) {
        let now = Utc::now();
        let damaged = self.trouble == Trouble::Inconsistent;
        self.log.line(now, &format!("INFO  [Pos] POS server {} starting", self.past.pos_version));
        if let Err(error) = self.database.ensure(self.past.database_created_at, damaged, now) {
            tracing::warn!(%error, "a simulated POS server can't make its database");
        }
        self.report();
    }

    fn stop(&mut self) {
        if self.is_running() {
            self.log.line(Utc::now(), "INFO  [Pos] POS server stopped");
        }
        self.reports.send_replace(None);
    }

    fn report(&self) {
        let report = Report {
            pos_version: Some(self.past.pos_version.to_owned()),
            version_updated_at: Some(self.past.version_updated_at),
            exchange: self.exchange.clone(),
            database: DatabaseReport {
                created_at: self.database.read().ok().map(|content| content.created_at),
                size_bytes: self.database.size_bytes(),
                unsent_transactions: Some(0),
                generation: None,
                backups: None,
            },
        };
        self.reports.send_replace(Some(report));
    }

    /// Begins an exchange; none when it has failed before a word was said.
    fn begin(&mut self) -> InFlight {
        match self.request() {
            Ok(request) => {
                let client = self.client.clone();
                Some(Box::pin(async move {
                    let url = client.url("exchange");
                    let send =
                        |http: &reqwest::Client| http.post(url.clone()).timeout(TIMEOUT).json(&request);
                    Ok(client.send(send).await?.json().await?)
                }))
            }
            Err(failure) => {
                self.ended(Err(failure));
                None
            }
        }
    }

    fn request(&self) -> Result<ExchangeRequest, Failure> {
        if self.trouble == Trouble::DiskFull {
            return Err((SyncError::DiskFull, message(SyncError::DiskFull).to_owned()));
        }
        let content = self.content()?;
        if let Some(found) = content.inconsistent {
            return Err((SyncError::DatabaseInconsistent, found));
        }
        Ok(ExchangeRequest {
            cursor: content.cursor,
            checksum: Some(content.checksum()),
            transactions: Vec::new(),
        })
    }

    fn content(&self) -> Result<Content, Failure> {
        self.database.read().map_err(|error| {
            let code = if error.kind() == ErrorKind::StorageFull {
                SyncError::DiskFull
            } else {
                SyncError::DatabaseCorrupt
            };
            (code, format!("reading the database: {error}"))
        })
    }

    /// Applies an answer. Tells whether there is more to ask for.
    fn take(&mut self, answer: Answer) -> bool {
        let applied = match answer {
            Ok(answer) => self.apply(answer),
            Err(error) => Err(refused(&error)),
        };
        match applied {
            Ok(true) => true,
            Ok(false) => {
                self.ended(Ok(()));
                false
            }
            Err(failure) => {
                self.ended(Err(failure));
                false
            }
        }
    }

    fn apply(&mut self, answer: ExchangeAnswer) -> Result<bool, Failure> {
        let written = |error: std::io::Error| (SyncError::DiskFull, format!("writing the database: {error}"));
        let mut content = self.content()?;
        if answer.more && answer.cursor == content.cursor {
            return Err((SyncError::ServerError, "The cloud's cursor does not advance.".to_owned()));
        }
        let nothing_new = answer.changes.is_empty();
        self.round.changes += answer.changes.len();
        self.round.cursor = answer.cursor;
        if !nothing_new || answer.cursor != content.cursor {
            content.apply(answer.changes, answer.cursor);
            self.database.write(&content).map_err(written)?;
        }
        if answer.more {
            return Ok(true);
        }
        if answer.checksum.is_some_and(|expected| expected != content.checksum()) {
            let found = message(SyncError::DatabaseInconsistent).to_owned();
            content.inconsistent = Some(found.clone());
            self.database.write(&content).map_err(written)?;
            return Err((SyncError::DatabaseInconsistent, found));
        }
        // Managers ask the cloud whether a campaign has reached this store: it is told at once.
        Ok(!nothing_new && !std::mem::replace(&mut self.round.confirming, true))
    }

    /// Writes down how an exchange ended.
    fn ended(&mut self, end: Result<(), Failure>) {
        let now = Utc::now();
        self.exchange.last_attempt_at = Some(now);
        let Round { changes, cursor, .. } = std::mem::take(&mut self.round);
        match end {
            Ok(()) => {
                self.exchange.last_success_at = Some(now);
                self.exchange.error = None;
                self.log
                    .line(now, &format!("INFO  [Exchange] Exchange done: changes={changes} cursor={cursor}"));
            }
            Err((error, message)) => {
                let code = error.as_str().to_owned();
                let before = self.exchange.error.take();
                let since =
                    before.as_ref().filter(|before| before.code == code).map_or(now, |before| before.since);
                let consecutive_failures = before.map_or(0, |before| before.consecutive_failures) + 1;
                self.log.line(now, &log::failed(error, consecutive_failures.cast_signed()));
                self.exchange.error = Some(ExchangeError { code, message, since, consecutive_failures });
            }
        }
        self.report();
    }
}

/// As which sync error a call's failure is reported.
fn refused(error: &CallError) -> Failure {
    let code = match (error, error.code()) {
        (CallError::Unreachable(_), _) => SyncError::CloudUnreachable,
        (_, Some(ErrorCode::CredentialsRevoked)) => SyncError::CredentialsRevoked,
        (_, Some(ErrorCode::VersionUnsupported)) => SyncError::VersionUnsupported,
        (_, Some(ErrorCode::ClockSkewed)) => SyncError::ClockSkewed,
        _ => SyncError::ServerError,
    };
    (code, error.to_string())
}

#[cfg(test)]
mod tests;
