//! What the timeline of a store tells.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tillwatch_cloud::config::Patience;
use tillwatch_protocol::ids::BootId;
use tillwatch_protocol::link::frame::{ByeReason, ConnectorFrame, Hello, StoreReport};
use tillwatch_protocol::report::ExchangeError;
use tillwatch_protocol::rest::pos_server::PosState;
use tillwatch_protocol::rest::session::Permission;

use crate::support::{Client, Cloud, TestStore, hasty, hello, report};

fn link(state: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["link"]["state"] == state
}

fn path(store: &TestStore, query: &str) -> String {
    format!("/pos-servers/{}/timeline{query}", store.identity.pos_server_id)
}

/// The items of a timeline, newest first.
async fn items(client: &Client, store: &TestStore) -> Vec<Value> {
    let answer = client.get(&path(store, "?limit=1000")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["items"].as_array().unwrap().clone()
}

/// Kind and code of each, oldest first.
fn words(items: &[Value]) -> Vec<String> {
    let word =
        |item: &Value| format!("{} {}", item["kind"].as_str().unwrap(), item["code"].as_str().unwrap());
    items.iter().rev().map(word).collect()
}

#[tokio::test]
async fn a_timeline_tells_what_happened() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, link("online")).await;

    let mut failing = report();
    failing.report.pos_version = Some("34.6.0".into());
    failing.report.database.generation = Some(4);
    failing.report.exchange.error = Some(ExchangeError {
        code: "disk_full".into(),
        message: "no room".into(),
        since: Utc::now(),
        consecutive_failures: 1,
    });
    line.say(&ConnectorFrame::Report { report: failing.clone() }).await;
    admin.when(&store, |status| status["highlight"] == "error").await;
    let stopped = StoreReport { pos_state: PosState::Stopped, ..failing };
    line.say(&ConnectorFrame::Report { report: stopped }).await;
    admin.when(&store, |status| status["pos"]["state"] == "stopped").await;
    let mut well = report();
    well.report.pos_version = Some("34.6.0".into());
    well.report.database.generation = Some(4);
    line.say(&ConnectorFrame::Report { report: well }).await;
    admin.when(&store, |status| status["highlight"] == "none").await;
    let job = admin.started(&store, &json!({"kind": "diagnose"})).await;
    line.job().await;
    line.say(&ConnectorFrame::Bye { reason: ByeReason::Stopping }).await;
    admin.when(&store, link("offline")).await;
    admin.cancel(job).await;

    let items = items(&admin, &store).await;
    assert_eq!(
        words(&items),
        [
            "identity enrolled",
            "link online",
            "pos running",
            "exchange failed",
            "version pos_version",
            "database generation",
            "pos stopped",
            "pos running",
            "exchange succeeded",
            "job requested",
            "link offline",
        ]
    );
    let offline = &items[0];
    assert_eq!(offline["until"], Value::Null);
    assert_eq!(offline["params"]["cause"], "service_stopped");
    assert_eq!(offline["params"]["confidence"], "certain");
    assert_eq!(offline["params"]["evidence"][0]["code"], "said_goodbye");
    let of = |word: &str| items.iter().find(|item| item["code"] == word).unwrap();
    assert_eq!(of("online")["until"], offline["at"]);
    assert_eq!(of("running")["until"], offline["at"], "nobody sees the POS server without a link");
    assert_eq!(of("stopped")["until"], of("running")["at"]);
    assert_eq!(of("failed")["until"], of("succeeded")["at"]);
    assert_eq!(of("failed")["params"]["error"], "disk_full");
    assert_eq!(of("pos_version")["params"], json!({"from": "34.5.2", "to": "34.6.0"}));
    assert_eq!(of("generation")["params"], json!({"from": 3, "to": 4}));
    assert_eq!(of("requested")["params"], json!({"job_id": job, "job": "diagnose"}));
}

#[tokio::test]
async fn a_store_that_comes_back_as_it_went_tells_of_its_link_alone() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    for _ in 0..3 {
        let line = store.connect().await;
        admin.when(&store, link("online")).await;
        drop(line);
        admin.when(&store, link("offline")).await;
    }
    let told = words(&items(&admin, &store).await);
    let links = ["link online", "link offline"];
    let expected: Vec<&str> = ["identity enrolled", "link online", "pos running", "link offline"]
        .into_iter()
        .chain(links)
        .chain(links)
        .collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_restart_is_told_from_a_network_that_was_gone() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let boot = Hello { started_at: Utc::now() - TimeDelta::days(3), ..hello() };
    let lose = async |hello: Hello| {
        let (line, _) = store.connect_with(hello).await;
        admin.when(&store, link("online")).await;
        drop(line);
        let lost = admin.when(&store, link("offline")).await;
        assert_eq!(lost["link"]["cause"], "connection_lost");
    };
    lose(boot.clone()).await;
    lose(Hello { drops: 1, ..boot.clone() }).await;
    // The machine was switched off and on.
    let _line = store.connect_with(Hello { boot_id: BootId::new(), started_at: Utc::now(), ..boot }).await;
    admin.when(&store, link("online")).await;

    let items = items(&admin, &store).await;
    let outages: Vec<_> = items.iter().filter(|item| item["code"] == "offline").collect();
    let [machine, network] = outages[..] else { panic!("{outages:?}") };
    assert_eq!(network["params"]["cause"], "connection_lost");
    assert_eq!(network["params"]["confidence"], "certain");
    assert_eq!(network["params"]["first_cause"], Value::Null);
    assert_eq!(network["params"]["evidence"][1]["code"], "returned_same_boot");
    assert_eq!(network["params"]["evidence"][1]["params"]["drops"], 1);
    assert_eq!(machine["params"]["cause"], "service_stopped");
    assert_eq!(machine["params"]["confidence"], "certain");
    assert_eq!(machine["params"]["first_cause"], "connection_lost");
    assert_eq!(machine["params"]["evidence"][1]["code"], "returned_after_start");
}

#[tokio::test]
async fn the_clouds_own_absence_is_unknown_and_no_outage() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let line = store.connect().await;
    let cloud = cloud.restart(hasty()).await;
    drop(line);
    let (admin, store) = (cloud.admin().await, store.moved(&cloud));
    let _line = store.connect().await;
    admin.when(&store, link("online")).await;
    let told = words(&items(&admin, &store).await);
    assert_eq!(told, ["identity enrolled", "link online", "pos running", "link unknown", "link online"]);
}

#[tokio::test]
async fn a_timeline_is_read_page_by_page_and_only_by_those_who_see_the_store() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    for _ in 0..4 {
        let line = store.connect().await;
        admin.when(&store, link("online")).await;
        drop(line);
        admin.when(&store, link("offline")).await;
    }
    let whole = items(&admin, &store).await;
    let mut paged = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let page = admin.get(&path(&store, &query)).await.body;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=3&cursor={next}");
    }
    assert_eq!(paged, whole, "with the ends of those whose end is on the page before");

    // A period begins with what held then.
    let times: Vec<DateTime<Utc>> =
        whole.iter().map(|item| item["at"].as_str().unwrap().parse().unwrap()).collect();
    let encode = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
    let (from, to) = (encode(times[1]), encode(times[0]));
    let period = admin.get(&path(&store, &format!("?from={from}&to={to}"))).await.body;
    let period = period["items"].as_array().unwrap();
    assert_eq!(words(period), ["pos running", "link offline", "link online"]);
    assert_eq!(period[0]["until"], whole[0]["at"]);
    let first = admin.get(&path(&store, "?limit=1")).await.body;
    let next = first["next_cursor"].as_str().unwrap();
    for (query, expected) in [
        ("?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z".to_owned(), "period_invalid"),
        ("?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z".to_owned(), "period_invalid"),
        ("?from=yesterday".to_owned(), "invalid_request"),
        ("?limit=0".to_owned(), "invalid_request"),
        ("?cursor=x".to_owned(), "invalid_request"),
        ("?x=1".to_owned(), "invalid_request"),
        (format!("?from=2026-01-02T00:00:00Z&cursor={next}"), "invalid_request"),
    ] {
        assert_eq!(admin.get(&path(&store, &query)).await.problem(), (422, expected), "{query}");
    }

    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    assert_eq!(anna.get(&path(&store, "")).await.problem(), (404, "not_found"));
    cloud.grant("anna@example.com", "Riga", Permission::OutletSetup).await;
    assert_eq!(anna.get(&path(&store, "")).await.status, 200);
}

#[tokio::test]
async fn a_store_that_flaps_all_day_fills_a_day_and_no_more() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, link("online")).await;
    for n in 0..120 {
        let failing = n % 2 == 0;
        let mut told = report();
        told.report.exchange.error = failing.then(|| ExchangeError {
            code: "server_error".into(),
            message: String::new(),
            since: Utc::now(),
            consecutive_failures: 1,
        });
        line.say(&ConnectorFrame::Report { report: told }).await;
        let look = if failing { "error" } else { "none" };
        admin.when(&store, |status| status["highlight"] == look).await;
    }
    let items = items(&admin, &store).await;
    let exchanges: Vec<_> = items.iter().filter(|item| item["kind"] == "exchange").collect();
    assert_eq!(exchanges.len(), 50);
    assert_eq!(exchanges[0]["code"], "succeeded", "it ends with what is");
    assert_eq!(exchanges[0]["params"]["skipped"], 70);
    assert_eq!(exchanges[1]["until"], exchanges[0]["at"]);
}

#[tokio::test]
async fn what_is_older_than_is_told_becomes_sums_of_days() {
    let cloud = Cloud::with(Patience { expire_every: Duration::from_hours(1), ..hasty() }).await;
    let store = cloud.enrolled("Riga").await;
    cloud.enrolled("Silent").await;
    let midnight =
        (Utc::now() - TimeDelta::days(100)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    let at = |hours: i64| midnight + TimeDelta::hours(hours);
    cloud.sql("DELETE FROM timeline").await;
    let of = |outlet: &str, hours: i64, kind: &str, code: &str| {
        let store = format!(
            "(SELECT pos_servers.id FROM pos_servers JOIN outlets ON outlets.id = outlet_id WHERE outlets.name = '{outlet}')"
        );
        let at = at(hours).to_rfc3339();
        format!(
            "INSERT INTO timeline (pos_server_id, at, kind, code, params) VALUES ({store}, '{at}', '{kind}', '{code}', '{{}}');"
        )
    };
    let mut sql = String::new();
    for (hours, kind, code) in [
        (0, "link", "online"),
        (0, "pos", "running"),
        (6, "link", "offline"),
        (8, "link", "online"),
        (9, "job", "requested"),
        // It stays away for the rest of the day, the next one and half of that after it.
        (22, "link", "offline"),
        (60, "link", "online"),
        // Still told.
        (24 * 20, "link", "offline"),
    ] {
        sql += &of("Riga", hours, kind, code);
    }
    sql += &of("Silent", 1, "identity", "enrolled");
    cloud.sql(sql.trim_end_matches(';')).await;

    // The chores come by again.
    let cloud = cloud.restart(hasty()).await;
    let admin = cloud.admin().await;
    let query = format!("?limit=1000&from={}", at(-24).to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let deadline = tokio::time::Instant::now() + crate::support::SOON;
    let items = loop {
        let body = admin.get(&path(&store, &query)).await.body;
        let items = body["items"].as_array().unwrap().clone();
        let days = items.iter().filter(|item| item["kind"] == "day").count();
        if days == 3 && !items.iter().any(|item| item["code"] == "requested") {
            break items;
        }
        assert!(tokio::time::Instant::now() < deadline, "{body}");
        tokio::task::yield_now().await;
    };
    let days: Vec<_> = items.iter().rev().filter(|item| item["kind"] == "day").collect();
    let sums = |offline_hours: i64, outages: i64, changes: i64| {
        json!({
            "offline_seconds": offline_hours * 3600, "unknown_seconds": 0,
            "outages": outages, "changes": changes,
        })
    };
    let params: Vec<_> = days.iter().map(|day| day["params"].clone()).collect();
    assert_eq!(params, [sums(4, 2, 6), sums(24, 0, 0), sums(12, 0, 1)]);
    assert_eq!(days[0]["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), midnight);
    assert_eq!(days[0]["until"], days[1]["at"]);
    // The states that held stay, for the days that are told.
    let rest: Vec<Value> = items.into_iter().filter(|item| item["kind"] != "day").collect();
    assert_eq!(words(&rest), ["pos running", "link online", "link offline"]);
    assert_eq!(rest[0]["until"], Value::Null);
}
