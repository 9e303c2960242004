//! What the cloud stands on fails, and comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use serde_json::json;
use tempfile::TempDir;
use tillwatch_cloud::config::Limits;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, JobFinished};
use tillwatch_protocol::rest::job::JobState;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::archives::{append, collecting, create, head, hex, noise, walk};
use crate::backends::{Backends, bucket, serve_s3};
use crate::support::{Cloud, SOON, hasty, report};

#[tokio::test]
async fn an_upload_and_a_download_wait_for_s3_to_come_back() {
    let root = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |listener, root: &TempDir| {
        let root = root.path().to_owned();
        tokio::spawn(async move { serve_s3(listener, &root).await })
    };
    let s3 = serve(listener, &root);
    let mut backends = Backends::new().await;
    backends.bucket = Some(bucket(address, "its/own"));
    let cloud = Cloud::on(backends, hasty(), Limits::default()).await;
    let (admin, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let content = noise(300_000);
    let created = create(&store, job, content.len(), &hex(&content), (1, 1)).await;
    let location = created.header("location").to_owned();
    assert_eq!(append(&store, &location, 0, &content[..100_000], &content[..100_000]).await.status, 204);

    s3.abort();
    assert!(s3.await.unwrap_err().is_cancelled());
    let refused = append(&store, &location, 100_000, &content[100_000..], &content[100_000..]).await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(head(&store, &location).await.header("upload-offset"), "100000");

    let s3 = serve(TcpListener::bind(address).await.unwrap(), &root);
    assert_eq!(
        append(&store, &location, 100_000, &content[100_000..], &content[100_000..]).await.status,
        204
    );
    let path = format!("/archives/{}/content", location.rsplit('/').next().unwrap());
    assert_eq!(admin.get(&path).await.bytes, content);
    assert_eq!(walk(&root.path().join("archives/its/own/uploads")), 2);

    s3.abort();
    assert!(s3.await.unwrap_err().is_cancelled());
    let refused = admin.get(&path).await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn each_piece_of_an_upload_is_hashed_once() {
    let cloud = Cloud::start().await;
    let (admin, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let content = noise(3000);
    let created = create(&store, job, content.len(), &hex(&content), (1, 1)).await;
    let location = created.header("location").to_owned();
    for at in [0, 1000] {
        let piece = &content[at..at + 1000];
        assert_eq!(append(&store, &location, at, piece, piece).await.status, 204);
    }
    // Would the cloud read them again, it would find nothing.
    std::fs::remove_dir_all(cloud.backends.archives()).unwrap();
    std::fs::create_dir(cloud.backends.archives()).unwrap();
    assert_eq!(append(&store, &location, 2000, &content[2000..], &content[2000..]).await.status, 204);
    let path = format!("/archives/{}/content", location.rsplit('/').next().unwrap());
    assert_eq!(admin.get(&path).await.problem(), (500, "internal"));
}

#[tokio::test]
async fn postgres_goes_and_comes_back_and_nothing_is_lost() {
    // Only where there is a Postgres.
    let Some(backends) = Backends::alone().await else { return };
    let postgres = backends.cluster().unwrap();
    let cloud = Cloud::on(backends, hasty(), Limits::default()).await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, |status| status["link"]["state"] == "online").await;

    postgres.tell("postgres stop");
    let refused = admin.get("/pos-servers").await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    let ready = || async { reqwest::get(format!("{}/readyz", cloud.base)).await.unwrap().status() };
    assert_eq!(ready().await, 503);
    // The link is still there, and what is told on it now is written when that can be done.
    let mut newer = report();
    newer.report.pos_version = Some("34.9.0".into());
    line.say(&ConnectorFrame::Report { report: newer }).await;

    postgres.tell("postgres start");
    let started = Instant::now();
    while ready().await != 204 {
        assert!(started.elapsed() < SOON);
        sleep(Duration::from_millis(20)).await;
    }
    let status = admin.when(&store, |status| status["pos"]["version"] == "34.9.0").await;
    assert_eq!(status["link"]["state"], "online");
    let job = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, job);

    // Shorter than anybody waits: it is not noticed.
    postgres.tell("postgres stop");
    postgres.tell("postgres start");
    line.say(&ConnectorFrame::JobAccepted { id: job }).await;
    admin.when_job(job, "in_progress").await;
}

/// What was begun for nobody would show whoever gets its connection what there was then: a revoked session as valid.
#[tokio::test]
async fn requests_that_were_given_up_leave_nothing_begun() {
    const AWAY: Duration = Duration::from_millis(20);
    let Some(cloud) = Cloud::far_from_postgres(AWAY).await else { return };
    let admin = cloud.admin().await;
    let database = Database::connect(cloud.backends.database_url().unwrap()).await.unwrap();
    let connections = async |column: &str, which: &str| -> BTreeSet<String> {
        let of = "datname = current_database() AND application_name = 'tillwatch-cloud'";
        let sql = format!("SELECT {column}::text FROM pg_stat_activity WHERE {of} AND {which}");
        let rows = database.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    };

    // What is answered costs no connection.
    let before = connections("pid", "true").await;
    for _ in 0..8 {
        assert_eq!(admin.get("/pos-servers").await.status, 200);
    }
    assert!(connections("pid", "true").await.is_superset(&before));

    // Between two statements of a request, or of a chore, an answer is on its way once or twice.
    let left = "state LIKE 'idle in%' AND state_change < now() - interval '500 milliseconds'";
    // They are given up a little later each time, among others while they wait for the answer to their BEGIN.
    for quarters in 22..32 {
        let pages = join_all((0..4).map(|_| admin.get("/pos-servers")));
        let _ = timeout(AWAY * quarters / 4, pages).await;
        sleep(AWAY * 30).await;
        assert_eq!(connections("query", left).await, BTreeSet::new(), "after {quarters}");
    }
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_result_with_a_character_that_cannot_be_kept_ends_its_job_all_the_same() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let job = admin.started(&store, &json!({"kind": "diagnose"})).await;
    line.job().await;
    line.say(&ConnectorFrame::JobAccepted { id: job }).await;
    let result = Some(json!({"checks": [{"name": "d\0ns", "ok": true, "millis": 1, "detail": "\0"}]}));
    let finished = JobFinished { id: job, state: JobState::Succeeded, result, error: None };
    line.say(&ConnectorFrame::JobFinished(finished)).await;
    assert_eq!(line.hear().await, CloudFrame::Ack { id: job });
    assert_eq!(admin.when_job(job, "succeeded").await["result"]["checks"][0]["name"], "dns");
}
