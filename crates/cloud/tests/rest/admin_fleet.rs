//! Importing a fleet over REST.

use std::fmt::Write;

use reqwest::Method;
use serde_json::json;

use crate::admin_places::fields;
use crate::support::{ADMIN, Answer, Client, HEADER, TestCloud, answer};

async fn import(client: &Client, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = client.request(Method::POST, "/admin/fleet/import");
    answer(request.header("content-type", kind).body(body)).await
}

#[tokio::test]
async fn csv_and_json_are_imported_with_codes_that_enroll() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let csv = format!("\u{feff}{HEADER}Pizza,Riga 1,007,,Europe/Riga,Main\n");
    let imported = import(&admin, "text/csv; charset=utf-8", csv).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
    assert_eq!(imported.body["items"][0]["outlet"], "Riga 1");
    let line = json!([{"chain": "Pizza", "outlet": "Riga 2", "crm_id": "8", "time_zone": "Europe/Riga",
        "pos_server": "Main"}]);
    let imported = import(&admin, "application/json", line.to_string()).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
    assert_eq!(admin.get("/outlets").await.names(), ["Riga 1", "Riga 2"]);

    let key = tillwatch_protocol::device::DeviceKey::generate();
    let code = &imported.body["items"][0]["enrollment_code"];
    let body = json!({"code": code, "public_key": key.public_key()});
    let enrolled = cloud.anonymous().post("/enroll", &body).await;
    assert_eq!(enrolled.body["pos_server_id"], imported.body["items"][0]["pos_server_id"]);
}

#[tokio::test]
async fn bad_files_are_refused_and_nothing_is_imported() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let good = "Pizza,Riga,1,,Europe/Riga,Main\n";
    let bad = format!("{HEADER}{good}Pizza,Riga 2,1,,Mars/Base,Main\nPizza,,1,,Europe/Riga,Main\n");
    let refused = import(&admin, "text/csv", bad).await;
    assert_eq!(refused.problem(), (422, "invalid_request"));
    assert_eq!(fields(&refused.body), ["line 3", "line 4"]);
    assert_eq!(refused.body["errors"][1]["message"], "outlet is empty");

    for body in ["", "[{}]", "[", good] {
        assert_eq!(import(&admin, "text/csv", body).await.problem(), (422, "invalid_request"), "{body}");
    }
    for kind in ["application/zip", "text/plain"] {
        assert_eq!(import(&admin, kind, good).await.problem(), (415, "unsupported_media_type"));
    }
    let large = vec![b'x'; 64 * 1024 * 1024 + 1];
    assert_eq!(import(&admin, "text/csv", large).await.problem(), (413, "payload_too_large"));
    assert_eq!(admin.get("/outlets").await.names(), [""; 0]);
}

#[tokio::test]
async fn ten_thousand_stores_come_in_one_file() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let mut file = HEADER.to_owned();
    for line in 0..10_000 {
        let (chain, outlet) = (line % 3, line / 2);
        writeln!(file, "Chain {chain},Outlet {outlet},{outlet},Street {outlet},Europe/Riga,POS {line}")
            .unwrap();
    }
    let imported = import(&admin, "text/csv", file.clone()).await;
    assert_eq!(imported.status, 201);
    assert_eq!(imported.body["items"].as_array().unwrap().len(), 10_000);
    let chains = admin.get("/admin/chains").await.body;
    let sum: u64 =
        chains["items"].as_array().unwrap().iter().map(|chain| chain["pos_servers"].as_u64().unwrap()).sum();
    assert_eq!(sum, 10_000);
    assert_eq!(admin.get("/pos-servers?q=outlet%204999").await.names().len(), 2);

    let again = import(&admin, "text/csv", file).await;
    assert_eq!(again.problem(), (422, "invalid_request"));
    assert_eq!(fields(&again.body).len(), 1000, "as many as a person reads");
    assert!(again.body["detail"].as_str().unwrap().contains("10000 lines"));
}
