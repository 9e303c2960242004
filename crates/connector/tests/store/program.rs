//! The program itself, as an operator starts it.
#![cfg(unix)]

use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tillwatch_protocol::link::frame::{ByeReason, ConnectorFrame};
use tillwatch_protocol::rest::job::{JobSpec, JobState};
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::process::{Child, Command};

use crate::cloud::{CODE, Cloud};
use crate::pos::PosServer;
use crate::{eventually, soon};

pub(crate) fn program(arguments: &[&str], data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillwatch-connector"));
    command.args(arguments).arg("--data-dir").arg(data_dir).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn output(arguments: &[&str], data_dir: &Path) -> Output {
    soon("the end of the program", program(arguments, data_dir).output()).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) async fn enrolled() -> (Cloud, tempfile::TempDir, PosServer) {
    let cloud = Cloud::start().await;
    let dir = tempfile::tempdir().unwrap();
    let pos = PosServer::start(dir.path(), axum::Router::new()).await;
    let enrolled = output(&["enroll", "--cloud", &cloud.url, "--code", CODE], dir.path()).await;
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    assert!(text(&enrolled.stdout).contains("Riga Centrs"));
    // A child that prints where the POS server of the story reports.
    let script = format!("echo reporting on {}; exec sleep 1000", pos.url);
    let toml = format!("[pos]\ncommand = [\"sh\", \"-c\", \"{script}\", \"sh\"]\n");
    std::fs::write(dir.path().join("connector.toml"), toml).unwrap();
    (cloud, dir, pos)
}

fn run(data_dir: &Path) -> Child {
    program(&["run"], data_dir).stderr(Stdio::null()).spawn().unwrap()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), signal).unwrap();
}

pub(crate) fn pos_pid(data_dir: &Path) -> Option<Pid> {
    let record: Value =
        serde_json::from_slice(&std::fs::read(data_dir.join("pos-server.json")).ok()?).ok()?;
    record["address"].as_str()?;
    Pid::from_raw(record["pid"].as_i64()? as i32)
}

#[tokio::test]
async fn it_runs_alone_and_stops_when_told() {
    let (mut cloud, dir, _pos) = enrolled().await;
    let mut running = run(dir.path());
    let (mut session, _) = cloud.welcome().await;

    let second = output(&["run"], dir.path()).await;
    assert!(!second.status.success());
    assert!(text(&second.stderr).contains("another connector runs"), "{}", text(&second.stderr));

    signal(&running, Signal::TERM);
    assert!(soon("the end", running.wait()).await.unwrap().success());
    let frames = session.rest().await;
    assert_eq!(frames.last(), Some(&ConnectorFrame::Bye { reason: ByeReason::Stopping }));
    assert!(pos_pid(dir.path()).is_none());
}

#[tokio::test]
async fn a_pos_server_that_a_killed_connector_left_is_not_doubled() {
    let (mut cloud, dir, _pos) = enrolled().await;
    let mut running = run(dir.path());
    cloud.welcome().await;
    eventually("the child", || pos_pid(dir.path()).is_some()).await;
    let orphan = pos_pid(dir.path()).unwrap();
    signal(&running, Signal::KILL);
    running.wait().await.unwrap();

    let running = run(dir.path());
    cloud.welcome().await;
    eventually("another child", || pos_pid(dir.path()).is_some_and(|pid| pid != orphan)).await;
    #[cfg(target_os = "linux")]
    {
        let command_line = std::fs::read(format!("/proc/{}/cmdline", orphan.as_raw_nonzero()));
        assert!(command_line.unwrap_or_default().is_empty(), "the first child is gone");
    }
    let last = pos_pid(dir.path()).unwrap();
    drop(running);
    let _ = kill_process(last, Signal::KILL);
}

#[tokio::test]
async fn a_diagnosis_is_printed_and_disturbs_nobody() {
    let (mut cloud, dir, pos) = enrolled().await;
    let mut running = run(dir.path());
    let (mut session, _) = cloud.welcome().await;
    eventually("the child", || pos_pid(dir.path()).is_some()).await;

    let found = output(&["diagnose"], dir.path()).await;
    let lines = text(&found.stdout);
    assert_eq!(lines.lines().count(), 8, "{lines}");
    assert!(!found.status.success(), "no exchange has succeeded yet: {lines}");
    pos.change(|pos| pos.last_success_at = Some(chrono::Utc::now()));
    let found = output(&["diagnose", "--json"], dir.path()).await;
    assert!(found.status.success(), "{}", text(&found.stdout));
    let document: Value = serde_json::from_slice(&found.stdout).unwrap();
    let names: Vec<_> = document["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["dns", "tcp", "tls", "clock", "link", "exchange", "pos_server", "disk"]);
    assert!(cloud.heartbeats.try_recv().is_err(), "no heartbeat that would look like a blocked WebSocket");

    signal(&running, Signal::TERM);
    assert!(soon("the end", running.wait()).await.unwrap().success());
    let frames = session.rest().await;
    assert!(matches!(frames.last(), Some(ConnectorFrame::Bye { .. })), "the session was never displaced");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = output(&["run"], dir.path()).await;
    assert!(!missing.status.success());
    assert!(text(&missing.stderr).contains("enroll first"), "{}", text(&missing.stderr));

    std::fs::write(dir.path().join("connector.toml"), "[pos]\nservce = 'x'\n").unwrap();
    let wrong = output(&["run"], dir.path()).await;
    assert!(text(&wrong.stderr).contains("servce"), "{}", text(&wrong.stderr));
    let refused =
        output(&["enroll", "--cloud", "nowhere", "--code", "x"], tempfile::tempdir().unwrap().path()).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("not an address"), "{}", text(&refused.stderr));
}

/// A `systemctl` that writes down what it is asked, and says of a service what a file says.
fn systemctl(dir: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  is-active*) cat {0}/active;;\n  *) echo \"$@\" >> {0}/calls;;\nesac\n",
        dir.display()
    );
    std::fs::write(bin.join("systemctl"), script).unwrap();
    std::fs::set_permissions(bin.join("systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(dir.join("active"), "active\n").unwrap();
    bin
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_pos_server_that_is_a_service_is_stopped_and_started_by_the_system() {
    let (mut cloud, dir, pos) = enrolled().await;
    let toml = format!("[pos]\nreport = \"{}\"\nservice = \"iikoCard5POS\"\n", pos.url);
    std::fs::write(dir.path().join("connector.toml"), toml).unwrap();
    let path = format!("{}:{}", systemctl(dir.path()).display(), std::env::var("PATH").unwrap());
    let mut command = program(&["run"], dir.path());
    let _running = command.env("PATH", path).stderr(Stdio::null()).spawn().unwrap();
    let (mut session, _) = cloud.welcome().await;

    let order = session.order(JobSpec::RestartPos {});
    assert_eq!(session.finished(order.id).await.state, JobState::Succeeded);
    let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
    assert_eq!(calls, "--no-ask-password stop iikoCard5POS\n--no-ask-password start iikoCard5POS\n");

    std::fs::write(dir.path().join("active"), "inactive\n").unwrap();
    pos.change(|pos| pos.running = false);
    session
        .find(|frame| match frame {
            ConnectorFrame::Report { report } if report.pos_state == PosState::Stopped => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn a_pos_server_that_writes_a_file_is_read() {
    let (mut cloud, dir, _pos) = enrolled().await;
    let toml = "[pos]\nstatus_file = \"status.json\"\ncommand = [\"sleep\", \"1000\"]\n";
    std::fs::write(dir.path().join("connector.toml"), toml).unwrap();
    std::fs::write(
        dir.path().join("status.json"),
        r#"{"pos_version": "35.1", "exchange": {"error": "no route"}}"#,
    )
    .unwrap();
    let _running = run(dir.path());
    let (mut session, hello) = cloud.welcome().await;
    let report = match hello.report {
        Some(report) => report,
        None => {
            session
                .find(|frame| match frame {
                    ConnectorFrame::Report { report } => Some(report),
                    _ => None,
                })
                .await
        }
    };
    assert_eq!(report.report.pos_version.as_deref(), Some("35.1"));
    assert_eq!(report.report.exchange.error.unwrap().message, "no route");
    let size = std::fs::metadata(dir.path().join("pos/pos.sqlite3")).unwrap().len();
    assert_eq!(
        report.report.database.size_bytes,
        Some(size),
        "what the file does not tell, the database does"
    );

    let order = session.order(JobSpec::ExchangeNow {});
    assert_eq!(session.finished(order.id).await.error.unwrap().code, "unsupported");
}
