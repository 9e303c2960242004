//! The program itself: its command line, its certificate, and working beside a running server.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use reqwest::{Certificate, Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::backends::Backends;
use crate::support::{HEADER, SOON};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tillwatch-cloud");

/// What the environment says of where the data is.
type Place = [(&'static str, String)];

/// A place that is a folder alone, whatever the other tests run over.
fn folder(path: &Path) -> Vec<(&'static str, String)> {
    vec![("TILLWATCH_CLOUD_DATA_DIR", path.display().to_string())]
}

/// A place over what this run of the tests is about.
fn place(backends: &Backends) -> Vec<(&'static str, String)> {
    let mut place = folder(backends.data_dir.path());
    place.extend(backends.database_url().map(|url| ("TILLWATCH_CLOUD_DATABASE_URL", url)));
    place
}

fn run(place: &Place, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .envs(place.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn succeed(place: &Place, arguments: &[&str], input: &str) -> String {
    let output = run(place, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(place: &Place, arguments: &[&str]) -> String {
    let output = run(place, arguments, "");
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

struct Server {
    process: tokio::process::Child,
    url: String,
}

async fn serve(place: &Place, arguments: &[&str]) -> Server {
    let mut process = tokio::process::Command::new(PROGRAM)
        .arg("serve")
        .args(arguments)
        .envs(place.iter().cloned())
        .env("TILLWATCH_CLOUD_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    Server { process, url }
}

/// A client that trusts nothing but the certificate in the data dir.
fn client(data_dir: &Path) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(data_dir.join("tls/cert.pem")).unwrap();
    Client::builder().tls_certs_only([Certificate::from_pem(&pem).unwrap()]).build().unwrap()
}

async fn sign_in(client: &Client, url: &str, email: &str, password: &str) -> String {
    let body = json!({"email": email, "password": password});
    let response = client.post(format!("{url}/api/v1/sessions")).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

async fn get(client: &Client, url: &str, token: &str) -> Value {
    client.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn sessions_outlive_new_keys() {
    let backends = Backends::new().await;
    let data = place(&backends);
    let mut server = serve(&data, &[]).await;
    let password = succeed(&data, &["user", "add", "--email", "anna@example.com", "--name", "Anna"], "");
    let client = client(backends.data_dir.path());
    let post = async |url: &str, path: &str, body: Value| -> Value {
        let response = client.post(format!("{url}/api/v1{path}")).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    };
    let body = json!({"email": "anna@example.com", "password": password.trim()});
    let begun = post(&server.url, "/sessions", body).await;

    assert!(succeed(&data, &["keys", "renew"], "").contains("restart the nodes"));
    let body = json!({"refresh_token": begun["refresh_token"]});
    let refreshed = post(&server.url, "/sessions/refresh", body).await;
    server.process.kill().await.unwrap();
    let server = serve(&data, &[]).await;
    let body = json!({"refresh_token": refreshed["refresh_token"]});
    let refreshed = post(&server.url, "/sessions/refresh", body).await;
    // By the old key this one would be known as used, and end the session.
    let used = json!({"refresh_token": begun["refresh_token"]});
    let refused = client.post(format!("{}/api/v1/sessions/refresh", server.url)).json(&used).send().await;
    assert_eq!(refused.unwrap().status(), StatusCode::UNAUTHORIZED);

    let me = format!("{}/api/v1/me", server.url);
    let me = get(&client, &me, refreshed["access_token"].as_str().unwrap()).await;
    assert_eq!(me["user"]["name"], "Anna");
    assert!(succeed(&data, &["audit", "verify"], "").contains("the chain is whole"));
}

#[tokio::test]
async fn commands_work_beside_a_running_server_which_follows_at_once() {
    let dir = TempDir::new().unwrap();
    let backends = Backends::new().await;
    let data = place(&backends);
    let mut server = serve(&data, &[]).await;
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let password = succeed(&data, &["user", "add", "--email", "anna@example.com", "--name", "Anna"], "");
    let client = client(backends.data_dir.path());
    let token = sign_in(&client, &server.url, "anna@example.com", password.trim()).await;
    let list = format!("{}/api/v1/pos-servers", server.url);
    assert_eq!(get(&client, &list, &token).await["items"], json!([]));
    let mut events =
        client.get(format!("{}/api/v1/events", server.url)).bearer_auth(&token).send().await.unwrap();

    let file = dir.path().join("fleet.csv");
    let lines = "Pizza,Riga 1,007,,Europe/Riga,Main POS\nPizza,\"Riga, 2\",008,,Europe/Riga,Main POS\n";
    std::fs::write(&file, format!("{HEADER}{lines}")).unwrap();
    let printed = succeed(&data, &["fleet", "import", file.to_str().unwrap()], "");
    let grant =
        ["user", "grant", "--email", "anna@example.com", "--chain", "Pizza", "--permission", "outlet_setup"];
    succeed(&data, &[&grant[..], &["retrieve_logs"]].concat(), "");
    let granted = Instant::now();

    let mut told = String::new();
    while !told.contains("event: resync") {
        let chunk = tokio::time::timeout(SOON, events.chunk()).await.unwrap().unwrap().unwrap();
        told.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(granted.elapsed().as_secs() < 2, "{:?}", granted.elapsed());
    let mut rows = printed.lines();
    assert_eq!(rows.next(), Some("pos_server_id,outlet,enrollment_code"));
    assert!(rows.next().unwrap().contains(",Riga 1,"));
    assert!(rows.next().unwrap().contains(",\"Riga, 2\","));
    let items = get(&client, &list, &token).await["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2);

    succeed(&data, &["release", "require", "--chain", "Pizza", "--pos-version", "34.6.0"], "");
    let status = get(&client, &list, &token).await["items"][0].clone();
    assert_eq!(status["pos"]["required_version"], "34.6.0");
    assert!(succeed(&data, &["audit", "verify"], "").contains("the chain is whole"));

    // SIGTERM ends it in good order, although somebody follows events.
    #[cfg(unix)]
    {
        let id = server.process.id().unwrap().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        let status = tokio::time::timeout(SOON, server.process.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn the_certificate_stays_and_its_key_is_private() {
    let dir = TempDir::new().unwrap();
    let first = serve(&folder(dir.path()), &[]).await;
    let cert = std::fs::read(dir.path().join("tls/cert.pem")).unwrap();
    let by_name = first.url.replace("127.0.0.1", "localhost");
    let answer = client(dir.path()).get(format!("{by_name}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    drop(first);
    let _second = serve(&folder(dir.path()), &[]).await;
    assert_eq!(std::fs::read(dir.path().join("tls/cert.pem")).unwrap(), cert);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join("tls/key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_file_configures_and_flags_win_over_it() {
    let dir = TempDir::new().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let config = dir.path().join("cloud.toml");
    let database = elsewhere.join("cloud.sqlite3");
    let url = format!("sqlite://{}", database.display());
    std::fs::write(
        &config,
        format!("insecure_http = true\ndatabase_url = \"{url}\"\nlisten = \"192.0.2.1:1\"\n"),
    )
    .unwrap();

    let server = serve(&folder(&dir.path().join("data")), &["--config", config.to_str().unwrap()]).await;

    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    assert!(database.exists());
    std::fs::write(&config, "insecure_htp = true\n").unwrap();
    let told = fail(&folder(dir.path()), &["serve", "--config", config.to_str().unwrap()]);
    assert!(told.contains("insecure_htp"), "{told}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let backends = Backends::new().await;
    let data = &place(&backends);
    let add = ["user", "add", "--name", "A", "--email"];
    assert!(fail(data, &[&add[..], &["nonsense"]].concat()).contains("e-mail"));
    succeed(data, &[&add[..], &["a@b.c", "--admin", "--password-stdin"]].concat(), "password one\n");
    assert!(fail(data, &[&add[..], &["A@B.C"]].concat()).contains("already"));
    assert!(fail(data, &[&add[..], &["b@b.c", "--password-stdin"]].concat()).contains("at least 8"));
    let grant = ["user", "grant", "--email", "a@b.c"];
    assert!(
        fail(data, &[&grant[..], &["--all", "--permission", "everything"]].concat()).contains("outlet_setup")
    );
    assert!(fail(data, &[&grant[..], &["--permission", "relay"]].concat()).contains("--chain"));
    assert!(
        fail(data, &[&grant[..], &["--chain", "X", "--permission", "relay"]].concat())
            .contains("no chain `X`")
    );
    assert!(
        fail(data, &["release", "require", "--chain", "X", "--pos-version", "v1"]).contains("not a version")
    );
    assert!(fail(data, &["fleet", "import", "/nonexistent.csv"]).contains("nonexistent.csv"));
    assert!(
        fail(data, &["serve", "--database-url", "mysql://localhost/x"]).contains("sqlite: or postgres://")
    );
    assert!(fail(data, &["serve", "--database-url", "sqlite::memory:"]).contains("must be a file"));
    assert!(fail(data, &["serve", "--archives-url", "ftp://x/y"]).contains("s3://BUCKET/PREFIX"));
    let bad = backends.data_dir.path().join("bad.csv");
    std::fs::write(&bad, format!("{HEADER}Pizza,Riga,1,,Mars/Base,Main\n")).unwrap();
    assert!(fail(data, &["fleet", "import", bad.to_str().unwrap()]).contains("line 2: `Mars/Base`"));
}

#[test]
fn the_openapi_document_is_the_one_checked_in() {
    let printed = succeed(&folder(Path::new("/nonexistent")), &["openapi"], "");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        printed == checked_in,
        "remake it: cargo run -p tillwatch-cloud -- openapi > crates/cloud/openapi.json"
    );
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap().values();
    let calls = paths.flat_map(|path| path.as_object().unwrap().values());
    let names: Vec<&str> = calls.filter_map(|call| call["operationId"].as_str()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}

#[tokio::test]
async fn several_that_start_at_once_make_the_database_together() {
    let backends = Backends::blank().await;
    let place = place(&backends);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let place = &place;
            let email = format!("user{number}@example.com");
            scope.spawn(move || succeed(place, &["user", "add", "--email", &email, "--name", "A"], ""));
        }
    });
    assert!(succeed(&place, &["audit", "verify"], "").starts_with("4 entries, the chain is whole"));
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_is_told_in_one_sentence_without_the_password() {
    let dir = TempDir::new().unwrap();
    let told = |url: &str| {
        let told = fail(&folder(dir.path()), &["serve", "--listen", "127.0.0.1:0", "--database-url", url]);
        assert!(!told.contains("sesame"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        told
    };
    let away = told("postgres://tillwatch:sesame@127.0.0.1:1/cloud");
    assert!(
        away.starts_with("error: the database postgres://tillwatch@127.0.0.1:1/cloud can't be opened: "),
        "{away}"
    );
    assert!(away.contains("refused"), "{away}");
    assert!(told("postgres://tillwatch:sesame@127.0.0.1:x/cloud").contains("address can't be read"));
    let backends = Backends::new().await;
    if let Some(cluster) = backends.cluster() {
        let missing = told(&cluster.url("tillwatch:sesame", "nowhere"));
        assert!(missing.contains("database \"nowhere\" does not exist"), "{missing}");
        let wrong = told(&cluster.url("stranger:sesame", "postgres"));
        assert!(wrong.contains("password authentication failed for user \"stranger\""), "{wrong}");
    }
}

#[tokio::test]
async fn archives_that_cannot_be_kept_are_told_at_the_start() {
    let dir = TempDir::new().unwrap();
    let mut place = folder(dir.path());
    place.push(("AWS_ENDPOINT_URL", "http://127.0.0.1:1".into()));
    place.push(("AWS_ACCESS_KEY_ID", "key".into()));
    place.push(("AWS_SECRET_ACCESS_KEY", "sesame".into()));
    let told = fail(&place, &["serve", "--listen", "127.0.0.1:0", "--archives-url", "s3://bucket/prefix"]);
    assert!(told.contains("archives can't be kept at s3://bucket/prefix"), "{told}");
    assert!(!told.contains("sesame"), "{told}");
}

#[tokio::test]
async fn a_service_token_is_printed_once_and_can_be_revoked() {
    let dir = TempDir::new().unwrap();
    let backends = Backends::new().await;
    let data = place(&backends);
    let file = dir.path().join("fleet.csv");
    std::fs::write(
        &file,
        format!("{HEADER}Pizza,Riga,007,,Europe/Riga,POS 1\nPizza,Tartu,008,,Europe/Tallinn,POS 2\n"),
    )
    .unwrap();
    let printed = succeed(&data, &["fleet", "import", file.to_str().unwrap()], "");
    let id = printed.lines().nth(1).unwrap().split(',').next().unwrap();

    let add = |name: &'static str, scope: &'static str, of: &str| {
        ["token", "add", "--name", name, scope, of, "--permission", "relay"].map(str::to_owned)
    };
    let words = |arguments: &[String]| arguments.iter().map(String::clone).collect::<Vec<_>>();
    let run = |arguments: [String; 8]| {
        let arguments = words(&arguments);
        succeed(&data, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")
    };
    let refused = |arguments: [String; 8]| {
        let arguments = words(&arguments);
        fail(&data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let token = run(add("Delivery", "--pos-server", id));
    assert!(token.starts_with("tws_") && token.trim().len() == 47 && token.ends_with('\n'), "{token}");
    let other = run(add("Bookings", "--chain", "Pizza"));
    assert_ne!(token, other);
    run(add("By name", "--pos-server", "POS 2"));
    assert!(refused(add("Delivery", "--chain", "Pizza")).contains("already"));
    assert!(refused(add("Lost", "--chain", "Burger")).contains("there is no chain `Burger`"));
    assert!(refused(add("Lost", "--pos-server", "POS 3")).contains("there is no POS server `POS 3`"));
    assert!(refused(add(" ", "--chain", "Pizza")).contains("name"));
    let powers = ["token", "add", "--name", "Powers", "--chain", "Pizza", "--permission", "admin"];
    assert!(fail(&data, &powers).contains("relay"));
    fail(&data, &["token", "add", "--name", "Nowhere", "--permission", "relay"]);

    succeed(&data, &["token", "revoke", "--name", "Delivery"], "");
    assert!(fail(&data, &["token", "revoke", "--name", "Delivery"]).contains("there is no token `Delivery`"));
    let list = succeed(&data, &["token", "list"], "");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "id,name,scope,permission,created_at,last_used_at,revoked_at");
    assert_eq!(lines.len(), 4, "{list}");
    let delivery: Vec<&str> =
        lines.iter().find(|line| line.contains(",Delivery,")).unwrap().split(',').collect();
    assert_eq!(&delivery[2..4], [&*format!("pos_server:{id}"), "relay"]);
    assert!(delivery[5].is_empty() && !delivery[6].is_empty(), "{list}");
    assert!(lines.iter().find(|line| line.contains(",Bookings,")).unwrap().ends_with(",,"), "{list}");
    for secret in [token.trim(), other.trim()] {
        assert!(!list.contains(secret));
    }
    succeed(&data, &["audit", "verify"], "");
}
