//! What Prometheus fetches: from the program itself, as the numbers are those of a whole process.

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Stdio;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tillwatch_cloud::admin;
use tillwatch_cloud::store::Store;
use tillwatch_protocol::device::{DeviceKey, Signer};
use tillwatch_protocol::link::SUBPROTOCOL;
use tillwatch_protocol::rest::enroll::Enrolled;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{ADMIN, HEADER, PASSWORD, SOON};

/// Every series with its value, as `name{label="value"}`.
type Samples = BTreeMap<String, f64>;

struct Watched {
    process: Child,
    base: String,
    metrics: String,
    store: Store,
    http: Client,
    dir: TempDir,
}

impl Watched {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_tillwatch-cloud"))
            .args(["serve", "--insecure-http", "--listen", "127.0.0.1:0", "--drain", "PT1S"])
            .args(["--metrics-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path())
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let metrics = async {
            loop {
                let line = log.next_line().await.unwrap().expect("the log goes on");
                if let Some((_, url)) = line.split_once("metrics on ") {
                    return url.trim().to_owned();
                }
            }
        };
        let metrics = tokio::time::timeout(SOON, metrics).await.unwrap();
        // The log is read to its end, or the program would wait for somebody to read it.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
        let base = format!("{}/api/v1", line.strip_prefix("listening on ").unwrap());
        let store = Store::open(dir.path(), None).await.unwrap();
        let password = Some(PASSWORD.to_owned());
        admin::add_user(&store, ADMIN, "Admin", true, password, Utc::now()).await.unwrap();
        Self { process, base, metrics, store, http: Client::new(), dir }
    }

    async fn scrape(&self) -> Samples {
        let answer = self.http.get(&self.metrics).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        parse(&answer.text().await.unwrap())
    }

    /// Fetches until the numbers are as they should be.
    async fn until(&self, is: impl Fn(&Samples) -> bool) -> Samples {
        let asked = Instant::now();
        loop {
            let samples = self.scrape().await;
            if is(&samples) {
                return samples;
            }
            assert!(asked.elapsed() < SOON, "{samples:#?}");
        }
    }

    async fn sign_in(&self, password: &str) -> (StatusCode, Value) {
        let body = json!({"email": ADMIN, "password": password});
        let answer = self.http.post(format!("{}/sessions", self.base)).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

/// Reads the text format, and accepts nothing that a strict reader would not.
fn parse(text: &str) -> Samples {
    assert!(text.ends_with('\n'));
    let (mut kinds, mut told, mut samples) = (HashMap::new(), HashSet::new(), Samples::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && told.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        assert!(name.starts_with("tillwatch_") && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once("=\"").unwrap();
            let value = value.strip_suffix('"').unwrap();
            assert!(key.bytes().all(|b| b.is_ascii_lowercase()), "{line}");
            // Ids, e-mails and texts of stores have no business here.
            assert!(value.len() <= 60 && !value.contains(['@', '"', '\\']), "{line}");
            assert!(!value.split(['/', ' ']).any(|part| uuid::Uuid::parse_str(part).is_ok()), "{line}");
        }
        let of = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        assert!(kinds.contains_key(of) && told.contains(of), "{line} comes before its kind");
        let value: f64 = value.parse().unwrap();
        assert!(samples.insert(series.to_owned(), value).is_none(), "{line} comes twice");
    }
    for (name, kind) in kinds {
        let own: Vec<_> = samples.iter().filter(|(series, _)| series.starts_with(&name)).collect();
        assert!(!own.is_empty(), "{name} has no series");
        assert!(kind == "gauge" || own.iter().all(|(_, value)| **value >= 0.0), "{name}");
        if kind == "histogram" {
            let count = |suffix| own.iter().any(|(series, _)| series.starts_with(&format!("{name}{suffix}")));
            assert!(count("_bucket") && count("_sum") && count("_count"), "{name}");
        }
    }
    samples
}

#[tokio::test]
async fn archives_that_cannot_be_stored_are_told_and_take_no_node_out_of_service() {
    let cloud = Watched::start().await;
    let archives = cloud.dir.path().join("archives");
    let are = |ready: f64| move |samples: &Samples| sum(samples, "tillwatch_archives_ready", &[]) == ready;
    cloud.until(are(1.0)).await;

    std::fs::remove_dir_all(&archives).unwrap();
    std::fs::write(&archives, "not a folder").unwrap();
    cloud.until(are(0.0)).await;
    let readyz = cloud.base.replace("/api/v1", "/readyz");
    let ready = cloud.http.get(readyz).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::NO_CONTENT);
    assert_eq!(sum(&cloud.scrape().await, "tillwatch_ready", &[]), 1.0);

    std::fs::remove_file(&archives).unwrap();
    std::fs::create_dir(&archives).unwrap();
    cloud.until(are(1.0)).await;
}

/// The sum over all series of a metric that have all these labels.
fn sum(samples: &Samples, name: &str, labels: &[&str]) -> f64 {
    let of = |series: &str| series.split('{').next() == Some(name);
    let has = |series: &str| labels.iter().all(|label| series.contains(label));
    samples.iter().filter(|(series, _)| of(series) && has(series)).map(|(_, value)| value).sum()
}

#[tokio::test]
async fn the_numbers_move_with_what_happens() {
    let cloud = Watched::start().await;
    let first = cloud.scrape().await;
    assert_eq!(sum(&first, "tillwatch_links", &[]), 0.0);
    assert_eq!(sum(&first, "tillwatch_ready", &[]), 1.0);
    assert_eq!(sum(&first, "tillwatch_bus_connected", &[]), 1.0);
    assert_eq!(sum(&first, "tillwatch_build_info", &[env!("CARGO_PKG_VERSION")]), 1.0);
    #[cfg(target_os = "linux")]
    {
        let memory = sum(&first, "tillwatch_process_resident_memory_bytes", &[]);
        assert!((1e6..1e9).contains(&memory), "{memory}");
        let started_at = sum(&first, "tillwatch_process_start_time_seconds", &[]);
        assert!((started_at - Utc::now().timestamp() as f64).abs() < 60.0, "{started_at}");
        assert!(sum(&first, "tillwatch_process_open_fds", &[]) >= 5.0);
        assert!(sum(&first, "tillwatch_process_max_fds", &[]) >= 256.0);
    }

    // People: a wrong password, a right one, a stream of events, an address that is none.
    assert_eq!(cloud.sign_in("not the password").await.0, StatusCode::UNAUTHORIZED);
    let token = cloud.sign_in(PASSWORD).await.1["access_token"].as_str().unwrap().to_owned();
    let manager = |method: Method, path: &str| {
        cloud.http.request(method, format!("{}{path}", cloud.base)).bearer_auth(&token)
    };
    let events = manager(Method::GET, "/events").send().await.unwrap();
    for path in ["/jobs/0190a6c8-0000-7000-8000-000000000000", "/nonsense", "/nonsense/too"] {
        assert_eq!(manager(Method::GET, path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    let samples = cloud.until(|now| sum(now, "tillwatch_event_streams", &[]) == 1.0).await;
    assert_eq!(sum(&samples, "tillwatch_sign_ins_total", &["password", "refused"]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_sign_ins_total", &["password", "ok"]), 1.0);
    let requests = |now: &Samples, labels: &[&str]| sum(now, "tillwatch_http_requests_total", labels);
    assert_eq!(requests(&samples, &["POST", "\"/api/v1/sessions\"", "2xx"]), 1.0);
    assert_eq!(requests(&samples, &["POST", "\"/api/v1/sessions\"", "4xx"]), 1.0);
    assert_eq!(requests(&samples, &["GET", "\"/api/v1/jobs/{id}\"", "4xx"]), 1.0);
    assert_eq!(requests(&samples, &["GET", "\"none\"", "4xx"]), 2.0);
    assert_eq!(sum(&samples, "tillwatch_http_request_seconds_count", &["/api/v1/sessions"]), 2.0);
    assert!(sum(&samples, "tillwatch_store_write_seconds_count", &[]) >= 2.0);
    drop(events);
    cloud.until(|now| sum(now, "tillwatch_event_streams", &[]) == 0.0).await;

    // A store: enrolled, connected, failing with a code that it made up, exchanging.
    let file = format!("{HEADER}Pizza,Riga,1,,Europe/Riga,Main\n");
    let imported = admin::import_fleet(&cloud.store, file.as_bytes(), Utc::now()).await.unwrap().remove(0);
    let key = DeviceKey::generate();
    let body = json!({"code": imported.enrollment_code, "public_key": key.public_key()});
    let enrolled = cloud.http.post(format!("{}/enroll", cloud.base)).json(&body).send().await.unwrap();
    let enrolled: Enrolled = enrolled.json().await.unwrap();
    let signer = Signer::new(&key.into_identity(cloud.base.parse().unwrap(), enrolled)).unwrap();
    let store = |method: Method, path: &str| {
        cloud.http.request(method, format!("{}{path}", cloud.base)).bearer_auth(signer.token(Utc::now()))
    };
    let link = format!("{}/link", cloud.base.replace("http", "ws"));
    let mut request = link.into_client_request().unwrap();
    let bearer = format!("Bearer {}", signer.token(Utc::now()));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
    let (mut line, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let error = json!({"code": "made\"up\nby{a=\"vendor\"}", "message": "", "since": Utc::now(), "consecutive_failures": 1});
    let report = json!({"pos_state": "running", "pos_version": "34.5.2", "exchange": {"error": error}});
    let hello = json!({"type": "hello", "connector_version": "0.1.0", "boot_id": uuid::Uuid::now_v7(),
        "started_at": Utc::now(), "report": report, "unfinished_jobs": [], "drops": 0});
    for frame in [hello, json!({"type": "report", "report": report})] {
        line.send(Message::text(frame.to_string())).await.unwrap();
    }
    let exchange = store(Method::POST, "/exchange")
        .json(&json!({"cursor": 0, "checksum": "", "transactions": []}))
        .send()
        .await
        .unwrap();
    assert_eq!(exchange.status(), StatusCode::OK, "{}", exchange.text().await.unwrap());
    let samples = cloud
        .until(|now| {
            sum(now, "tillwatch_links", &[]) >= 1.0
                && sum(now, "tillwatch_exchange_errors_reported_total", &[]) >= 1.0
                && sum(now, "tillwatch_inbox_batch_rows_sum", &[]) >= 1.0
        })
        .await;
    assert_eq!(sum(&samples, "tillwatch_links", &[]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_hellos_total", &["welcomed"]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_exchange_errors_reported_total", &["\"other\""]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_exchanges_total", &["\"ok\""]), 1.0);

    // A job, accepted, with an archive.
    let day_ago = Utc::now() - chrono::TimeDelta::days(1);
    let wish = json!({"kind": "retrieve_logs", "from": day_ago, "to": Utc::now(), "max_bytes": 1_000_000});
    let path = format!("/pos-servers/{}/jobs", imported.pos_server_id);
    let answer = manager(Method::POST, &path).json(&wish).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let job: Value = answer.json().await.unwrap();
    let samples = cloud.scrape().await;
    assert_eq!(sum(&samples, "tillwatch_jobs", &["retrieve_logs", "queued"]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_jobs", &[]), 1.0);
    line.send(Message::text(json!({"type": "job_accepted", "id": job["id"]}).to_string())).await.unwrap();
    let samples = cloud.until(|now| sum(now, "tillwatch_jobs", &["in_progress"]) == 1.0).await;
    assert_eq!(sum(&samples, "tillwatch_dispatch_seconds_count", &[]), 1.0);
    assert!(sum(&samples, "tillwatch_dispatch_seconds_sum", &[]) < 10.0);
    let content = b"PK\x03\x04 and no more of a zip".to_vec();
    let members = [
        ("job_id", job["id"].as_str().unwrap().to_owned()),
        ("sha256", format!("{:x}", Sha256::digest(&content))),
        ("from", day_ago.to_rfc3339()),
        ("to", Utc::now().to_rfc3339()),
        ("part", "1".into()),
        ("parts", "1".into()),
    ];
    let metadata: Vec<String> =
        members.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    let created = store(Method::POST, "/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", content.len())
        .header("upload-metadata", metadata.join(","))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let location = created.headers()["location"].to_str().unwrap().strip_prefix("/api/v1").unwrap();
    let length = content.len() as f64;
    let taken = store(Method::PATCH, location)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", 0)
        .header("content-type", "application/offset+octet-stream")
        .body(content)
        .send()
        .await
        .unwrap();
    assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    let finished = json!({"type": "job_finished", "id": job["id"], "state": "succeeded", "result": {}});
    line.send(Message::text(finished.to_string())).await.unwrap();
    let samples = cloud
        .until(|now| sum(now, "tillwatch_job_changes_total", &["retrieve_logs", "succeeded"]) == 1.0)
        .await;
    assert_eq!(sum(&samples, "tillwatch_job_changes_total", &["queued"]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_job_changes_total", &["in_progress"]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_upload_bytes_total", &[]), length);
    assert_eq!(sum(&samples, "tillwatch_archives_stored_total", &[]), 1.0);

    // Its end.
    line.send(Message::text(json!({"type": "bye", "reason": "stopping"}).to_string())).await.unwrap();
    while let Some(Ok(_)) = line.next().await {}
    let samples = cloud.until(|now| sum(now, "tillwatch_links", &[]) == 0.0).await;
    assert_eq!(sum(&samples, "tillwatch_link_ends_total", &["bye"]), 1.0);
    assert_eq!(sum(&samples, "tillwatch_link_ends_total", &[]), 1.0);
}

/// A process of a cloud that logs everything to a pipe, and its address.
async fn logging(dir: &TempDir, format: &str) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_tillwatch-cloud"))
        .args(["serve", "--insecure-http", "--listen", "127.0.0.1:0", "--log-format", format, "--data-dir"])
        .arg(dir.path())
        .env("RUST_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    (process, line.strip_prefix("listening on ").unwrap().to_owned())
}

#[tokio::test]
async fn a_json_log_is_one_object_a_line_and_names_the_request() {
    let dir = TempDir::new().unwrap();
    let (mut process, base) = logging(&dir, "json").await;
    let body = json!({"email": "somebody@example.com", "password": "a secret of mine"});
    let request = Client::new().post(format!("{base}/api/v1/sessions")).header("x-request-id", "mine-1");
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-1");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["request_id"], "mine-1");

    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let of_request = async {
        let mut refusal = Value::Null;
        loop {
            let line = log.next_line().await.unwrap().expect("the log goes on");
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line} is no JSON"));
            assert!(entry["timestamp"].is_string() && entry["level"].is_string(), "{line}");
            for secret in ["somebody@example.com", "a secret of mine"] {
                assert!(!line.contains(secret), "{line}");
            }
            if entry["message"] == "a request was refused" {
                refusal = entry;
            } else if entry["message"] == "answered" {
                return (refusal, entry);
            }
        }
    };
    let (refusal, answered) = tokio::time::timeout(SOON, of_request).await.unwrap();
    assert_eq!((&answered["span"]["id"], &answered["status"]), (&json!("mine-1"), &json!(401)));
    assert_eq!((&refusal["span"]["id"], &refusal["code"]), (&json!("mine-1"), &json!("invalid_credentials")));
    assert_eq!(refusal["level"], "INFO", "it is logged also when nobody asks for more");
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nobody() {
    let dir = TempDir::new().unwrap();
    let (_process, base) = logging(&dir, "text").await;
    let address = format!("{base}/api/v1/me");
    let client = Client::new();
    // Some lines each: many times what the pipe holds.
    for _ in 0..2000 {
        let answer = tokio::time::timeout(SOON, client.get(&address).send()).await.expect("it goes on");
        assert_eq!(answer.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_listener_ends_with_the_cloud_though_somebody_holds_a_line_to_it() {
    let mut cloud = Watched::start().await;
    cloud.scrape().await;
    let address = cloud.metrics.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let _held = tokio::net::TcpStream::connect(address).await.unwrap();
    let id = cloud.process.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").arg(&id).status().unwrap().success());
    let status = tokio::time::timeout(SOON, cloud.process.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}
