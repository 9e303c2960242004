//! The outlets that a user may choose from.

use reqwest::StatusCode;
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::rest::session::Permission;

use crate::support::{ADMIN, TestCloud};

const FLEET: &str = "Pizza,Ādaži,1,,Europe/Riga,Main\nPizza,bauska,2,,Europe/Riga,Main\n\
    Pizza,Cēsis,3,,Europe/Riga,Main\nBurger,Dobele,4,,Europe/Riga,Main\n";

#[tokio::test]
async fn outlets_are_listed_by_chain_and_name_page_by_page() {
    let cloud = TestCloud::start().await;
    cloud.import(FLEET).await;
    let admin = cloud.sign_in(ADMIN).await;
    let whole = admin.get("/outlets").await;
    assert_eq!(whole.names(), ["Dobele", "bauska", "Cēsis", "Ādaži"]);
    assert_eq!(whole.body["items"][0]["chain"]["name"], "Burger");
    assert_eq!(whole.body["items"][0]["time_zone"], "Europe/Riga");
    assert!(whole.body["next_cursor"].is_null());

    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/outlets?limit=1{cursor}")).await;
        names.extend(page.names().into_iter().map(ToOwned::to_owned));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, whole.names());
}

#[tokio::test]
async fn only_outlets_with_outlet_setup_are_there() {
    let cloud = TestCloud::start().await;
    cloud.import(FLEET).await;
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    assert_eq!(anna.get("/outlets").await.names(), [""; 0]);

    cloud.grant("anna@example.com", ScopeName::Outlet("Cēsis".into()), Permission::OutletSetup).await;
    cloud.grant("anna@example.com", ScopeName::Chain("Burger".into()), Permission::RetrieveLogs).await;
    assert_eq!(anna.get("/outlets").await.names(), ["Cēsis"]);

    let all = cloud.sign_in(ADMIN).await.get("/outlets").await.body;
    let chain =
        |index: usize| format!("/outlets?chain_id={}", all["items"][index]["chain"]["id"].as_str().unwrap());
    assert_eq!(anna.get(&chain(0)).await.problem(), (404, "not_found"));
    assert_eq!(anna.get(&chain(1)).await.names(), ["Cēsis"]);
    assert_eq!(anna.get("/outlets?chain_id=x").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}
