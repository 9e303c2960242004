//! Chains, outlets and POS servers, as their administrators keep them.

use serde_json::{Value, json};
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::rest::session::Permission;

use crate::support::{ADMIN, Client, Events, TestCloud};

const NOWHERE: &str = "019a4b1e-7d00-7c3a-9f51-6f2f0a1b2c3d";

pub(crate) fn id(body: &Value) -> String {
    body["id"].as_str().unwrap_or_else(|| panic!("no id in {body}")).to_owned()
}

/// The fields that a refusal names.
pub(crate) fn fields(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

/// The next event, which is a status.
async fn status(events: &mut Events) -> Value {
    let event = events.next().await.unwrap();
    assert_eq!(event.name, "status", "{event:?}");
    event.data
}

async fn found(client: &Client, q: &str) -> usize {
    client.get(&format!("/pos-servers?q={q}")).await.names().len()
}

#[tokio::test]
async fn a_chain_with_an_outlet_and_a_pos_server_is_made_by_hand() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let mut events = admin.events(None).await;

    let chain = admin.post("/admin/chains", &json!({"name": " Pizza "})).await;
    assert_eq!((chain.status.as_u16(), &chain.body["name"]), (201, &json!("Pizza")));
    let chain_id = id(&chain.body);
    let new = json!({"chain_id": chain_id, "name": "Rīga 1", "crm_id": "007", "time_zone": "Europe/Riga"});
    let outlet = admin.post("/admin/outlets", &new).await;
    assert_eq!(outlet.status, 201, "{}", outlet.body);
    assert_eq!(outlet.body["chain"], json!({"id": chain_id, "name": "Pizza"}));
    assert_eq!((&outlet.body["crm_id"], &outlet.body["address"]), (&json!("007"), &json!("")));
    let new = json!({"outlet_id": id(&outlet.body), "name": "Main POS"});
    let pos_server = admin.post("/admin/pos-servers", &new).await;
    assert_eq!(pos_server.status, 201, "{}", pos_server.body);
    assert_eq!(pos_server.body["outlet"]["name"], "Rīga 1");
    assert_eq!(pos_server.body["enrolled_at"], Value::Null);

    let told = status(&mut events).await;
    assert_eq!(told["id"], pos_server.body["id"]);
    assert_eq!(told["link"]["state"], "never_connected");
    assert_eq!(found(&admin, "r%C4%ABga").await, 1);
    let chain = admin.get(&format!("/admin/chains/{chain_id}")).await;
    assert_eq!((&chain.body["outlets"], &chain.body["pos_servers"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn names_are_taken_once_and_texts_are_checked() {
    let cloud = TestCloud::start().await;
    let imported = cloud.import("Pizza,Riga,1,,Europe/Riga,Main\nSushi,Riga,1,,Europe/Riga,Main\n").await;
    let admin = cloud.sign_in(ADMIN).await;
    let main = admin.get(&format!("/admin/pos-servers/{}", imported[0].pos_server_id)).await.body;
    let (chain, outlet) = (id(&main["chain"]), id(&main["outlet"]));
    let good = json!({"chain_id": chain, "name": "Riga", "time_zone": "Europe/Riga"});

    for (path, body) in [
        ("/admin/chains", json!({"name": "Pizza"})),
        ("/admin/outlets", good.clone()),
        ("/admin/pos-servers", json!({"outlet_id": outlet, "name": "Main"})),
    ] {
        assert_eq!(admin.post(path, &body).await.problem(), (409, "already_exists"), "{path}");
    }
    let taken = json!({"name": "Sushi"});
    let path = format!("/admin/chains/{chain}");
    assert_eq!(admin.patch(&path, &taken).await.problem(), (409, "already_exists"));
    // Its own name is no other's.
    assert_eq!(admin.patch(&path, &json!({"name": "Pizza"})).await.status, 200);

    for name in ["", "  ", "a\nb", &"a".repeat(201)] {
        let refused = admin.post("/admin/chains", &json!({"name": name})).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{name:?}");
        assert_eq!(fields(&refused.body), ["name"]);
        let refused = admin.patch(&path, &json!({"name": name})).await;
        assert_eq!(fields(&refused.body), ["name"]);
    }
    let mut bad = good.clone();
    bad["name"] = json!("");
    bad["crm_id"] = json!("\u{7}");
    bad["time_zone"] = json!("Mars/Base");
    let refused = admin.post("/admin/outlets", &bad).await;
    assert_eq!(fields(&refused.body), ["name", "crm_id", "time_zone"]);
    let refused = admin.patch(&format!("/admin/outlets/{outlet}"), &json!({"time_zone": "Riga"})).await;
    assert_eq!(fields(&refused.body), ["time_zone"]);
    let refused = admin.post("/admin/chains", &json!({"name": "Burger", "colour": "red"})).await;
    assert_eq!(refused.problem(), (422, "invalid_request"));
    for path in ["/admin/chains?colour=red", "/admin/outlets?limit=0", "/admin/pos-servers?cursor=!"] {
        assert_eq!(admin.get(path).await.problem(), (422, "invalid_request"), "{path}");
    }
    let mut nowhere = good;
    nowhere["chain_id"] = json!(NOWHERE);
    assert_eq!(admin.post("/admin/outlets", &nowhere).await.problem(), (404, "not_found"));
    for path in ["chains", "outlets", "pos-servers"] {
        assert_eq!(admin.get(&format!("/admin/{path}/{NOWHERE}")).await.problem(), (404, "not_found"));
    }
}

#[tokio::test]
async fn new_names_reach_those_who_follow_and_those_who_search() {
    let cloud = TestCloud::start().await;
    let imported = cloud.import("Pizza,Old Riga,1,Brīvības 1,Europe/Riga,Main\n").await;
    cloud.import("Sushi,Tartu,2,,Europe/Tallinn,Main\n").await;
    let admin = cloud.sign_in(ADMIN).await;
    let path = format!("/admin/pos-servers/{}", imported[0].pos_server_id);
    let main = admin.get(&path).await.body;
    let mut events = admin.events(None).await;

    let chain = format!("/admin/chains/{}", id(&main["chain"]));
    assert_eq!(admin.patch(&chain, &json!({"name": "ПИЦЦА"})).await.body["name"], "ПИЦЦА");
    assert_eq!(status(&mut events).await["chain"]["name"], "ПИЦЦА");
    assert_eq!((found(&admin, "pizza").await, found(&admin, "пицца").await), (0, 1));

    let outlet = format!("/admin/outlets/{}", id(&main["outlet"]));
    let edit = json!({"name": "New_Riga", "crm_id": "0042", "time_zone": "Europe/Vilnius"});
    let edited = admin.patch(&outlet, &edit).await;
    assert_eq!(edited.body["address"], "Brīvības 1", "what is not given stays");
    assert_eq!(status(&mut events).await["outlet"], {
        let mut outlet = edited.body.clone();
        for more in ["chain", "pos_servers", "created_at"] {
            outlet.as_object_mut().unwrap().remove(more);
        }
        outlet
    });
    for (q, count) in [("old", 0), ("new_riga", 1), ("0042", 1), ("vilnius", 1), ("br%C4%ABv", 1)] {
        assert_eq!(found(&admin, q).await, count, "{q}");
    }

    assert_eq!(admin.patch(&path, &json!({"name": "Bar POS"})).await.body["name"], "Bar POS");
    assert_eq!(status(&mut events).await["name"], "Bar POS");
    assert_eq!((found(&admin, "bar").await, found(&admin, "main").await), (1, 1));
    // By every text: as if it had been imported like that.
    assert_eq!(admin.get("/pos-servers?sort=chain,outlet,name").await.names(), ["Main", "Bar POS"]);
    let nothing = admin.patch(&path, &json!({})).await;
    assert_eq!((nothing.status.as_u16(), &nothing.body["name"]), (200, &json!("Bar POS")));
}

#[tokio::test]
async fn only_what_is_empty_is_deleted() {
    let cloud = TestCloud::start().await;
    let imported = cloud.import("Pizza,Riga,1,,Europe/Riga,Main\n").await;
    cloud.add_user("anna@example.com", false).await;
    cloud.grant("anna@example.com", ScopeName::Outlet("Riga".into()), Permission::OutletSetup).await;
    let (admin, anna) = (cloud.sign_in(ADMIN).await, cloud.sign_in("anna@example.com").await);
    let path = format!("/admin/pos-servers/{}", imported[0].pos_server_id);
    let main = admin.get(&path).await.body;
    let chain = format!("/admin/chains/{}", id(&main["chain"]));
    let outlet = format!("/admin/outlets/{}", id(&main["outlet"]));
    let mut events = anna.events(None).await;

    let refused = admin.delete(&chain).await;
    assert_eq!(refused.problem(), (409, "not_empty"));
    assert_eq!((&refused.body["what"], &refused.body["count"]), (&json!("outlets"), &json!(1)));
    assert_eq!(admin.delete(&outlet).await.problem(), (409, "not_empty"));

    assert_eq!(admin.delete(&path).await.status, 204);
    let gone = events.next().await.unwrap();
    assert_eq!((gone.name.as_str(), &gone.data), ("pos_server_removed", &json!({"id": id(&main)})));
    assert_eq!(admin.delete(&path).await.problem(), (404, "not_found"));
    assert_eq!(anna.get(&format!("/pos-servers/{}", id(&main))).await.problem(), (404, "not_found"));
    // The grant goes with the outlet, and whoever had it is told to load anew.
    assert_eq!(admin.delete(&outlet).await.status, 204);
    assert_eq!(events.next().await.unwrap().name, "resync");
    assert_eq!(anna.get("/me").await.body["outlets"], json!([]));

    // Loyalty data is content too.
    let programs = format!("/chains/{}/programs", id(&main["chain"]));
    let program =
        json!({"items": [{"id": NOWHERE, "name": "Welcome", "bonus_basis_points": 500, "active": true}]});
    let put = admin.put(&programs, &program).await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(admin.delete(&chain).await.body["what"], "rows of loyalty data");
    assert_eq!(admin.put(&programs, &json!({"items": []})).await.status, 200);
    assert_eq!(admin.delete(&chain).await.status, 204);
    assert_eq!(admin.get("/admin/chains").await.names(), [""; 0]);
}

#[tokio::test]
async fn lists_come_in_pages_by_name() {
    let cloud = TestCloud::start().await;
    cloud
        .import(
            "b,R 2,1,,Europe/Riga,M\nA,R 1,1,,Europe/Riga,M\nA,R 1,1,,Europe/Riga,L\nb,q,1,,Europe/Riga,M\n",
        )
        .await;
    let admin = cloud.sign_in(ADMIN).await;
    for (path, expected) in [
        ("/admin/chains", &["A", "b"][..]),
        ("/admin/outlets", &["R 1", "q", "R 2"]),
        ("/admin/pos-servers", &["L", "M", "M", "M"]),
    ] {
        assert_eq!(admin.get(path).await.names(), expected);
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("{path}?limit=1{cursor}")).await;
            names.extend(page.names().iter().map(|name| (*name).to_owned()));
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(names, expected, "{path}");
    }
    let chains = admin.get("/admin/chains").await.body;
    let of_b = format!("?chain_id={}", id(&chains["items"][1]));
    assert_eq!(admin.get(&format!("/admin/outlets{of_b}")).await.names(), ["q", "R 2"]);
    assert_eq!(admin.get(&format!("/admin/pos-servers{of_b}")).await.names().len(), 2);
}

#[tokio::test]
async fn a_chain_requires_a_version_or_none() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,Main\n").await;
    let admin = cloud.sign_in(ADMIN).await;
    let chain = id(&admin.get("/admin/chains").await.body["items"][0]);
    let path = format!("/admin/chains/{chain}/release");
    assert_eq!(admin.get(&path).await.body, json!({"pos_version": null}));
    let mut events = admin.events(None).await;

    assert_eq!(admin.put(&path, &json!({"pos_version": " 34.6.0 "})).await.body["pos_version"], "34.6.0");
    assert_eq!(status(&mut events).await["pos"]["required_version"], "34.6.0");
    assert_eq!(admin.get(&format!("/admin/chains/{chain}")).await.body["required_pos_version"], "34.6.0");
    for bad in ["", "soon", &"1".repeat(65)] {
        let refused = admin.put(&path, &json!({"pos_version": bad})).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{bad}");
        assert_eq!(fields(&refused.body), ["pos_version"]);
    }
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(status(&mut events).await["pos"]["required_version"], Value::Null);
    assert_eq!(admin.delete(&path).await.status, 204, "none stays none");
}
