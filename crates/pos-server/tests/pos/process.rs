//! The program as a connector or a person starts it.

use std::ops::Deref;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::store::{Calls, Store};

/// Where the program lies.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tillwatch-pos-server");

fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("run")
        .env("RUST_LOG", "off")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program while it runs.
pub(crate) struct Running {
    calls: Calls,
    pub(crate) child: Child,
}

impl Running {
    /// Starts it in a store's data dir.
    pub(crate) async fn start(store: &Store) -> Self {
        Self::spawn(program().arg("--data-dir").arg(store.dir.path())).await
    }

    /// Starts it as `command` does, which says on stdout where it reports.
    pub(crate) async fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await;
        let line = line.expect("it says where it reports").unwrap().expect("it runs");
        let url = line.strip_prefix("reporting on ").expect("it reports");
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { calls: Calls::to(url.to_owned()), child }
    }
}

impl Deref for Running {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

async fn output(command: &mut Command) -> Output {
    tokio::time::timeout(Duration::from_secs(20), command.output()).await.expect("it ends").unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn it_prints_where_it_reports_and_ends_when_the_system_says_so() {
    let store = Store::new();
    let mut running = Running::start(&store).await;
    assert_eq!(running.report().await.pos_version.as_deref(), Some("34.6.0"));

    let child = &mut running.child;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("it ends").unwrap();
    assert!(ended.success(), "{ended}");
    assert!(store.log().trim_end().ends_with("POS server stopped"), "{}", store.log());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_one_line() {
    let store = Store::new();
    for (option, value, named) in [
        ("--report", "0.0.0.0:0", "loopback"),
        ("--pos-version", "latest", "34.5.2"),
        ("--cloud", "ftp://cloud.example", "https://"),
        ("--cloud", "http://cloud.example", "https://"),
    ] {
        let refused = output(program().arg("--data-dir").arg(store.dir.path()).args([option, value])).await;
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{option}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains(named), "{told}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn systemd_hears_when_it_reports_and_when_it_ends() {
    let store = Store::new();
    let path = store.dir.path().join("notify");
    let systemd = tokio::net::UnixDatagram::bind(&path).unwrap();
    let heard = async || {
        let mut message = [0; 256];
        let received = tokio::time::timeout(Duration::from_secs(30), systemd.recv(&mut message));
        let length = received.await.expect("it says something").unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    let mut command = program();
    command.arg("--data-dir").arg(store.dir.path()).env("NOTIFY_SOCKET", &path);
    let mut child = command.spawn().unwrap();
    assert_eq!(heard().await, "READY=1");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("reporting on http://127.0.0.1:"));

    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert_eq!(heard().await, "STOPPING=1");
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("it ends").unwrap();
    assert!(ended.success(), "{ended}");
}
