//! What the commands call: the session, the rows, the jobs and the files, without Tauri's windows or dialogs.

mod admin;
mod files;
mod jobs;
mod persist;
mod session;
mod sso;
mod store;
#[cfg(test)]
mod tests;
mod viewer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tauri::ipc::Channel;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use jobs::LogRequest;

use crate::clipboard::Clipboard;
use crate::clock::Clock;
use crate::download::Downloads;
use crate::error::{AppError, LocalCode};
use crate::ipc::{
    AppEvent, Connection, ConnectionState, GridQuery, GridSummary, GridWindow, OutletOption, OutletOptions,
    Row, SelectOp, Session,
};
use crate::rows::{Fleet, Screen};
use crate::secrets::Secrets;
use crate::settings::Preferences;
use admin::Registry;
use jobs::Jobs;
use persist::Persist;
use session::SignedIn;
use sso::Pending;
use viewer::Viewing;

/// The least time between two `grid` events.
const GRID_EVENTS_APART: Duration = Duration::from_millis(50);

/// Everything the app knows.
pub(crate) struct Core {
    home: PathBuf,
    preferences: Preferences,
    secrets: Secrets,
    channel: Mutex<Option<Channel<AppEvent>>>,
    /// What went wrong before there was a window to tell.
    untold: Mutex<Vec<AppError>>,
    clock: Clock,
    fleet: Mutex<Fleet>,
    grid_changed: Notify,
    /// The same, and the connection, for who looks at the stores as a whole.
    changed: Notify,
    session: Mutex<Session>,
    connection: Mutex<Connection>,
    signed_in: Mutex<Option<SignedIn>>,
    /// One sign-in or sign-out at a time.
    turn: tokio::sync::Mutex<()>,
    /// A sign-in in the browser, and how to give it up while it is waited for.
    sso: Mutex<Option<(CancellationToken, Option<Pending>)>>,
    /// What the administrator's tables show.
    registry: Mutex<Registry>,
    started: tokio::sync::watch::Sender<bool>,
    /// How far the kept rows are read.
    kept: tokio::sync::watch::Sender<KeptRows>,
    persist: Persist,
    jobs: Mutex<Jobs>,
    downloads: Downloads,
    clipboard: Clipboard,
    viewing: Viewing,
}

/// How far the rows that a cache kept are read, at the start.
#[derive(Clone, Debug)]
enum KeptRows {
    /// Nothing is known yet.
    Unread,
    /// Those that were on screen are here.
    Screen(Arc<Screen>),
    /// All are here that there are.
    Read,
}

impl Core {
    /// A core that keeps its files in `home`. Nothing happens before [`Self::start`].
    pub(crate) fn new(home: &Path, preferences: Preferences, secrets: Secrets) -> Self {
        Self {
            home: home.to_owned(),
            preferences,
            secrets,
            channel: Mutex::default(),
            untold: Mutex::default(),
            clock: Clock::default(),
            fleet: Mutex::default(),
            grid_changed: Notify::new(),
            changed: Notify::new(),
            session: Mutex::new(Session::signed_out()),
            connection: Mutex::new(Connection { state: ConnectionState::SignedOut, since: None }),
            signed_in: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            sso: Mutex::default(),
            registry: Mutex::default(),
            started: tokio::sync::watch::Sender::new(false),
            kept: tokio::sync::watch::Sender::new(KeptRows::Read),
            persist: Persist::default(),
            jobs: Mutex::default(),
            clipboard: Clipboard::default(),
            downloads: Downloads::open(home),
            viewing: Viewing::default(),
        }
    }

    /// What the user chose.
    pub(crate) fn preferences(&self) -> &Preferences {
        &self.preferences
    }

    /// Makes `channel` the one that the core speaks on, and says what holds now.
    pub(crate) fn subscribe(&self, channel: Channel<AppEvent>) {
        *lock(&self.channel) = Some(channel);
        self.emit(AppEvent::Clock { ahead_seconds: self.clock.ahead_seconds() });
        // Before the keychain has answered nobody knows who is signed in; it is told then.
        if *self.started.borrow() {
            self.emit(AppEvent::Session { session: lock(&self.session).clone() });
            self.emit(AppEvent::Connection { connection: self.connection() });
        }
        // A new page knows none of the rows yet. While they are read there was none before, and it is told of them then.
        let kept = self.kept.borrow().clone();
        let summary = match kept {
            KeptRows::Unread => None,
            KeptRows::Screen(screen) => Some(screen.summary.clone()),
            KeptRows::Read => {
                self.fleet().stop_watching();
                Some(self.summary())
            }
        };
        if let Some(summary) = summary {
            self.emit(AppEvent::Grid { summary, changes: None, cursor: None });
        }
        for job in self.jobs() {
            self.emit(AppEvent::Job { job });
        }
        for download in self.downloads.all_running() {
            self.emit(AppEvent::Download { download });
        }
        for error in std::mem::take(&mut *lock(&self.untold)) {
            self.emit(AppEvent::Notice { error });
        }
    }

    /// Tells the window, if there is one that listens.
    pub(crate) fn emit(&self, event: AppEvent) {
        let channel = lock(&self.channel).clone();
        if let Some(channel) = channel
            && let Err(error) = channel.send(event)
        {
            tracing::debug!(%error, "the window did not take an event");
        }
    }

    /// Tells the window of something that went wrong by itself, as soon as there is one.
    pub(crate) fn notice(&self, error: AppError) {
        if lock(&self.channel).is_some() {
            self.emit(AppEvent::Notice { error });
        } else {
            lock(&self.untold).push(error);
        }
    }

    /// How it stands between the app and the cloud.
    pub(crate) fn connection(&self) -> Connection {
        *lock(&self.connection)
    }

    /// Changes the grid's query.
    pub(crate) fn set_query(&self, query: &GridQuery) -> Result<GridSummary, AppError> {
        let now = self.now();
        let mut fleet = self.fleet();
        fleet.set_query(query, now)?;
        Ok(fleet.summary(now))
    }

    /// What the window shows around the grid.
    pub(crate) fn summary(&self) -> GridSummary {
        self.fleet().summary(self.now())
    }

    /// The same, as soon as there is something to show.
    pub(crate) async fn first_summary(&self) -> GridSummary {
        match self.screen().await {
            Some(screen) => screen.summary.clone(),
            None => self.summary(),
        }
    }

    /// The rows at these places, as soon as they are here.
    pub(crate) async fn grid_window(&self, offset: u32, limit: u32) -> GridWindow {
        if let Some(window) = self.screen().await.and_then(|screen| screen.window(offset, limit)) {
            return window;
        }
        self.rows_read().await;
        self.fleet().window(offset, limit, self.now())
    }

    /// Waits until the kept rows are read. Whoever asks for the rows before waits as well, but holds up a thread.
    pub(crate) async fn rows_read(&self) {
        self.kept_until(|kept| matches!(kept, KeptRows::Read)).await;
    }

    /// What was on screen, while that is all there is.
    async fn screen(&self) -> Option<Arc<Screen>> {
        match self.kept_until(|kept| !matches!(kept, KeptRows::Unread)).await {
            KeptRows::Screen(screen) => Some(screen),
            KeptRows::Unread | KeptRows::Read => None,
        }
    }

    async fn kept_until(&self, is_it: impl Fn(&KeptRows) -> bool) -> KeptRows {
        let mut kept = self.kept.subscribe();
        // It fails only without a sender, which is here.
        kept.wait_for(is_it).await.map_or(KeptRows::Read, |kept| kept.clone())
    }

    /// Says which store the keyboard is at, so that it stays there when rows move.
    pub(crate) fn set_cursor(&self, id: Option<&str>) {
        self.fleet().set_cursor(id.and_then(|id| id.parse().ok()));
    }

    /// One row.
    pub(crate) fn row(&self, id: &str) -> Option<Row> {
        self.fleet().row(id.parse().ok()?)
    }

    /// Changes the selection.
    pub(crate) fn select(&self, op: SelectOp) -> GridSummary {
        let now = self.now();
        let mut fleet = self.fleet();
        fleet.select(op, now);
        fleet.summary(now)
    }

    /// The selected rows.
    pub(crate) fn selected_rows(&self) -> Vec<Row> {
        self.fleet().selected_rows(self.now())
    }

    /// The first choices of the Organization field that match.
    pub(crate) fn outlet_options(&self, search: &str) -> OutletOptions {
        self.fleet().outlet_options(search)
    }

    /// The choice of the Organization field that stands for an outlet, or for a chain.
    pub(crate) fn outlet_option(&self, chain: Option<&str>, outlet: Option<&str>) -> Option<OutletOption> {
        let id = |id: Option<&str>| id.and_then(|id| id.parse().ok());
        self.fleet().outlet_option(id(chain), id(outlet))
    }

    /// The rows. Never held across an await.
    pub(crate) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        lock(&self.fleet)
    }

    /// Lets the window know soon that the rows changed.
    pub(crate) fn rows_changed(&self) {
        self.grid_changed.notify_one();
        self.changed.notify_one();
    }

    /// Waits until the rows or the connection have changed since the last time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says that the connection stands so; nothing if it did already.
    pub(crate) fn set_connection(&self, state: ConnectionState) {
        let connection = {
            let mut connection = lock(&self.connection);
            if connection.state == state {
                return;
            }
            *connection = Connection { state, since: Some(self.now()) };
            *connection
        };
        tracing::info!(state = ?connection.state, "connection");
        self.emit(AppEvent::Connection { connection });
        self.changed.notify_one();
    }

    /// The time, by the cloud's clock as far as it is known.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Takes the time that the cloud just told, and tells the window when it is not this computer's.
    pub(crate) fn set_clock(&self, told: DateTime<Utc>) {
        if !self.clock.set(told) {
            return;
        }
        let ahead_seconds = self.clock.ahead_seconds();
        tracing::warn!(ahead_seconds, "the cloud's clock differs from this computer's");
        self.emit(AppEvent::Clock { ahead_seconds });
        if ahead_seconds != 0 {
            self.notice(LocalCode::ClockOff.into());
        }
        self.rows_changed();
    }

    /// Says that rows arrive by themselves, or did until `heard_at`.
    pub(crate) fn set_live(&self, live: bool, heard_at: DateTime<Utc>) {
        self.fleet().set_live(live, heard_at);
        self.rows_changed();
    }

    /// Sends `grid` events while the rows change, the first at once, the others [`GRID_EVENTS_APART`].
    async fn tell_of_rows(self: Arc<Self>) {
        let mut told = None;
        self.rows_read().await;
        loop {
            self.grid_changed.notified().await;
            let (summary, changes, cursor) = {
                let now = self.now();
                let mut fleet = self.fleet();
                (fleet.summary(now), fleet.changes(now), fleet.cursor(now))
            };
            if told != Some(summary.version) {
                told = Some(summary.version);
                self.emit(AppEvent::Grid { summary, changes, cursor });
                tokio::time::sleep(GRID_EVENTS_APART).await;
            }
        }
    }
}

/// A lock whose holder panicked is as good as any: what it guards is replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
