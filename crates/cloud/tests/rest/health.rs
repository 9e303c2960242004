//! Whether the cloud says that it can serve, and when not, what is wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use tempfile::TempDir;
use tillwatch_cloud::config::{Config, Tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Asks until the answer is this: what was found out is known for some seconds.
async fn until(base: &str, failing: &Value) {
    let asked = Instant::now();
    loop {
        let answer = reqwest::get(format!("{base}/readyz")).await.unwrap();
        let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
        let text = answer.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if body["failing"] == *failing {
            if failing.is_null() {
                assert_eq!((status.as_u16(), text.as_str()), (204, ""));
            } else {
                assert_eq!((status.as_u16(), &body["code"]), (503, &json!("unavailable")));
                assert_eq!(kind.unwrap(), "application/problem+json");
                assert!(body["request_id"].is_string());
            }
            return;
        }
        assert!(asked.elapsed() < Duration::from_secs(30), "{text} is not {failing}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn sql(data_dir: &Path, sql: &str) {
    let file = data_dir.join("tillwatch.sqlite3");
    let database = Database::connect(format!("sqlite://{}?mode=rw", file.display())).await.unwrap();
    database.execute_unprepared(sql).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn each_part_that_fails_is_named_and_comes_back_by_itself() {
    let dir = TempDir::new().unwrap();
    let config = Config { tls: Tls::Insecure, drain: Duration::from_secs(1), ..Config::new(dir.path()) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(tillwatch_cloud::run(listener, config, shutdown.clone()));
    until(&base, &Value::Null).await;

    // As a full disk would: nothing can be written, and everything read.
    sql(dir.path(), "CREATE TRIGGER full BEFORE INSERT ON meta BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        .await;
    until(&base, &json!(["database_write"])).await;
    sql(dir.path(), "DROP TRIGGER full").await;
    until(&base, &Value::Null).await;

    sql(dir.path(), "ALTER TABLE revision RENAME TO elsewhere").await;
    until(&base, &json!(["database_read"])).await;
    sql(dir.path(), "ALTER TABLE elsewhere RENAME TO revision").await;
    until(&base, &Value::Null).await;

    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
