//! What goes wrong at a store: the line, the disk, the power. Nothing is lost, nothing counts twice.

use std::collections::BTreeSet;
use std::fs;
#[cfg(target_os = "linux")]
use std::{io::Write, path::PathBuf, process::Stdio};

use serde_json::{Value, json};
#[cfg(target_os = "linux")]
use tokio::process::Command;

use crate::cloud::{Cloud, Mood};
use crate::exchange::count;
#[cfg(target_os = "linux")]
use crate::process::PROGRAM;
use crate::process::Running;
use crate::store::Store;

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_ends_changes_nothing() {
    let cloud = Cloud::start().await;
    cloud.fill(50);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    let before = pos.exchange().await.exchange.last_success_at;
    let id = pos.transact("-3.50").await;
    cloud.guest(3, "Renamed");
    for (mood, code) in [(Mood::BreakOff, "cloud_unreachable"), (Mood::NeverEnd, "server_error")] {
        cloud.set(|inner| inner.mood = mood);
        assert_eq!(pos.exchange_code().await.as_deref(), Some(code));
        let report = pos.report().await;
        assert_eq!(report.database.unsent_transactions, Some(1));
        assert_eq!(report.exchange.last_success_at, before);
        assert_eq!(count(&store, "guests WHERE name = 'Renamed'"), 0);
    }
    cloud.set(|inner| (inner.mood, inner.received) = (Mood::Well, Vec::new()));
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(sent(&cloud), [id]);
    assert_eq!(count(&store, "guests WHERE name = 'Renamed'"), 1);
    pos.stop().await;
}

#[tokio::test]
async fn one_bit_flipped_in_the_file_is_found_by_the_next_exchange() {
    let cloud = Cloud::start().await;
    cloud.fill(50);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
    let file = store.path("pos.sqlite3");
    let mut bytes = fs::read(&file).unwrap();
    let name = b"Guest 17";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();

    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await.as_deref(), Some("database_inconsistent"));
    pos.stop().await;
}

#[tokio::test]
async fn it_answers_the_tills_while_a_whole_chain_arrives() {
    let cloud = Cloud::start().await;
    cloud.fill(1);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    cloud.fill(30_000);
    let calls = (*pos).clone();
    let mut exchange = std::pin::pin!(calls.exchange_code());
    let mut kept = Vec::new();
    loop {
        tokio::select! {
            biased;
            code = &mut exchange => {
                assert_eq!(code, None);
                break;
            }
            id = pos.transact("1.00"), if kept.len() < 20 => kept.push(id),
        }
    }
    assert_eq!(kept.len(), 20);
    assert_eq!(sent(&cloud), kept, "in their order, each once");
    pos.stop().await;
}

#[tokio::test]
async fn a_kill_at_any_time_loses_no_transaction_and_doubles_none() {
    let cloud = Cloud::start().await;
    cloud.fill(5);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
    let mut kept = Vec::new();
    for mood in [Mood::Refuse(500, "internal"), Mood::LoseAnswer, Mood::Well] {
        cloud.set(|inner| inner.mood = mood);
        let mut pos = Running::start(&store).await;
        for _ in 0..3 {
            kept.push(pos.transact("-1.00").await);
        }
        // Killed when the cloud has written them down, or not, and before it may know.
        tokio::select! {
            () = pos.ask_to_exchange() => {}
            () = cloud.answers.notified() => {}
        }
        pos.child.kill().await.unwrap();
    }
    let pos = Running::start(&store).await;
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(pos.report().await.database.unsent_transactions, Some(0));
    let sent = sent(&cloud);
    let ids = |ids: &[Value]| ids.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(ids(&sent), ids(&kept), "the cloud knows each by its id");
    let before = sent.len();
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(self::sent(&cloud).len(), before, "and is sent none again");
}

/// Runs the program over a disk of 2 MiB that only it sees, under the identity that lies beside.
#[cfg(target_os = "linux")]
const SCRIPT: &str = r#"
[ "$(id -u)" = 0 ] || user='--user --map-root-user'
exec unshare --mount $user sh -c '
    mount -t tmpfs -o size=2m none "$1" && cp -r "$2/." "$1" && exec "$3" run --data-dir "$1"
' sh "$@"
"#;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_and_needs_no_restart_afterwards() {
    let cloud = Cloud::start().await;
    cloud.fill(1);
    let store = Store::new();
    let beside = Store::enrolled(&cloud);
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).args([store.dir.path(), beside.dir.path()]).arg(PROGRAM);
    command.env("RUST_LOG", "off").stdout(Stdio::piped()).kill_on_drop(true);
    let pos = Running::spawn(&mut command).await;
    assert_eq!(pos.exchange_code().await, None);
    let id = pos.transact("-3.50").await;

    // What the program sees as its disk, from outside.
    let seen = PathBuf::from(format!("/proc/{}/root{}", pos.child.id().unwrap(), store.dir.path().display()));
    let mut ballast = fs::File::create(seen.join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    cloud.fill(500);
    assert_eq!(pos.exchange_code().await.as_deref(), Some("disk_full"));
    let body =
        json!({"guest_account_id": crate::cloud::ACCOUNT, "amount": "1.00", "reason": "x".repeat(200)});
    let refused = loop {
        let (status, problem) = pos.post(&body).await;
        if status != 201 {
            break (status, problem["code"].clone());
        }
    };
    assert_eq!(refused, (503, json!("unavailable")));
    assert!(pos.report().await.database.unsent_transactions >= Some(1));

    fs::remove_file(seen.join("ballast")).unwrap();
    drop(ballast);
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(pos.report().await.database.unsent_transactions, Some(0));
    assert_eq!(sent(&cloud)[0], id);
}

/// The ids of the transactions that the cloud received, as often and in the order they came.
fn sent(cloud: &Cloud) -> Vec<Value> {
    cloud.inner.lock().unwrap().received.iter().map(|transaction| json!(transaction.id)).collect()
}
