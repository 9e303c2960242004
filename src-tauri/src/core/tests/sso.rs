//! Signing in by a provider of identities, with the browser played by the test.

use serde_json::json;
use url::Url;

use super::cloud::FakeCloud;
use super::*;
use crate::core::lock;
use crate::ipc::{SessionState, SsoTry, SsoWords};

fn words() -> SsoWords {
    SsoWords { language: "en".into(), done: "You may close this.".into(), failed: "Look at the app.".into() }
}

async fn scene(home: &TempDir) -> (FakeCloud, Desk) {
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    *cloud.state.providers.lock().unwrap() = vec![json!({"id": "work", "name": "Work account"})];
    let desk = Desk::start(home, Stored::default(), Secrets::memory());
    (cloud, desk)
}

/// Goes to where the provider sends the browser, and gives the page that it shows.
async fn come_back(attempt: &SsoTry, query: &str) -> String {
    let url = Url::parse(&attempt.address).unwrap();
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    browser.get(format!("{redirect}?{query}")).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_user_signs_in_in_the_browser() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, mut desk) = scene(&home).await;
    let providers = desk.core.sso_providers(&cloud.url()).await.unwrap();
    assert_eq!((providers[0].id.as_str(), providers[0].name.as_str()), ("work", "Work account"));

    let attempt = desk.core.start_sso(&cloud.url(), "work", false).await.unwrap();
    let (core, words) = (Arc::clone(&desk.core), words());
    let finishing = tokio::spawn(async move { core.finish_sso(&words).await });
    // Another page of that browser, which knows no state, does not end the wait.
    come_back(&attempt, "code=stolen&state=guessed").await;
    let page = come_back(&attempt, "code=abc&state=try%2F1&iss=https://work.example.com").await;
    assert!(page.contains("You may close this."), "{page}");

    let session = finishing.await.unwrap().unwrap();
    assert_eq!((session.state, session.email.as_deref()), (SessionState::SignedIn, Some("anna@example.com")));
    assert!(session.remembered);
    assert_eq!(
        *cloud.state.finished.lock().unwrap(),
        [json!({"secret": "s3cret", "state": "try/1", "code": "abc", "iss": "https://work.example.com"})]
    );
    desk.hears(|event| event["connection"]["state"] == "live").await;
    assert_eq!(desk.core.preferences().profiles().current, session.profile);
    // The try is over.
    assert_eq!(desk.core.finish_sso(&self::words()).await.unwrap_err().code, "sso_expired");
}

#[tokio::test]
async fn what_goes_wrong_in_the_browser_has_its_code_and_its_page() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, desk) = scene(&home).await;
    for refused in ["sso_user_unknown", "sso_email_unverified", "sso_account_changed", "sso_refused"] {
        *cloud.state.refuses_sso.lock().unwrap() = Some((403, refused));
        let attempt = desk.core.start_sso(&cloud.url(), "work", false).await.unwrap();
        let (core, words) = (Arc::clone(&desk.core), words());
        let finishing = tokio::spawn(async move { core.finish_sso(&words).await });
        let page = come_back(&attempt, "error=access_denied&state=try%2F1").await;
        assert!(page.contains("Look at the app."), "{page}");
        assert_eq!(finishing.await.unwrap().unwrap_err().code, refused);
    }
    assert_eq!(desk.core.session().await.state, SessionState::SignedOut);
    assert_eq!(desk.core.start_sso(&cloud.url(), "no/such", false).await.unwrap_err().code, "not_found");
}

#[tokio::test]
async fn a_try_is_given_up_by_the_user_by_another_one_and_by_a_password() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, desk) = scene(&home).await;
    let wait = || {
        let (core, words) = (Arc::clone(&desk.core), words());
        tokio::spawn(async move { core.finish_sso(&words).await })
    };
    let begin = async || {
        desk.core.start_sso(&cloud.url(), "work", false).await.unwrap();
    };
    let taken = async || {
        // The wait has taken the try as soon as nobody else can.
        while lock(&desk.core.sso).as_ref().is_some_and(|(_, pending)| pending.is_some()) {
            tokio::task::yield_now().await;
        }
    };
    begin().await;
    let first = wait();
    taken().await;
    desk.core.cancel_sso();
    assert_eq!(first.await.unwrap().unwrap_err().code, "sso_canceled");

    begin().await;
    let second = wait();
    taken().await;
    begin().await;
    let third = wait();
    taken().await;
    assert_eq!(second.await.unwrap().unwrap_err().code, "sso_canceled");

    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    assert_eq!(third.await.unwrap().unwrap_err().code, "sso_canceled");
    assert_eq!(desk.core.session().await.state, SessionState::SignedIn);
}
