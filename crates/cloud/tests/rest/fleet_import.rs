//! Importing a fleet: all of it or nothing.

use chrono::Utc;
use tillwatch_cloud::admin::{self, AdminError};

use crate::support::{ADMIN, HEADER, TestCloud};

const TWO: &str = "Pizza,Riga 1,1,,Europe/Riga,Main\nPizza,Riga 1,1,,Europe/Riga,Second\n";

/// What an import is refused with.
async fn refusal(cloud: &TestCloud, file: &[u8]) -> String {
    let error = admin::import_fleet(&cloud.store, file, Utc::now()).await.unwrap_err();
    assert!(matches!(error, AdminError::BadLines(_)));
    error.to_string()
}

#[tokio::test]
async fn chains_and_outlets_are_made_once() {
    let cloud = TestCloud::start().await;
    let imported = cloud.import(TWO).await;
    let more = cloud.import("Pizza,Riga 1,1,,Europe/Riga,Third\nPizza,Riga 2,2,,Europe/Riga,Main\n").await;
    assert_ne!(imported[0].enrollment_code, imported[1].enrollment_code);
    assert_eq!(more[1].outlet, "Riga 2");

    let admin = cloud.sign_in(ADMIN).await;
    assert_eq!(admin.get("/outlets").await.names(), ["Riga 1", "Riga 2"]);
    let list = admin.get("/pos-servers?sort=outlet").await;
    assert_eq!(list.names(), ["Main", "Second", "Third", "Main"]);
    assert_eq!(list.body["items"][0]["id"], imported[0].pos_server_id.to_string());
}

#[tokio::test]
async fn one_bad_line_keeps_everything_out() {
    let cloud = TestCloud::start().await;
    let bad = format!("{HEADER}{TWO}Burger,Vilnius,3,,Mars/Base,Main\n");
    assert_eq!(
        refusal(&cloud, bad.as_bytes()).await,
        "nothing was imported:\nline 4: `Mars/Base` is not a known time zone, such as Europe/Riga"
    );
    let admin = cloud.sign_in(ADMIN).await;
    assert_eq!(admin.get("/pos-servers").await.names(), [""; 0]);
    assert_eq!(admin.get("/outlets").await.names(), [""; 0]);
}

#[tokio::test]
async fn what_is_there_already_is_an_error_that_names_the_line() {
    let cloud = TestCloud::start().await;
    cloud.import(TWO).await;
    let again = format!("{HEADER}Pizza,Riga 3,3,,Europe/Riga,Main\nPizza,Riga 1,1,,Europe/Riga,Second\n");
    assert_eq!(
        refusal(&cloud, again.as_bytes()).await,
        "nothing was imported:\nline 3: the POS server `Second` of this outlet is there already"
    );
    let moved = format!("{HEADER}Pizza,Riga 1,1,,Europe/Vilnius,Third\n");
    assert_eq!(
        refusal(&cloud, moved.as_bytes()).await,
        "nothing was imported:\nline 2: the outlet `Riga 1` is there already with another time_zone"
    );
    let admin = cloud.sign_in(ADMIN).await;
    assert_eq!(admin.get("/pos-servers").await.names().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_text_is_refused() {
    let cloud = TestCloud::start().await;
    let mut file = HEADER.as_bytes().to_vec();
    file.extend([0xff, 0xfe, b'\n']);
    assert!(refusal(&cloud, &file).await.ends_with("line 2: the file is not UTF-8 from here on"));
    assert!(refusal(&cloud, b"").await.contains("line 1: the header line"));
}
