//! The list of statuses: who sees what, filters, order, pages.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tillwatch_cloud::admin::{self, ScopeName};
use tillwatch_protocol::rest::session::Permission;

use crate::support::{ADMIN, Client, TestCloud};

/// Seven POS servers: `well` is online and fine, each other one has one thing about it.
const FLEET: &str = "Pizza,Rīga Centrs,0042,Brīvības iela 1,Europe/Riga,well\n\
    Pizza,Rīga Centrs,0042,Brīvības iela 1,Europe/Riga,failed\n\
    Pizza,Дом Пиццы,43,ул. Ленина 5,Europe/Moscow,outdated\n\
    Pizza,Šķūnis,44,100%_new,Europe/Riga,offline\n\
    Burger,Burger 1,45,,Europe/Vilnius,silent\n\
    Burger,Burger 2,46,,Europe/Vilnius,stopped\n\
    Burger,burger 3,47,,Europe/Vilnius,never\n";

async fn fleet() -> (TestCloud, Client) {
    let cloud = TestCloud::start().await;
    // Once it answers it has done what it does to old statuses at its start.
    let admin = cloud.sign_in(ADMIN).await;
    cloud.import(FLEET).await;
    admin::require_version(&cloud.store, "Pizza", "34.6.0", chrono::Utc::now()).await.unwrap();
    let ago = |time: TimeDelta| (Utc::now() - time).to_rfc3339_opts(SecondsFormat::Secs, false);
    change(
        &cloud,
        &format!(
            "UPDATE pos_servers SET link_state = 'online', pos_state = 'running', connector_version = '1.2.10',
                 connector_version_key = '00000000000000000001.00000000000000000002.00000000000000000010',
                 last_report_at = '{}'
             WHERE name <> 'never';
             UPDATE pos_servers SET pos_version = '34.10.1',
                 pos_version_key = '00000000000000000034.00000000000000000010.00000000000000000001'
             WHERE name <> 'never';
             UPDATE pos_servers SET pos_version = '34.5.2',
                 pos_version_key = '00000000000000000034.00000000000000000005.00000000000000000002'
             WHERE name = 'outdated';
             UPDATE pos_servers SET error_code = 'database_inconsistent', error_message = 'Checksums DIFFER',
                 error_since = '2026-11-01T00:00:00+00:00', error_failures = 3 WHERE name = 'failed';
             UPDATE pos_servers SET link_state = 'offline', cause = 'connection_lost', confidence = 'likely',
                 evidence = '[{{\"code\":\"fell_silent\",\"at\":\"2026-11-01T00:00:00Z\",\"params\":{{}}}}]',
                 last_report_at = '{}' WHERE name = 'offline';
             UPDATE pos_servers SET pos_state = 'not_responding' WHERE name = 'silent';
             UPDATE pos_servers SET pos_state = 'stopped' WHERE name = 'stopped'",
            ago(TimeDelta::minutes(1)),
            ago(TimeDelta::hours(6)),
        ),
    )
    .await;
    (cloud, admin)
}

/// Changes statuses as every writer does: under a new revision.
async fn change(cloud: &TestCloud, sql: &str) {
    let raised = "UPDATE revision SET value = value + 1;
        UPDATE pos_servers SET revision = (SELECT value FROM revision)";
    cloud.sql(&format!("{sql}; {raised}")).await;
}

async fn sorted(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("/pos-servers?{query}")).await;
    let mut names: Vec<String> = answer.names().into_iter().map(ToOwned::to_owned).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_status_tells_its_four_facts_apart() {
    let (_cloud, admin) = fleet().await;
    let list = admin.get("/pos-servers?sort=name").await;
    let items = list.body["items"].as_array().unwrap();
    let by_name = |name: &str| items.iter().find(|item| item["name"] == name).unwrap();

    assert_eq!(by_name("well")["highlight"], "none");
    assert_eq!(by_name("well")["outlet"]["crm_id"], "0042");
    let failed = by_name("failed");
    assert_eq!(failed["highlight"], "error");
    assert_eq!(failed["exchange"]["error"]["code"], "database_inconsistent");
    assert_eq!(failed["exchange"]["error"]["consecutive_failures"], 3);
    let outdated = by_name("outdated");
    assert_eq!(outdated["highlight"], "update_required");
    assert_eq!(outdated["pos"]["required_version"], "34.6.0");
    assert_eq!(outdated["pos"]["update_required"], true);
    assert_eq!(by_name("well")["pos"]["update_required"], false);
    let offline = by_name("offline");
    assert_eq!(offline["link"]["cause"], "connection_lost");
    assert_eq!(offline["link"]["evidence"][0]["code"], "fell_silent");
    assert_eq!(offline["highlight"], "none");
    let never = by_name("never");
    assert_eq!(never["link"]["state"], "never_connected");
    assert_eq!(never["database"]["generation"], Value::Null);

    let id = offline["id"].as_str().unwrap();
    assert_eq!(&admin.get(&format!("/pos-servers/{id}")).await.body, offline);
    assert!(list.body["revision"].as_i64().unwrap() >= 2);
    assert!(list.body["as_of"].is_string());
}

#[tokio::test]
async fn what_a_user_may_not_see_is_not_there() {
    let (cloud, admin) = fleet().await;
    let all = admin.get("/pos-servers?sort=chain").await.body;
    let burger = all["items"][0].clone();
    let pizza = all["items"][6].clone();
    let by = |kind: &str, item: &Value| {
        let id = if kind == "chain" { &item["chain"]["id"] } else { &item["outlet"]["id"] };
        format!("/pos-servers?{kind}_id={}", id.as_str().unwrap())
    };
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;

    assert_eq!(anna.get("/pos-servers").await.names(), [""; 0]);
    let one = |item: &Value| format!("/pos-servers/{}", item["id"].as_str().unwrap());
    assert_eq!(anna.get(&one(&burger)).await.problem(), (404, "not_found"));
    assert_eq!(anna.get(&by("chain", &burger)).await.problem(), (404, "not_found"));
    assert_eq!(anna.get(&by("outlet", &burger)).await.problem(), (404, "not_found"));

    cloud.grant("anna@example.com", ScopeName::Chain("Burger".into()), Permission::OutletSetup).await;
    cloud.grant("anna@example.com", ScopeName::All, Permission::RetrieveLogs).await;
    assert_eq!(sorted(&anna, "").await, ["never", "silent", "stopped"]);
    assert_eq!(anna.get(&one(&burger)).await.status, StatusCode::OK);
    assert_eq!(anna.get(&one(&pizza)).await.problem(), (404, "not_found"));
    assert_eq!(anna.get(&by("chain", &pizza)).await.problem(), (404, "not_found"));

    cloud.grant("anna@example.com", ScopeName::Outlet("Šķūnis".into()), Permission::OutletSetup).await;
    assert_eq!(sorted(&anna, "").await, ["never", "offline", "silent", "stopped"]);
    assert_eq!(anna.get(&by("chain", &pizza)).await.names(), ["offline"]);

    cloud.grant("anna@example.com", ScopeName::All, Permission::OutletSetup).await;
    assert_eq!(sorted(&anna, "").await.len(), 7);
    let nothing = "/pos-servers?chain_id=01890000-0000-7000-8000-000000000000";
    assert_eq!(anna.get(nothing).await.problem(), (404, "not_found"));
    assert_eq!(admin.get(nothing).await.problem(), (404, "not_found"));
}

#[tokio::test]
async fn each_filter_leaves_what_it_says() {
    let (_cloud, admin) = fleet().await;
    let items = admin.get("/pos-servers?sort=name").await.body["items"].as_array().unwrap().clone();
    let failed = items.iter().find(|item| item["name"] == "failed").unwrap();
    let chain = failed["chain"]["id"].as_str().unwrap();
    let outlet = failed["outlet"]["id"].as_str().unwrap();
    let burgers = ["never", "silent", "stopped"];
    let problems = ["failed", "never", "offline", "outdated", "silent", "stopped"];
    for (query, expected) in [
        (format!("chain_id={chain}"), &["failed", "offline", "outdated", "well"][..]),
        (format!("outlet_id={outlet}"), &["failed", "well"]),
        (format!("outlet_id={outlet}&problems_only=true"), &["failed"]),
        ("problems_only=true".into(), &problems),
        ("problems_only=false&q=well".into(), &["well"]),
        ("reported_within=PT5H".into(), &["failed", "outdated", "silent", "stopped", "well"]),
        ("reported_within=P1D".into(), &["failed", "offline", "outdated", "silent", "stopped", "well"]),
        ("reported_within=PT0S".into(), &[]),
        // Any column, any case, any alphabet.
        ("q=BURGER".into(), &burgers),
        ("q=%C5%A0%C4%B6%C5%AANIS".into(), &["offline"]),
        ("q=%D0%9F%D0%98%D0%A6%D0%A6".into(), &["outdated"]),
        ("q=moscow".into(), &["outdated"]),
        ("q=0042".into(), &["failed", "well"]),
        ("q=34.5.2".into(), &["outdated"]),
        ("q=differ".into(), &["failed"]),
        ("q=Database_Incons".into(), &["failed"]),
        ("q=br%C4%ABv%C4%ABbas".into(), &["failed", "well"]),
        // Wildcards of the database mean nothing.
        ("q=100%25_".into(), &["offline"]),
        ("q=_".into(), &["failed", "offline"]),
        ("q=%5C".into(), &[]),
        ("q=%20".into(), &["failed", "never", "offline", "outdated", "silent", "stopped", "well"]),
    ] {
        assert_eq!(sorted(&admin, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn the_period_includes_its_edge_on_every_page() {
    let (cloud, admin) = fleet().await;
    let first = admin.get("/pos-servers?reported_within=PT1H&limit=1&sort=name").await.body;
    let as_of: chrono::DateTime<chrono::Utc> = serde_json::from_value(first["as_of"].clone()).unwrap();
    let edge = as_of - chrono::TimeDelta::hours(1);
    let at = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false);
    change(
        &cloud,
        &format!(
            "UPDATE pos_servers SET last_report_at = '{}' WHERE name = 'well';
             UPDATE pos_servers SET last_report_at = '{}' WHERE name <> 'well';",
            at(edge),
            at(edge - chrono::TimeDelta::milliseconds(1)),
        ),
    )
    .await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let next =
        admin.get(&format!("/pos-servers?reported_within=PT1H&limit=9&sort=name&cursor={cursor}")).await;
    assert_eq!(next.names(), ["well"]);
    assert_eq!(next.body["as_of"], first["as_of"]);
}

#[tokio::test]
async fn any_order_comes_page_by_page_without_loss_or_repeat() {
    let (cloud, admin) = fleet().await;
    change(
        &cloud,
            "UPDATE pos_servers SET exchange_success_at = '2026-11-01T00:00:00+00:00', generation = 3
                 WHERE name IN ('well', 'failed');
             UPDATE pos_servers SET exchange_success_at = '2026-11-01T00:00:00.500+00:00' WHERE name = 'silent';",
        )
        .await;
    for sort in [
        "",
        "name",
        "-name",
        "chain,-last_exchange_at",
        "-chain,last_exchange_at,-pos_version",
        "pos_version",
        "-generation,link",
        "-highlight,outlet",
        "error,cause,-last_report_at",
        "time_zone",
        "connector_version,-crm_id,address,pos,required_version",
    ] {
        let whole = admin.get(&format!("/pos-servers?sort={sort}")).await;
        assert_eq!(whole.body["items"].as_array().unwrap().len(), 7);
        for limit in [1, 2, 3, 6, 7] {
            let mut items = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = admin.get(&format!("/pos-servers?sort={sort}&limit={limit}{cursor}")).await;
                assert_eq!(page.status, StatusCode::OK, "{}", page.body);
                items.extend(page.body["items"].as_array().unwrap().clone());
                let Some(next) = page.body["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(Value::Array(items), whole.body["items"], "{sort} by {limit}");
        }
    }
}

#[tokio::test]
async fn columns_sort_as_people_expect() {
    let (cloud, admin) = fleet().await;
    change(
        &cloud,
        "UPDATE pos_servers SET exchange_success_at = '2026-11-01T00:00:00+00:00' WHERE name = 'well'",
    )
    .await;
    let order = async |sort: &str| {
        let answer = admin.get(&format!("/pos-servers?sort={sort}")).await;
        answer.names().into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    // 34.5.2 before 34.10.1, and the one without a version last, whatever the direction.
    let versions = order("pos_version,name").await;
    assert_eq!((versions[0].as_str(), versions[6].as_str()), ("outdated", "never"));
    let versions = order("-pos_version,name").await;
    assert_eq!((versions[5].as_str(), versions[6].as_str()), ("outdated", "never"));
    // Case does not count: Burger 1, Burger 2, burger 3.
    assert_eq!(order("outlet").await[..3], ["silent", "stopped", "never"]);
    assert_eq!(order("-last_exchange_at").await[0], "well");
    assert_eq!(order("last_exchange_at").await[0], "well");
    assert_eq!(order("-highlight,name").await[..2], ["failed", "outdated"]);
    // Ties go by id, which is the order of their making.
    assert_eq!(order("chain").await, ["silent", "stopped", "never", "well", "failed", "outdated", "offline"]);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_order() {
    let (_cloud, admin) = fleet().await;
    let page = admin.get("/pos-servers?sort=name&limit=2").await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let answer = admin.get(&format!("/pos-servers?sort=chain&limit=2&cursor={cursor}")).await;
    assert_eq!(answer.problem(), (422, "invalid_request"));
    assert_eq!(answer.body["errors"][0]["field"], "cursor");
}

#[tokio::test]
async fn behind_counts_what_a_store_has_not_taken() {
    let (cloud, admin) = fleet().await;
    for day in 1..=3 {
        change(
            &cloud,
            &format!(
                "INSERT INTO loyalty_changes (id, chain_id, table_name, row_id, content, created_at)
                     SELECT NEW_ID, id, 'programs', NEW_ID, '{{}}', '2026-11-0{day}T00:00:00+00:00'
                     FROM chains WHERE name = 'Pizza'"
            ),
        )
        .await;
    }
    change(
        &cloud,
        "UPDATE pos_servers SET cursor = 3 WHERE name = 'well';
             UPDATE pos_servers SET cursor = 1 WHERE name = 'failed'",
    )
    .await;
    let items = admin.get("/pos-servers").await.body["items"].as_array().unwrap().clone();
    let behind =
        |name: &str| items.iter().find(|item| item["name"] == name).unwrap()["exchange"]["behind"].clone();
    assert_eq!(behind("well"), json!({"changes": 0, "oldest_at": null}));
    assert_eq!(behind("failed"), json!({"changes": 2, "oldest_at": "2026-11-02T00:00:00Z"}));
    assert_eq!(behind("outdated"), json!({"changes": 3, "oldest_at": "2026-11-01T00:00:00Z"}));
    assert_eq!(behind("silent"), json!({"changes": 0, "oldest_at": null}));
}

#[tokio::test]
async fn a_list_is_compressed_when_the_client_can_read_it() {
    let (_cloud, admin) = fleet().await;
    let request = admin.request(reqwest::Method::GET, "/pos-servers").header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_page_holds_at_most_its_limit() {
    let (_cloud, admin) = fleet().await;
    let mut seen = BTreeSet::new();
    let page = admin.get("/pos-servers?limit=4").await;
    assert_eq!(page.names().len(), 4);
    seen.extend(page.names().into_iter().map(ToOwned::to_owned));
    assert_eq!(seen.len(), 4);
    assert!(admin.get("/pos-servers?limit=1000").await.body["next_cursor"].is_null());
}

#[tokio::test]
async fn texts_sort_the_same_way_in_every_database() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    cloud.import("Ā,Ā,,,Europe/Riga,a\nZ,Z,,,Europe/Riga,z\nb,b,,,Europe/Riga,b\n").await;
    for sort in ["chain", "outlet"] {
        let mut names = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = admin.get(&format!("/pos-servers?sort={sort}&limit=1{cursor}")).await;
            names.extend(page.names().into_iter().map(ToOwned::to_owned));
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        // The order of a language would have ā before b.
        assert_eq!(names, ["b", "z", "a"], "{sort}");
    }
}
