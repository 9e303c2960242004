//! A laptop that was elsewhere: asleep, in another network, or in another time.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::cloud::{FakeCloud, job};
use super::*;
use crate::ipc::GridQuery;

/// Longer than any stream may be silent.
const LONG_SILENCE: Duration = Duration::from_mins(1);

/// Stands between the app and the cloud, as a router does.
struct Router {
    address: SocketAddr,
    forgets: watch::Sender<()>,
}

impl Router {
    async fn before(cloud: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (forgets, _) = watch::channel(());
        let routed = forgets.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut forgotten = routed.subscribe();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(cloud).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Open on both sides, and nothing passes.
                        _ = forgotten.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, forgets }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets nothing through any more on the connections there are, and tells nobody. New ones work.
    fn forget(&self) {
        self.forgets.send_replace(());
    }
}

#[tokio::test]
async fn connections_that_died_unnoticed_are_left_for_new_ones() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let router = Router::before(cloud.address).await;
    let mut desk = Desk::start(&home, Stored::default(), Secrets::memory());
    desk.core.sign_in(&router.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;

    router.forget();
    // Read as soon as there is a stream of events again.
    *cloud.state.jobs.lock().unwrap() =
        vec![job(1, "diagnose", &uuid::Uuid::from_u128(1).to_string(), "queued")];
    tokio::time::pause();
    tokio::time::advance(LONG_SILENCE).await;
    tokio::time::resume();
    desk.hears(|event| event["type"] == "job").await;
    cloud.tell("status", &status(1, failed()));
    desk.hears(|event| event["summary"]["errors"] == 1).await;
    // What is asked from now on goes the new way as well.
    desk.core.refresh().await.unwrap();
}

#[tokio::test]
async fn the_clock_of_this_computer_may_be_wrong() {
    let offs = [TimeDelta::minutes(10), TimeDelta::minutes(-10), TimeDelta::days(365), TimeDelta::days(-365)];
    for off in offs {
        let home = tempfile::tempdir().unwrap();
        let ago = |minutes| json!({"last_report_at": Utc::now() + off - TimeDelta::minutes(minutes)});
        let cloud = FakeCloud::start(vec![status(1, ago(55)), status(2, ago(65))]).await;
        cloud.set_clock(off);
        let desk = Desk::signed_in(&home, &cloud).await;
        let told = desk.core.now() - off;
        assert!((told - Utc::now()).abs() < TimeDelta::seconds(20), "{off}: {told}");

        let within = Some("PT1H".to_owned());
        let summary = desk.core.set_query(&GridQuery { within, ..GridQuery::default() }).unwrap();
        assert_eq!((summary.total, summary.matching), (2, 1), "{off}: what was reported in the last hour");
        let as_of: DateTime<Utc> = summary.as_of.unwrap();
        assert!((as_of - off - Utc::now()).abs() < TimeDelta::seconds(20), "{off}: {as_of}");

        // A token is good for as long as the cloud says so.
        let client = desk.core.current_cloud().unwrap();
        for _ in 0..3 {
            client.me().await.unwrap();
        }
        assert_eq!(*cloud.state.refreshes.lock().unwrap(), 0, "{off}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_told_and_so_is_its_end() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    cloud.set_clock(TimeDelta::days(-365));
    let mut desk = Desk::start(&home, Stored::default(), Secrets::memory());
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    let told = desk.hears(|event| event["type"] == "clock" && event["ahead_seconds"] != 0).await;
    let ahead = told["ahead_seconds"].as_i64().unwrap();
    assert!((ahead + 365 * 24 * 3600).abs() < 20, "{ahead}");
    desk.hears(|event| event["error"]["code"] == "clock_off").await;

    // The next stream finds the clock set right.
    cloud.set_clock(TimeDelta::zero());
    cloud.tell("resync", &json!({}));
    desk.hears(|event| event["type"] == "clock" && event["ahead_seconds"] == 0).await;
}

#[tokio::test]
async fn a_certificate_of_another_time_may_be_good_and_the_clock_wrong() {
    let home = tempfile::tempdir().unwrap();
    let desk = Desk::start(&home, Stored::default(), Secrets::memory());
    for (until, by_date) in [(2100, None), (2020, Some("true"))] {
        let (cloud, fingerprint) = FakeCloud::start_with_dates(None, until).await;
        let error = desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap_err();
        assert_eq!((error.code.as_str(), &error.params["sha256"]), ("certificate_untrusted", &fingerprint));
        assert_eq!(error.params.get("by_date").map(String::as_str), by_date);
    }
}
