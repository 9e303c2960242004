//! A POS server that is the agent's child.
#![cfg(unix)]

use std::time::Duration;

use serde_json::Value;
use tillwatch_connector::pos::{Control, Pos, ReportSource};
use tillwatch_protocol::link::frame::ConnectorFrame;
use tillwatch_protocol::rest::pos_server::PosState;

use crate::cloud::Cloud;
use crate::eventually;
use crate::store::Store;

/// A child that prints where the store's POS server reports, and lives.
fn child(store: &Store) -> Pos {
    let script = format!("echo starting; echo reporting on {}; exec sleep 1000", store.pos.url);
    // What is added, --data-dir and the folder, become the script's arguments.
    let command = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    Pos {
        source: ReportSource::Printed,
        control: Control::Child { command, proxy: None },
        poll_every: Duration::from_millis(50),
    }
}

fn pid(store: &Store) -> Option<i32> {
    let text = std::fs::read(store.path("pos-server.json")).ok()?;
    let record: Value = serde_json::from_slice(&text).ok()?;
    record["address"].as_str()?;
    record["pid"].as_i64().map(|pid| pid as i32)
}

fn lives(pid: i32) -> bool {
    rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_ok()
}

#[tokio::test]
async fn a_child_is_found_started_again_and_stopped() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::enroll(&cloud).await;
    store.run_with(child(&store));
    let (mut session, _) = cloud.welcome().await;
    session
        .find(|frame| match frame {
            ConnectorFrame::Report { report } if report.pos_state == PosState::Running => Some(()),
            ConnectorFrame::JobProgress { .. } => Some(()),
            _ => None,
        })
        .await;
    let first = pid(&store).unwrap();
    assert!(lives(first));

    let victim = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    eventually("another child", || pid(&store).is_some_and(|pid| pid != first)).await;

    let second = pid(&store).unwrap();
    store.stop().await;
    assert!(!lives(second), "the child goes with the agent");
    assert!(pid(&store).is_none());
}
