//! The disk fills up under a running server, and is cleared again.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{ADMIN, PASSWORD, SOON};

/// Runs the server over a disk of 4 MiB that only it sees, with one admin.
const SCRIPT: &str = r#"
[ "$(id -u)" = 0 ] || user='--user --map-root-user'
exec unshare --mount $user sh -c '
    mount -t tmpfs -o size=4m none "$1" &&
    echo "$4" | "$2" user add --data-dir "$1" --email "$3" --name Admin --admin --password-stdin >/dev/null &&
    exec "$2" serve --data-dir "$1" --listen 127.0.0.1:0 --insecure-http
' sh "$@"
"#;

#[tokio::test]
async fn a_full_disk_is_told_and_needs_no_restart_afterwards() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = TempDir::new().unwrap();
    let mut server = tokio::process::Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(dir.path())
        .args([env!("CARGO_BIN_EXE_tillwatch-cloud"), ADMIN, PASSWORD])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let base = line.strip_prefix("listening on ").unwrap().to_owned();
    let http = Client::new();
    let sign_in = async || {
        let body = json!({"email": ADMIN, "password": PASSWORD});
        let answer = http.post(format!("{base}/api/v1/sessions")).json(&body).send().await.unwrap();
        let (status, retry) = (answer.status(), answer.headers().contains_key("retry-after"));
        (status.as_u16(), retry, answer.json::<Value>().await.unwrap())
    };
    let (status, _, session) = sign_in().await;
    assert_eq!(status, 200, "{session}");

    // What the server sees as its disk, from outside.
    let seen = PathBuf::from(format!("/proc/{}/root{}", server.id().unwrap(), dir.path().display()));
    let mut ballast = std::fs::File::create(seen.join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    // More than once: what one refusal leaves behind must not spoil the next write.
    let mut refusals = 0;
    while refusals < 3 {
        let (status, retry, answer) = sign_in().await;
        if status == 200 {
            continue;
        }
        assert!(retry);
        assert_eq!((&answer["status"], &answer["code"]), (&json!(503), &json!("unavailable")), "{answer}");
        assert_eq!(answer["detail"], "The disk of the database is full.");
        refusals += 1;
    }
    // What is there can still be read.
    let list = async |session: &Value| {
        let list = http.get(format!("{base}/api/v1/pos-servers"));
        list.bearer_auth(session["access_token"].as_str().unwrap()).send().await.unwrap().status()
    };
    assert_eq!(list(&session).await, 200);

    std::fs::remove_file(seen.join("ballast")).unwrap();
    drop(ballast);
    for _ in 0..3 {
        let (status, _, session) = sign_in().await;
        assert_eq!(status, 200, "{session}");
        assert_eq!(list(&session).await, 200, "what was answered is kept");
    }
}
