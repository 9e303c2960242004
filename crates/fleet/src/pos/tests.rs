use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use chrono_tz::Tz;
use tillwatch_connector::cloud_client::Transport;
use tillwatch_protocol::device::DeviceKey;
use tillwatch_protocol::exchange::{Change, Program, Row, RowChange, checksum};
use tillwatch_protocol::ids::{CloudId, DeviceId, PosServerId};
use tillwatch_protocol::rest::enroll::Enrolled;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;

type Changes = Arc<Mutex<Vec<Change>>>;

/// A cloud that has these programs and does nothing but exchange.
async fn cloud(changes: &Changes) -> url::Url {
    async fn exchange(
        State(changes): State<Changes>,
        Json(request): Json<ExchangeRequest>,
    ) -> Json<ExchangeAnswer> {
        let changes = changes.lock().unwrap();
        let rows = changes.iter().map(|change| match &change.row {
            RowChange::Upsert { row } => row,
            RowChange::Delete { .. } => unreachable!("this cloud deletes nothing"),
        });
        let start = usize::try_from(request.cursor).unwrap();
        let end = changes.len().min(start + 2);
        Json(ExchangeAnswer {
            changes: changes[start..end].to_vec(),
            cursor: end as i64,
            checksum: (end == changes.len()).then(|| checksum(rows)),
            more: end < changes.len(),
        })
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/api/v1/exchange", post(exchange)).with_state(Arc::clone(changes));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}").parse().unwrap()
}

fn programs(count: u128) -> Changes {
    let upsert = |number| {
        let program = Program {
            id: Uuid::from_u128(number),
            name: format!("Program {number}"),
            bonus_basis_points: 500,
            active: true,
        };
        Change { id: Uuid::new_v4(), row: RowChange::Upsert { row: Row::Programs(program) } }
    };
    Arc::new(Mutex::new((1..=count).map(upsert).collect()))
}

/// A simulated POS server and the ends by which its connector reaches it.
struct Store {
    hosted: mpsc::Sender<HostedCommand>,
    asks: mpsc::Sender<Ask>,
    reports: watch::Receiver<Option<Report>>,
    _stop: tokio_util::sync::DropGuard,
}

impl Store {
    fn start(dir: &Path, trouble: Trouble, cloud: url::Url) -> Self {
        let enrolled = Enrolled {
            device_id: DeviceId::new(),
            cloud_id: CloudId::new(),
            pos_server_id: PosServerId::new(),
            outlet: "Riga Centrs".into(),
            time_zone: "Europe/Riga".into(),
        };
        let past = Past::of(enrolled.pos_server_id, trouble, Utc::now());
        let identity = DeviceKey::generate().into_identity(cloud, enrolled);
        let client = CloudClient::new(&identity, Transport::new(None, None).unwrap()).unwrap();
        let (hosted, orders) = mpsc::channel(1);
        let (asks, asked) = mpsc::channel(1);
        let (reporting, reports) = watch::channel(None);
        let shutdown = CancellationToken::new();
        let ends = Ends { hosted: orders, asks: asked, reports: reporting };
        let log = Log::new(dir, Tz::Europe__Riga);
        let setup =
            Setup { data_dir: dir.to_owned(), trouble, past, client, log, first_after: Duration::ZERO };
        tokio::spawn(run(setup, ends, shutdown.clone()));
        Self { hosted, asks, reports, _stop: shutdown.drop_guard() }
    }

    async fn exchange(&self) -> Report {
        let (done, exchanged) = oneshot::channel();
        self.asks.send(done).await.unwrap();
        exchanged.await.unwrap();
        self.reports.borrow().clone().unwrap()
    }

    async fn code(&self) -> Option<String> {
        self.exchange().await.exchange.error.map(|error| error.code)
    }

    async fn order(&self, command: impl FnOnce(oneshot::Sender<()>) -> HostedCommand) {
        let (done, answer) = oneshot::channel();
        self.hosted.send(command(done)).await.unwrap();
        answer.await.unwrap();
    }
}

#[tokio::test]
async fn a_reset_heals_an_inconsistent_database_for_good() {
    let cloud = cloud(&programs(5)).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), Trouble::Inconsistent, cloud.clone());
    let before = store.exchange().await;
    let error = before.exchange.error.unwrap();
    assert_eq!(error.code, "database_inconsistent");
    assert!(error.consecutive_failures > 100 && error.since < Utc::now() - chrono::TimeDelta::hours(2));
    assert_eq!(store.code().await.as_deref(), Some("database_inconsistent"));

    store.order(HostedCommand::Stop).await;
    assert_eq!(*store.reports.borrow(), None, "a stopped POS server reports nothing");
    std::fs::rename(dir.path().join(database::DATABASE_FILE), dir.path().join("backup")).unwrap();
    store.order(HostedCommand::Start).await;

    let after = store.exchange().await;
    assert_eq!(after.exchange.error, None);
    assert!(after.database.created_at.unwrap() > before.database.created_at.unwrap());
    assert_eq!(Database::new(dir.path()).read().unwrap().rows.len(), 5);
    // Neither does a later database have the trouble of the first.
    drop(store);
    std::fs::remove_file(dir.path().join(database::DATABASE_FILE)).unwrap();
    assert_eq!(Store::start(dir.path(), Trouble::Inconsistent, cloud).code().await, None);
}

#[tokio::test]
async fn a_store_that_is_well_follows_the_cloud_and_finds_what_was_changed_behind_its_back() {
    let changes = programs(3);
    let cloud = cloud(&changes).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), Trouble::None, cloud);
    assert_eq!(store.code().await, None);
    changes.lock().unwrap().extend(programs(9).lock().unwrap().split_off(3));
    assert_eq!(store.code().await, None);
    let database = Database::new(dir.path());
    let mut content = database.read().unwrap();
    assert_eq!(content.rows.len(), 9);
    content.rows.pop();
    database.write(&content).unwrap();
    assert_eq!(store.code().await.as_deref(), Some("database_inconsistent"));
    std::fs::write(dir.path().join(database::DATABASE_FILE), "torn").unwrap();
    assert_eq!(store.code().await.as_deref(), Some("database_corrupt"));
}

#[tokio::test]
async fn a_full_disk_keeps_failing_and_is_in_the_log() {
    let cloud = cloud(&programs(1)).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), Trouble::DiskFull, cloud);
    assert_eq!(store.code().await.as_deref(), Some("disk_full"));
    let log = std::fs::read_to_string(dir.path().join(log::LOG_DIR).join("pos.log")).unwrap();
    assert!(log.contains("not enough space on the disk"), "{log}");
}

#[tokio::test]
async fn a_cloud_that_is_away_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), Trouble::None, format!("http://{nobody}").parse().unwrap());
    assert_eq!(store.code().await.as_deref(), Some("cloud_unreachable"));
}
