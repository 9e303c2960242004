//! A POS server whose database is one small file that says when it was made.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tillwatch_connector::pos::HostedCommand;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// The POS server's state, for stories to look at and to change.
pub(crate) struct PosState {
    pub(crate) database: PathBuf,
    pub(crate) running: bool,
    /// Takes requests and never answers.
    pub(crate) hangs: bool,
    pub(crate) version: String,
    pub(crate) unsent: Option<u64>,
    /// How far its clock is ahead.
    pub(crate) ahead: TimeDelta,
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    pub(crate) last_attempt_at: Option<DateTime<Utc>>,
    /// Exchanges fail with this.
    pub(crate) sync_error: Option<&'static str>,
    pub(crate) starts: usize,
    pub(crate) exchanges: usize,
}

/// A POS server.
#[derive(Clone)]
pub(crate) struct PosServer {
    pub(crate) url: String,
    pub(crate) state: Arc<Mutex<PosState>>,
    pub(crate) control: mpsc::Sender<HostedCommand>,
    /// Stops take no effect while this is true.
    pub(crate) stuck: Arc<watch::Sender<bool>>,
}

impl PosServer {
    /// Starts one whose database lies in a store's data dir, with `more` calls than those that each has.
    pub(crate) async fn start(data_dir: &Path, more: Router) -> Self {
        let database = data_dir.join("pos").join("pos.sqlite3");
        std::fs::create_dir_all(database.parent().unwrap()).unwrap();
        let state = Arc::new(Mutex::new(PosState {
            database,
            running: false,
            hangs: false,
            version: "34.5.2".into(),
            unsent: Some(0),
            ahead: TimeDelta::zero(),
            last_success_at: None,
            last_attempt_at: None,
            sync_error: None,
            starts: 0,
            exchanges: 0,
        }));
        state.lock().unwrap().open();
        let router = Router::new()
            .route("/report", get(report))
            .route("/exchange", post(exchange))
            .with_state(state.clone())
            .merge(more);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let (control, commands) = mpsc::channel(4);
        let stuck = Arc::new(watch::Sender::new(false));
        tokio::spawn(obey(commands, state.clone(), stuck.subscribe()));
        Self { url, state, control, stuck }
    }

    /// The database's bytes.
    pub(crate) fn database(&self) -> Option<Vec<u8>> {
        let path = self.state.lock().unwrap().database.clone();
        std::fs::read(path).ok()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut PosState)) {
        change(&mut self.state.lock().unwrap());
    }
}

impl PosState {
    /// Starts: makes a database if there is none.
    pub(crate) fn open(&mut self) {
        if !self.database.exists() {
            std::fs::write(&self.database, Utc::now().to_rfc3339()).unwrap();
            (self.last_success_at, self.last_attempt_at) = (None, None);
        }
        self.running = true;
        self.starts += 1;
    }
}

async fn obey(
    mut commands: mpsc::Receiver<HostedCommand>,
    state: Arc<Mutex<PosState>>,
    mut stuck: watch::Receiver<bool>,
) {
    while let Some(command) = commands.recv().await {
        let done = match command {
            HostedCommand::Start(done) => {
                let mut state = state.lock().unwrap();
                if !state.running {
                    state.open();
                }
                done
            }
            HostedCommand::Stop(done) => {
                stuck.wait_for(|stuck| !stuck).await.unwrap();
                state.lock().unwrap().running = false;
                done
            }
        };
        let _ = done.send(());
    }
}

async fn report(State(state): State<Arc<Mutex<PosState>>>) -> Response {
    if state.lock().unwrap().hangs {
        std::future::pending::<()>().await;
    }
    let state = state.lock().unwrap();
    let created_at = std::fs::read_to_string(&state.database).ok();
    if !state.running || created_at.is_none() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let error = state.sync_error.map(|code| {
        json!({"code": code, "message": "as the story wants", "since": "2026-11-02T04:10:00Z", "consecutive_failures": 2})
    });
    axum::Json(json!({
        "pos_version": state.version,
        "exchange": {"last_success_at": state.last_success_at, "last_attempt_at": state.last_attempt_at, "error": error},
        "database": {"created_at": created_at, "size_bytes": 35, "unsent_transactions": state.unsent},
    }))
    .into_response()
}

async fn exchange(State(state): State<Arc<Mutex<PosState>>>) -> Response {
    let mut state = state.lock().unwrap();
    if !state.running {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    state.exchanges += 1;
    state.last_attempt_at = Some(Utc::now() + state.ahead);
    if state.sync_error.is_none() {
        state.last_success_at = state.last_attempt_at;
    }
    StatusCode::ACCEPTED.into_response()
}
