//! The audit trail over REST.

use serde_json::{Value, json};
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::rest::session::Permission::Admin;

use crate::admin_places::{fields, id};
use crate::support::{ADMIN, TestCloud};

fn actions(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_was_done_is_told_newest_first_and_by_whom() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let me = admin.get("/me").await.body["user"].clone();
    let chain = id(&admin.post("/admin/chains", &json!({"name": "Pizza"})).await.body);
    let new = json!({"chain_id": chain, "name": "Riga", "time_zone": "Europe/Riga"});
    let outlet = id(&admin.post("/admin/outlets", &new).await.body);
    let new = json!({"outlet_id": outlet, "name": "Main"});
    let pos = id(&admin.post("/admin/pos-servers", &new).await.body);
    let codes = format!("/admin/pos-servers/{pos}/enrollment-codes");
    let code = admin.post(&codes, &json!({})).await.body["enrollment_code"].as_str().unwrap().to_owned();
    admin.delete(&codes).await;
    admin.delete(&codes).await;
    admin.delete(&format!("/admin/pos-servers/{pos}")).await;
    admin.delete(&format!("/admin/outlets/{outlet}")).await;
    admin.delete(&format!("/admin/chains/{chain}")).await;

    let all = admin.get("/admin/audit").await.body;
    let expected = [
        "chain.deleted",
        "outlet.deleted",
        "pos_server.removed",
        "enrollment_code.revoked",
        "enrollment_code.made",
        "pos_server.added",
        "outlet.added",
        "chain.added",
        "session.started",
        "user.added",
    ];
    assert_eq!(actions(&all), expected, "what changed nothing left no entry");
    assert!(!all.to_string().contains(&code));
    let first = &all["items"][0];
    assert_eq!(first["actor"], format!("user:{}", me["id"].as_str().unwrap()));
    assert_eq!((&first["actor_name"], &first["chain_id"]), (&me["name"], &json!(chain)));
    assert_eq!(all["items"][9]["actor"], "command_line");

    // By chain, though it is gone; by target, action, actor and period.
    let of_chain = admin.get(&format!("/admin/audit?chain_id={chain}")).await.body;
    assert_eq!(actions(&of_chain), expected[..8]);
    let of_pos = admin.get(&format!("/admin/audit?target=pos_server:{pos}")).await.body;
    assert_eq!(actions(&of_pos), expected[2..6]);
    let by = admin.get("/admin/audit?actor=command_line").await.body;
    assert_eq!(actions(&by), ["user.added"]);
    let of_action = admin.get("/admin/audit?action=outlet.added").await.body;
    assert_eq!(id(&json!({"id": of_action["items"][0]["details"]["chain_id"]})), chain);
    let at = of_action["items"][0]["at"].as_str().unwrap();
    let since = admin.get(&format!("/admin/audit?from={at}")).await.body;
    assert_eq!(actions(&since), expected[..7]);
    let until = admin.get(&format!("/admin/audit?to={at}")).await.body;
    assert_eq!(actions(&until), expected[7..]);

    let (mut told, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/admin/audit?limit=3{cursor}")).await.body;
        told.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(told), all["items"]);
    let bad = admin.get("/admin/audit?chain_id=x&from=yesterday&to=now&limit=0&cursor=!").await;
    assert_eq!(fields(&bad.body), ["chain_id", "from", "to", "limit", "cursor"]);
}

#[tokio::test]
async fn who_administers_a_chain_reads_what_was_done_in_it() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,P\nSushi,Tartu,1,,Europe/Riga,S\n").await;
    cloud.add_user("chief@example.com", false).await;
    cloud.grant("chief@example.com", ScopeName::Chain("Pizza".into()), Admin).await;
    cloud.grant("chief@example.com", ScopeName::Outlet("Tartu".into()), Admin).await;
    let chief = cloud.sign_in("chief@example.com").await;

    let list = chief.get("/admin/audit").await.body;
    assert_eq!(actions(&list), ["grant.added", "fleet.imported"]);
    assert_eq!(list["items"][1]["details"]["pos_servers"], 1);

    // What they do there is told under their name.
    let pos = id(&chief.get("/admin/pos-servers").await.body["items"][0]);
    chief.patch(&format!("/admin/pos-servers/{pos}"), &json!({"name": "Bar"})).await;
    let renamed = chief.get("/admin/audit?limit=1").await.body["items"][0].clone();
    assert_eq!(renamed["action"], "pos_server.renamed");
    assert_eq!(
        (&renamed["details"]["name"], &renamed["details"]["name_before"]),
        (&json!("Bar"), &json!("P"))
    );
    assert_eq!(renamed["actor_name"], "Somebody");
}

#[tokio::test]
async fn the_chain_of_hashes_is_checked_with_a_call() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,P\n").await;
    let admin = cloud.sign_in(ADMIN).await;
    let verify = async || admin.post("/admin/audit/verify", &json!({})).await.body;
    assert_eq!(verify().await, json!({"whole": true, "entries": 3, "broken_at": null}));

    // An entry that is moved out of a chain's sight does not go unnoticed either.
    cloud.sql("UPDATE audit SET chain_id = NULL WHERE seq = 2").await;
    assert_eq!(verify().await, json!({"whole": false, "entries": 1, "broken_at": 2}));
}
