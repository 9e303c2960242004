//! The exchange: every minute, and when asked, changes are taken from the cloud and transactions handed in.
//!
//! One round goes page by page. Each page is applied in one SQL transaction together with the cursor and the
//! transactions that the cloud has written down, so that a crash or a lost answer repeats nothing. After the
//! last page the checksum of the real rows must be the cloud's. If it is not, the database is inconsistent
//! for the rest of its life: it takes no more changes, and still hands in its transactions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use rand::Rng;
use tillwatch_protocol::exchange::{ExchangeAnswer, ExchangeRequest};
use tillwatch_protocol::report::SyncError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::database::{Applied, Database, DatabaseError, Position};
use crate::identity::{self, StoreIdentity};
use crate::log::PosLog;
use crate::state::StateFile;

mod cloud;

use cloud::CloudClient;

/// How long after an exchange the next one begins.
const INTERVAL: Duration = Duration::from_mins(1);
/// How often an identity is looked for while there is none.
const IDENTITY_INTERVAL: Duration = Duration::from_secs(2);
/// How long the first failure is waited out; each further one doubles it, up to [`INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest time that a cloud may ask to wait.
const LONGEST_RETRY: Duration = Duration::from_mins(10);

/// Asks for an exchange now; answered when one that began after the asking has ended.
pub type Ask = oneshot::Sender<()>;

/// Does the exchanges of one store.
pub struct Exchanger {
    data_dir: PathBuf,
    cloud: Option<Url>,
    database: Database,
    state: Arc<StateFile>,
    log: PosLog,
    client: Option<(StoreIdentity, CloudClient)>,
    waiting_for_identity: bool,
}

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) struct Failure {
    error: SyncError,
    message: String,
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(error: SyncError, message: impl Into<String>) -> Self {
        Self { error, message: message.into(), retry_after: None }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::new(error.sync_error(), error.chain())
    }
}

/// What an exchange moved.
#[derive(Default)]
struct Moved {
    changes: usize,
    transactions: usize,
    cursor: i64,
}

impl Exchanger {
    /// An exchanger for the store of a data dir; `cloud` overrides the identity's.
    pub fn new(
        data_dir: PathBuf,
        cloud: Option<Url>,
        database: Database,
        state: Arc<StateFile>,
        log: PosLog,
    ) -> Self {
        Self { data_dir, cloud, database, state, log, client: None, waiting_for_identity: false }
    }

    /// Exchanges at once, then at intervals and when asked, until `shutdown`.
    pub async fn run(mut self, mut asked: mpsc::Receiver<Ask>, shutdown: CancellationToken) {
        let mut waiting: Vec<Ask> = Vec::new();
        loop {
            let wait = tokio::select! {
                () = shutdown.cancelled() => return,
                wait = self.exchange() => wait,
            };
            for ask in waiting.drain(..) {
                // Whoever asked may have gone.
                let _ = ask.send(());
            }
            let next_at = Instant::now() + wait;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep_until(next_at) => {}
                ask = asked.recv() => match ask {
                    Some(ask) => waiting.push(ask),
                    None => return,
                },
            }
            while let Ok(ask) = asked.try_recv() {
                waiting.push(ask);
            }
        }
    }

    /// One exchange, written down and logged. Gives how long to wait for the next.
    async fn exchange(&mut self) -> Duration {
        let (began_at, began) = (Utc::now(), Instant::now());
        let outcome = match self.use_identity() {
            Ok(true) => self.round().await,
            Ok(false) => return IDENTITY_INTERVAL,
            Err(failure) => Err(failure),
        };
        let now = Utc::now();
        match outcome {
            Ok(moved) => {
                self.state.exchanged(began_at, now, Ok(()), &self.log);
                self.log.info(format_args!(
                    "Exchange done: changes={} transactions={} cursor={} millis={}",
                    moved.changes,
                    moved.transactions,
                    moved.cursor,
                    began.elapsed().as_millis()
                ));
                INTERVAL
            }
            Err(failure) => {
                self.state.exchanged(began_at, now, Err((failure.error, failure.message.clone())), &self.log);
                let failures = self.state.get().exchange.error.map_or(1, |error| error.consecutive_failures);
                let wait = retry_after(failures, rand::rng().random_range(0.5..1.0))
                    .max(failure.retry_after.unwrap_or_default().min(LONGEST_RETRY));
                self.log.error(format_args!(
                    "Exchange failed: code={} failures={failures} retry_seconds={}: {}",
                    failure.error.as_str(),
                    wait.as_secs(),
                    failure.message
                ));
                wait
            }
        }
    }

    /// Follows the identity file, which a new enrollment replaces. False while there is none.
    fn use_identity(&mut self) -> Result<bool, Failure> {
        let found = identity::read(&self.data_dir)
            .map_err(|error| Failure::new(SyncError::CredentialsRevoked, crate::database::chain(&error)))?;
        let Some(store) = found else {
            self.client = None;
            if !std::mem::replace(&mut self.waiting_for_identity, true) {
                self.log.warn("No identity yet: waiting for the connector to enroll");
            }
            return Ok(false);
        };
        if self.client.as_ref().is_some_and(|(known, _)| known.is_same(&store)) {
            return Ok(true);
        }
        self.log.use_zone(&store.identity.time_zone);
        let client = CloudClient::new(&store, self.cloud.as_ref(), &self.state.get().pos_version)?;
        self.log.info(format_args!(
            "Exchanging with {} as POS server {} of {}",
            client.host(),
            store.identity.pos_server_id,
            store.identity.outlet
        ));
        self.client = Some((store, client));
        self.waiting_for_identity = false;
        Ok(true)
    }

    /// Page after page until nothing is left to take or to hand in. After the last changes the cloud is told
    /// once more where this store stands: managers ask there whether a campaign has reached it.
    async fn round(&mut self) -> Result<Moved, Failure> {
        let Some((_, client)) = &mut self.client else { return Ok(Moved::default()) };
        let mut moved = Moved::default();
        let (mut paging, mut confirmed) = (false, false);
        loop {
            let (position, checksum) = blocking(&self.database, move |database| {
                let mut open = database.open_in_turn()?;
                // To read all rows once a page would make an exchange of many pages slow.
                let checksum = if paging { None } else { Some(open.checksum()?) };
                Ok::<_, DatabaseError>((open.position()?, checksum))
            })
            .await?;
            if let Some(found) = &position.inconsistent
                && position.pending.is_empty()
            {
                return Err(Failure::new(SyncError::DatabaseInconsistent, found.clone()));
            }
            let request =
                ExchangeRequest { cursor: position.cursor, checksum, transactions: position.pending.clone() };
            let answered = client.exchange(&request).await;
            if let Some(found) = position.inconsistent.clone() {
                // Whatever keeps the transactions here, the database stays what ails this store.
                let inconsistent = Failure::new(SyncError::DatabaseInconsistent, found);
                if answered.is_err() {
                    return Err(inconsistent);
                }
                blocking(&self.database, move |database| hand_in(&database, &position)).await?;
                continue;
            }
            let answer = answered?;
            moved.changes += answer.changes.len();
            moved.transactions += position.pending.len();
            moved.cursor = answer.cursor;
            let (more, nothing_new) = (answer.more, answer.changes.is_empty());
            paging = more;
            if let Some(found) =
                blocking(&self.database, move |database| apply(&database, &position, &answer)).await?
            {
                return Err(Failure::new(SyncError::DatabaseInconsistent, found));
            }
            let unsent = blocking(&self.database, |database| database.open()?.unsent()).await?;
            if !more && unsent == 0 {
                if nothing_new || confirmed {
                    return Ok(moved);
                }
                confirmed = true;
            }
        }
    }
}

/// Applies an answer. Gives what was found when the rows are not the cloud's afterwards.
fn apply(
    database: &Database,
    position: &Position,
    answer: &ExchangeAnswer,
) -> Result<Option<String>, Failure> {
    let strange = |what: &str| {
        Failure::new(SyncError::ServerError, format!("The cloud's answer makes no sense: {what}"))
    };
    if answer.cursor < 0 || (answer.more && answer.cursor == position.cursor) {
        return Err(strange("its cursor does not advance"));
    }
    if !answer.more && answer.checksum.is_none() {
        return Err(strange("it has no checksum"));
    }
    let mut open = database.open_in_turn()?;
    open.apply(&Applied {
        database_id: &position.database_id,
        from_cursor: position.cursor,
        to_cursor: answer.cursor,
        changes: &answer.changes,
        sent: &position.pending,
    })?;
    let Some(expected) = answer.checksum.as_ref().filter(|_| !answer.more) else { return Ok(None) };
    let real = open.checksum()?;
    if real == *expected {
        return Ok(None);
    }
    let found = format!(
        "At cursor {} the rows' checksum is {}… where the cloud has {}…. Reset the POS database.",
        answer.cursor,
        real.get(..12).unwrap_or(&real),
        expected.get(..12).unwrap_or(expected),
    );
    open.mark_inconsistent(&found)?;
    Ok(Some(found))
}

/// Forgets transactions that the cloud has written down, and leaves all else as it is.
fn hand_in(database: &Database, position: &Position) -> Result<(), DatabaseError> {
    database.open_in_turn()?.apply(&Applied {
        database_id: &position.database_id,
        from_cursor: position.cursor,
        to_cursor: position.cursor,
        changes: &[],
        sent: &position.pending,
    })
}

/// Runs work on the database where it may block.
async fn blocking<T, E>(
    database: &Database,
    work: impl FnOnce(Database) -> Result<T, E> + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    let database = database.clone();
    match tokio::task::spawn_blocking(move || work(database)).await {
        Ok(result) => result.map_err(Into::into),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// How long the n-th failure in a row is waited out. `share` of 0.5 to 1 keeps stores from coming all at once.
fn retry_after(failures: u64, share: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(INTERVAL).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_interval() {
        let seconds: Vec<_> = (1..7).map(|failures| retry_after(failures, 1.0).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retry_after(u64::MAX, 0.5), INTERVAL / 2);
    }
}
