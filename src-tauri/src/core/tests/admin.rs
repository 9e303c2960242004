//! What administrators do, as the cloud gets it.

use serde_json::{Value, json};
use tillwatch_protocol::fleet::{BadLine, Fault};
use uuid::Uuid;

use super::cloud::FakeCloud;
use super::*;
use crate::ipc::{AdminQuery, AuditQuery, GrantPlace, OutletTexts, Permission, UserEdit};

const CHAIN: Uuid = Uuid::from_u128(0xc);
const OUTLET: Uuid = Uuid::from_u128(0x0);
const SERVER: Uuid = Uuid::from_u128(0x5);
const THING: Uuid = Uuid::from_u128(0x7);

fn outlet(n: u32) -> Value {
    json!({"id": Uuid::from_u128(u128::from(n)), "name": format!("Outlet {n}"), "crm_id": format!("{n:05}"), "address": "Brīvības iela",
        "time_zone": "Europe/Riga", "chain": {"id": CHAIN, "name": "Pizza"}, "pos_servers": 1, "created_at": "2026-11-01T10:00:00Z"})
}

fn server() -> Value {
    let outlet = outlet(3);
    json!({"id": SERVER, "name": "Main POS", "chain": outlet["chain"], "created_at": "2026-11-01T10:00:00Z",
        "outlet": {"id": outlet["id"], "name": "Outlet 3", "crm_id": "00003", "address": "", "time_zone": "Europe/Riga"},
        "enrolled_at": null, "code_expires_at": "2026-11-22T10:00:00Z"})
}

fn page(items: &[Value], next: Option<&str>) -> Value {
    json!({"items": items, "next_cursor": next})
}

async fn scene(home: &TempDir) -> (FakeCloud, Desk) {
    let cloud = FakeCloud::start(vec![]).await;
    let desk = Desk::signed_in(home, &cloud).await;
    (cloud, desk)
}

#[tokio::test]
async fn whoever_administers_something_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let desk = Desk::start(&home, Stored::default(), Secrets::memory());
    for (grants, administers) in [
        (json!({"everywhere": ["outlet_setup"], "chains": [], "outlets": []}), false),
        (json!({"everywhere": ["admin"], "chains": [], "outlets": []}), true),
        (
            json!({"everywhere": [], "chains": [{"chain_id": CHAIN, "permissions": ["admin"]}], "outlets": []}),
            true,
        ),
        // For a single outlet it means nothing.
        (
            json!({"everywhere": [], "chains": [], "outlets": [{"outlet_id": OUTLET, "permissions": ["admin"]}]}),
            false,
        ),
    ] {
        *cloud.state.grants.lock().unwrap() = grants.clone();
        let session = desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
        assert_eq!(session.administers, administers, "{grants}");
    }
}

#[tokio::test]
async fn outlets_are_read_once_and_searched_here() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, desk) = scene(&home).await;
    let outlets: Vec<Value> = (1..=1200).map(outlet).collect();
    cloud.answer("GET /admin/outlets?limit=1000", 200, page(&outlets[..1000], Some("next")));
    cloud.answer("GET /admin/outlets?limit=1000&cursor=next", 200, page(&outlets[1000..], None));
    let query = |search: &str, chain_id: Option<Uuid>, fresh| AdminQuery {
        chain_id: chain_id.map(|id| id.to_string()),
        search: search.into(),
        limit: 50,
        fresh,
    };
    let found = desk.core.admin_outlets(&query("", None, true)).await.unwrap();
    assert_eq!((found.items.len(), found.matching, found.total), (50, 1200, 1200));
    assert_eq!(cloud.asked().len(), 2);
    for (search, chain, matching) in [
        ("OUTLET 1199", None, 1),
        ("pizza 0007", None, 11),
        ("brīvības", Some(CHAIN), 1200),
        ("", Some(THING), 0),
        ("nothing like it", None, 0),
    ] {
        let found = desk.core.admin_outlets(&query(search, chain, false)).await.unwrap();
        assert_eq!(found.matching, matching, "{search}");
    }
    assert!(cloud.asked().is_empty(), "the cloud has been asked enough");
    // What was there stays when it can't be read anew.
    cloud.answer("GET /admin/outlets?limit=1000", 403, json!({"code": "permission_denied"}));
    assert_eq!(desk.core.admin_outlets(&query("", None, true)).await.unwrap_err().code, "permission_denied");
    assert_eq!(desk.core.admin_outlets(&query("", None, false)).await.unwrap().total, 1200);
}

#[tokio::test]
async fn each_change_is_one_call() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, desk) = scene(&home).await;
    let core = &desk.core;
    let chain = json!({"id": CHAIN, "name": "Pizza", "required_pos_version": null, "outlets": 0, "pos_servers": 0, "created_at": "2026-11-01T10:00:00Z"});
    let user = json!({"id": THING, "email": "b@example.com", "name": "Boris", "admin": false, "created_at": "2026-11-01T10:00:00Z",
        "disabled_at": null, "locked_until": null});
    let mut created = user.clone();
    created["password"] = json!("made-up-password");
    let grant = json!({"id": THING, "user": {"id": THING, "email": "b@example.com", "name": "Boris"}, "permission": "retrieve_logs",
        "scope": "chain", "chain": {"id": CHAIN, "name": "Pizza"}, "outlet": null});
    let done = json!(null);
    let code = json!({"pos_server_id": SERVER, "enrollment_code": "ABCDE-FGHJK", "expires_at": "2026-11-22T10:00:00Z"});
    for (call, status, answer) in [
        ("POST /admin/chains".to_owned(), 201, &chain),
        (format!("PATCH /admin/chains/{CHAIN}"), 200, &chain),
        (format!("DELETE /admin/chains/{CHAIN}"), 204, &done),
        (format!("PUT /admin/chains/{CHAIN}/release"), 200, &json!({"pos_version": "34.6.0"})),
        (format!("DELETE /admin/chains/{CHAIN}/release"), 204, &done),
        ("POST /admin/outlets".to_owned(), 201, &outlet(3)),
        (format!("PATCH /admin/outlets/{OUTLET}"), 200, &outlet(3)),
        (format!("DELETE /admin/outlets/{OUTLET}"), 204, &done),
        ("POST /admin/pos-servers".to_owned(), 201, &server()),
        (format!("PATCH /admin/pos-servers/{SERVER}"), 200, &server()),
        (format!("DELETE /admin/pos-servers/{SERVER}"), 204, &done),
        (format!("POST /admin/pos-servers/{SERVER}/enrollment-codes"), 201, &code),
        (format!("DELETE /admin/pos-servers/{SERVER}/enrollment-codes"), 204, &done),
        (format!("DELETE /admin/devices/{THING}"), 204, &done),
        ("POST /admin/users".to_owned(), 201, &created),
        (format!("PATCH /admin/users/{THING}"), 200, &user),
        (format!("DELETE /admin/users/{THING}"), 204, &done),
        (format!("PUT /admin/users/{THING}/password"), 200, &json!({"password": "another"})),
        (format!("POST /admin/users/{THING}/unlock"), 200, &user),
        (format!("DELETE /admin/users/{THING}/sessions"), 204, &done),
        (format!("DELETE /admin/users/{THING}/sessions/{THING}"), 204, &done),
        ("POST /admin/grants".to_owned(), 201, &grant),
        (format!("DELETE /admin/grants/{THING}"), 204, &done),
    ] {
        cloud.answer(&call, status, answer.clone());
    }
    let [chain, outlet, server, thing] = [CHAIN, OUTLET, SERVER, THING].map(|id| id.to_string());
    let texts = || OutletTexts {
        name: "Outlet 3".into(),
        crm_id: "00003".into(),
        address: "Brīvības iela".into(),
        time_zone: "Europe/Riga".into(),
    };
    core.add_chain("Pizza".into()).await.unwrap();
    core.rename_chain(&chain, "Pizza".into()).await.unwrap();
    core.delete_chain(&chain).await.unwrap();
    let other = Uuid::from_u128(0xd).to_string();
    let set = core.require_version(&[other.clone(), chain.clone()], Some("34.6.0")).await.unwrap();
    let codes: Vec<Option<&str>> =
        set.iter().map(|one| one.error.as_ref().map(|error| error.code.as_str())).collect();
    assert_eq!(codes, [Some("not_found"), None], "one that fails does not keep the others");
    core.require_version(std::slice::from_ref(&chain), None).await.unwrap();
    assert_eq!(core.add_outlet(&chain, texts()).await.unwrap().texts, texts());
    core.edit_outlet(&outlet, texts()).await.unwrap();
    core.delete_outlet(&outlet).await.unwrap();
    core.add_pos_server(&outlet, "Main POS".into()).await.unwrap();
    core.rename_pos_server(&server, "Main POS".into()).await.unwrap();
    core.remove_pos_server(&server).await.unwrap();
    let made = core.make_code(&server).await.unwrap();
    assert_eq!(
        (made.code.as_str(), &made.cloud, made.needs_certificate),
        ("ABCDE-FGHJK", &cloud.url(), false)
    );
    core.revoke_code(&server).await.unwrap();
    core.revoke_device(&thing).await.unwrap();
    let created = core.add_user("b@example.com".into(), "Boris".into(), false).await.unwrap();
    assert_eq!(created.password, "made-up-password");
    core.edit_user(&thing, UserEdit { disabled: Some(true), ..UserEdit::default() }).await.unwrap();
    core.delete_user(&thing).await.unwrap();
    assert_eq!(core.reset_password(&thing).await.unwrap(), "another");
    core.unlock_user(&thing).await.unwrap();
    core.end_user_sessions(&thing, None).await.unwrap();
    core.end_user_sessions(&thing, Some(&thing)).await.unwrap();
    let place = |chain_id: Option<&str>, outlet_id: Option<&str>| GrantPlace {
        chain_id: chain_id.map(Into::into),
        outlet_id: outlet_id.map(Into::into),
    };
    for place in [place(None, None), place(Some(&chain), None), place(Some(&chain), Some(&outlet))] {
        core.add_grant(&thing, Permission::RetrieveLogs, place).await.unwrap();
    }
    core.remove_grant(&thing).await.unwrap();

    let asked = cloud.asked();
    let body = |call: &str| -> Vec<&Value> {
        asked.iter().filter(|(made, _)| made == call).map(|(_, body)| body).collect()
    };
    assert_eq!(asked.len(), 26);
    assert_eq!(body("POST /admin/outlets")[0]["chain_id"], json!(CHAIN));
    assert_eq!(body(&format!("PATCH /admin/users/{THING}"))[0]["disabled"], true);
    let places: Vec<Value> = body("POST /admin/grants")
        .into_iter()
        .map(|grant| json!([grant["everywhere"], grant["chain_id"], grant["outlet_id"]]))
        .collect();
    assert_eq!(
        places,
        [json!([true, null, null]), json!([false, CHAIN, null]), json!([false, null, OUTLET])]
    );

    // What is no id asks nobody.
    assert_eq!(core.delete_user("../chains").await.unwrap_err().code, "not_found");
    assert!(cloud.asked().is_empty());
}

#[tokio::test]
async fn a_file_is_looked_at_first_and_imported_as_it_was_seen() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, desk) = scene(&home).await;
    let path = home.path().join("outlets.csv");
    let file = "chain,outlet,crm_id,address,time_zone,pos_server\r\nPizza,Riga 1,007,,Europe/Riga,Main POS\r\nPizza,Riga 1,007,,Europe/Riga,Bar\r\n";
    std::fs::write(&path, file).unwrap();
    assert_eq!(desk.core.import().await.unwrap_err().code, "not_found", "nothing was chosen");
    let preview = desk.core.read_import(&path).await.unwrap();
    assert_eq!((preview.chains, preview.outlets, preview.pos_servers), (1, 1, 2));
    assert_eq!((preview.file_name.as_str(), preview.lines[1].number), ("outlets.csv", 3));
    assert_eq!(preview.lines[0].texts.crm_id, "007");

    // The cloud knows more: its reasons stand at their lines.
    let bad = BadLine { number: 3, fault: Fault::PosServerTaken { pos_server: "Bar".into() } };
    let mut error = serde_json::to_value(&bad).unwrap();
    error["field"] = json!("line 3");
    error["message"] = json!(bad.fault.to_string());
    cloud.answer("POST /admin/fleet/import", 422, json!({"code": "invalid_request", "errors": [error]}));
    let refused = desk.core.import().await.unwrap();
    assert_eq!((refused.pos_servers, refused.faults[0].line), (0, 3));
    assert_eq!(
        (refused.faults[0].code.as_str(), &*refused.faults[0].params["pos_server"]),
        ("pos_server_taken", "Bar")
    );
    // What it does not tell by line is an error as any.
    cloud.answer("POST /admin/fleet/import", 403, json!({"code": "permission_denied"}));
    assert_eq!(desk.core.import().await.unwrap_err().code, "permission_denied");

    // The file may have changed since: what was seen is what is sent.
    std::fs::write(&path, "").unwrap();
    let imported = json!({"items": [{"pos_server_id": SERVER, "outlet": "Riga 1", "enrollment_code": "A"}]});
    cloud.answer("POST /admin/fleet/import", 201, imported);
    assert_eq!(desk.core.import().await.unwrap().pos_servers, 1);
    assert_eq!(cloud.asked().last().unwrap().1, json!(file));
    assert_eq!(desk.core.import().await.unwrap_err().code, "not_found", "once");
}

#[tokio::test]
async fn a_file_that_cannot_be_imported_says_where_and_is_not_sent() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, desk) = scene(&home).await;
    let path = home.path().join("outlets.csv");
    std::fs::write(&path, "chain;outlet;crm_id;address;time_zone;pos_server\nPizza;;1;;Europe/Riga;Main\nPizza;B;1;;Mars;Main\n").unwrap();
    let preview = desk.core.read_import(&path).await.unwrap();
    let faults: Vec<_> = preview.faults.iter().map(|fault| (fault.line, fault.code.as_str())).collect();
    assert_eq!(faults, [(2, "text_empty"), (3, "time_zone")]);
    assert_eq!(
        (&*preview.faults[0].params["column"], &*preview.faults[1].params["name"]),
        ("outlet", "Mars")
    );
    assert_eq!(desk.core.import().await.unwrap_err().code, "not_found");
    assert_eq!(desk.core.read_import(home.path()).await.unwrap_err().code, "file_unreadable");
    assert!(cloud.asked().is_empty());
}

#[tokio::test]
async fn the_audit_trail_is_asked_for_what_the_user_wants() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(SERVER.as_u128(), json!({}))]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    let entry = json!({"seq": 7, "at": "2026-11-21T10:00:00Z", "actor": format!("user:{THING}"), "actor_name": "Boris", "action": "job.requested",
        "target": format!("pos_server:{SERVER}"), "chain_id": CHAIN, "details": {"kind": "diagnose", "count": 3}, "hash": "ab"});
    let call =
        "GET /admin/audit?limit=100&action=job.requested&from=2026-11-21T00%3A00%3A00%2B00%3A00&cursor=c1";
    cloud.answer(call, 200, page(&[entry], Some("c2")));
    let query = AuditQuery {
        action: Some("job.requested".into()),
        from: Some("2026-11-21T00:00:00Z".parse().unwrap()),
        next: Some("c1".into()),
        ..AuditQuery::default()
    };
    let found = desk.core.audit(&query).await.unwrap();
    assert_eq!(found.next.as_deref(), Some("c2"));
    assert_eq!(
        found.items[0].details,
        [("count".to_owned(), "3".to_owned()), ("kind".to_owned(), "diagnose".to_owned())]
    );
    assert_eq!(found.items[0].target_name.as_deref(), Some("Outlet 00005, Main POS"));
    let backwards = AuditQuery { to: query.from, ..query };
    assert_eq!(desk.core.audit(&backwards).await.unwrap_err().code, "period_invalid");
}
