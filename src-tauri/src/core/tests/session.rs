//! Signing in, the rows, and what happens when the cloud comes and goes.

use serde_json::json;
use url::Url;

use super::cloud::{FakeCloud, job};
use super::*;
use crate::core::LogRequest;
use crate::ipc::{GridQuery, Profile, Profiles, Sort, WhenOffline};

/// What a run of the app keeps in which Anna signed in at this cloud.
pub(super) fn stored(cloud: &FakeCloud) -> Stored {
    let profile = profile(cloud);
    Stored {
        profiles: Profiles { current: Some(profile.id.clone()), items: vec![profile] },
        ..Stored::default()
    }
}

/// Anna's profile at this cloud.
pub(super) fn profile(cloud: &FakeCloud) -> Profile {
    Profile::new(&cloud.url().parse().unwrap(), "anna@example.com", "Anna")
}

#[tokio::test]
async fn rows_come_and_change_by_themselves() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start((1..=5).map(|n| status(n, json!({}))).collect()).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let summary = desk.core.summary();
    assert_eq!((summary.total, summary.matching, summary.errors, summary.loaded), (5, 5, 0, true));

    cloud.tell("status", &status(3, failed()));
    desk.hears(|event| event["summary"]["errors"] == 1).await;
    let row = desk.core.row(&uuid::Uuid::from_u128(3).to_string()).unwrap();
    assert_eq!(row.error.unwrap().message, "Checksums differ");
    assert!(row.may_retrieve_logs && !row.may_reset_database);

    cloud.tell("pos_server_removed", &json!({"id": uuid::Uuid::from_u128(1)}));
    desk.hears(|event| event["summary"]["total"] == 4).await;
    let window = desk.core.grid_window(0, 2).await;
    assert_eq!(
        window.rows.iter().map(|row| &*row.organization).collect::<Vec<_>>(),
        ["Outlet 00002", "Outlet 00003"]
    );

    // What was forgotten is loaded anew.
    *cloud.state.statuses.lock().unwrap() = vec![status(9, json!({}))];
    cloud.tell("resync", &json!({}));
    desk.hears(|event| event["summary"]["total"] == 1).await;
}

#[tokio::test]
async fn the_window_is_told_which_of_its_rows_changed_and_where_its_keyboard_is() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start((1..=50).map(|n| status(n, json!({}))).collect()).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let by_name = Sort { column: "organization".into(), descending: false };
    desk.core.set_query(&GridQuery { sort: vec![by_name], ..GridQuery::default() }).unwrap();
    let shown = desk.core.grid_window(10, 5).await;
    let id = uuid::Uuid::from_u128(13).to_string();
    assert_eq!(shown.rows[2].id, id);
    desk.core.set_cursor(Some(&id));

    cloud.tell("status", &status(40, failed()));
    cloud.tell("status", &status(13, failed()));
    let told = desk.hears(|event| event["changes"]["rows"][0]["row"]["id"] == json!(id)).await;
    assert_eq!(told["changes"]["rows"].as_array().unwrap().len(), 1, "what is not on screen is not told");
    assert_eq!((&told["changes"]["rows"][0]["index"], &told["cursor"]["index"]), (&json!(12), &json!(12)));

    // Another one comes in above it.
    cloud.tell("status", &status(49, json!({"revision": 500, "outlet": {"name": "A"}})));
    let told = desk.hears(|event| event["cursor"]["index"] == 13).await;
    let moved = told["changes"]["rows"].as_array().unwrap();
    assert_eq!((moved.len(), &moved[0]["index"]), (5, &json!(10)));

    // A page that was loaded anew knows nothing yet.
    desk.core.subscribe(Channel::new(|_| Ok(())));
    assert!(desk.core.fleet().changes(chrono::Utc::now()).is_none());
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_address_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let desk = Desk::start(&home, Stored::default(), Secrets::memory());
    let other =
        axum::Router::new().route("/api/v1/me", axum::routing::get(|| async { "<h1>It works!</h1>" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, other).await.unwrap() });
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, code) in [
        (cloud.url(), "invalid_credentials"),
        (other_url, "not_a_cloud"),
        (format!("http://{nobody}"), "cloud_unreachable"),
        (format!("https://{}", cloud.url().trim_start_matches("http://")), "tls_failed"),
        ("http://example.com".into(), "invalid_address"),
    ] {
        let error = desk.core.sign_in(&url, "anna@example.com", "wrong".into()).await.unwrap_err();
        assert_eq!(error.code, code, "{url}: {error:?}");
    }
    assert_eq!(desk.core.session().await.state, crate::ipc::SessionState::SignedOut);
}

#[tokio::test]
async fn what_was_on_screen_is_shown_before_all_rows_are_read() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start((1..=3).map(|n| status(n, json!({}))).collect()).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let query = GridQuery { search: "outlet".into(), ..GridQuery::default() };
    desk.core.set_query(&query).unwrap();
    desk.core.flush();
    let mut kept = stored(&cloud);
    kept.settings.query = Some(query);
    let cache = kept.profiles.items[0].cache(home.path());
    drop(cloud.stop().await);

    // All of the rows can't even be read this time.
    let damaged = rusqlite::Connection::open(&cache).unwrap();
    damaged.execute("UPDATE statuses SET link_state = 'nonsense'", []).unwrap();
    drop(damaged);
    desk = Desk::start(&home, kept, Secrets::memory());
    let event = desk.hears(|event| event["type"] == "grid" && event["summary"]["total"] == 3).await;
    assert_eq!((&event["summary"]["version"], &event["summary"]["matching"]), (&json!(0), &json!(3)));
    desk.hears(|event| event["error"]["code"] == "cache_damaged").await;
    desk.core.rows_read().await;
    assert_eq!(desk.core.first_summary().await.total, 0, "what is damaged is not shown on");
    assert_eq!(desk.core.grid_window(0, 10).await.rows, []);
}

#[tokio::test]
async fn a_keychain_that_asks_the_user_keeps_nobody_from_the_rows() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let secrets = Secrets::memory();
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    let (asking, answered) = (tokio::sync::Notify::new(), std::sync::mpsc::channel::<()>());
    let asking = std::sync::Arc::new(asking);
    let (told, keychain) = (std::sync::Arc::clone(&asking), secrets.clone());
    let user = std::thread::spawn(move || {
        let _asks = keychain.busy();
        told.notify_one();
        let _ = answered.1.recv();
    });
    asking.notified().await;

    let session = desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    assert!(!session.remembered);
    desk.hears(|event| event["summary"]["total"] == 1).await;

    answered.0.send(()).unwrap();
    user.join().unwrap();
    desk.hears(|event| event["session"]["remembered"] == true).await;
    let url = session.url.unwrap().parse().unwrap();
    assert!(secrets.find(&url, "anna@example.com").unwrap().is_some());
}

#[tokio::test]
async fn without_the_cloud_the_rows_stay_and_come_back_to_life() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start((1..=3).map(|n| status(n, json!({}))).collect()).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    cloud.tell("status", &status(2, failed()));
    desk.hears(|event| event["summary"]["errors"] == 1).await;

    let stopped = cloud.stop().await;
    desk.hears(|event| event["connection"]["state"] == "cloud_unreachable").await;
    let summary = desk.core.summary();
    assert_eq!((summary.total, summary.errors), (3, 1));
    assert!(summary.as_of.unwrap() <= chrono::Utc::now());

    let cloud = stopped.start_again().await;
    desk.hears(|event| event["connection"]["state"] == "live").await;
    assert_eq!(
        cloud.state.resumed_after.lock().unwrap().last().map(String::as_str),
        Some("51"),
        "where it stopped"
    );
}

#[tokio::test]
async fn the_last_known_rows_are_there_before_the_network_is() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::memory();
    let cloud = FakeCloud::start(vec![status(1, json!({})), status(2, failed()), status(3, json!({}))]).await;
    let stored = stored(&cloud);
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    let session = desk.core.sign_in(&cloud.url(), " Anna@example.com", "secret".into()).await.unwrap();
    assert!(session.remembered);
    desk.hears(|event| event["connection"]["state"] == "live").await;
    desk.core.flush();
    let _ = cloud.stop().await;
    drop(desk);

    let mut desk = Desk::start(&home, stored, secrets);
    let summary = desk.core.summary();
    assert_eq!((summary.total, summary.errors, summary.loaded), (3, 1, true), "at once");
    let session = desk.core.session().await;
    assert_eq!((session.state, session.name.as_deref()), (crate::ipc::SessionState::SignedIn, Some("Anna")));
    desk.hears(|event| event["connection"]["state"] == "cloud_unreachable").await;
    assert_eq!(desk.core.summary().total, 3);
}

#[tokio::test]
async fn without_a_kept_sign_in_the_rows_wait_for_the_password() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    desk.core.flush();
    drop(desk);
    let mut desk = Desk::start(&home, stored(&cloud), Secrets::memory());
    assert_eq!(desk.core.session().await.state, crate::ipc::SessionState::Expired);
    assert_eq!(desk.core.summary().total, 1);
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
}

#[tokio::test]
async fn a_cache_of_noise_is_put_aside_and_told() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    std::fs::write(profile(&cloud).cache(home.path()), [0x5a; 5000]).unwrap();
    let mut desk = Desk::start(&home, stored(&cloud), Secrets::memory());
    desk.hears(|event| event["error"]["code"] == "cache_damaged").await;
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
    assert_eq!(desk.core.summary().total, 1);
}

#[tokio::test]
async fn who_proves_anew_who_they_are_goes_on_in_one_session() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::memory();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    let before = desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
    let now = desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    assert_eq!(now, before);
    assert_eq!(desk.core.summary().total, 1, "the rows stay");
    desk.hears(|event| event["connection"]["state"] == "live").await;
    while !*cloud.state.signed_out.lock().unwrap() {
        tokio::task::yield_now().await;
    }
    desk.core.refresh().await.unwrap();
    let url: Url = format!("{}/", cloud.url()).parse().unwrap();
    assert!(secrets.find(&url, "anna@example.com").unwrap().is_some());
}

#[tokio::test]
async fn signing_out_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::memory();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
    desk.core.flush();
    desk.core.sign_out().await.unwrap();
    assert!(*cloud.state.signed_out.lock().unwrap());
    assert_eq!(desk.core.summary().total, 0);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let url: Url = format!("{}/", cloud.url()).parse().unwrap();
    assert_eq!(secrets.find(&url, "anna@example.com").unwrap(), None);
    assert_eq!(desk.core.refresh().await.unwrap_err().code, "session_ended");
}

#[tokio::test]
async fn a_token_is_renewed_once_for_all_who_wait() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    // The access token of before is no longer good; the refresh token still is.
    cloud.state.tokens.lock().unwrap().0 = 2;
    desk.core.current_cloud().unwrap().resume("refresh-2".into()).await;
    let cloud_client = desk.core.current_cloud().unwrap();
    let calls = (0..8).map(|_| cloud_client.me());
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(*cloud.state.refreshes.lock().unwrap(), 1);
}

#[tokio::test]
async fn the_answer_with_the_new_tokens_may_be_lost() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let secrets = Secrets::memory();
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;

    // As after a start: the keychain has a refresh token, and no access token is known.
    let cloud_client = desk.core.current_cloud().unwrap();
    cloud_client.resume("refresh-1".into()).await;
    *cloud.state.loses.lock().unwrap() = 2;
    for _ in 0..2 {
        let error = cloud_client.me().await.unwrap_err();
        assert_eq!(error.code, "cloud_unreachable", "{error:?}");
    }
    cloud_client.me().await.unwrap();
    assert_eq!(*cloud.state.refreshes.lock().unwrap(), 3);
    desk.core.refresh().await.unwrap();
    let session = desk.core.session().await;
    assert_eq!(serde_json::to_value(session.state).unwrap(), "signed_in");
}

#[tokio::test]
async fn a_session_that_ended_keeps_its_rows() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    *cloud.state.tokens.lock().unwrap() = (9, false);
    assert_eq!(desk.core.refresh().await.unwrap_err().code, "session_ended");
    desk.hears(|event| event["session"]["state"] == "expired").await;
    desk.hears(|event| event["connection"]["state"] == "session_ended").await;
    assert_eq!(desk.core.summary().total, 1);
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
}

#[tokio::test]
async fn jobs_are_asked_for_once_and_followed() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start((1..=3).map(|n| status(n, json!({}))).collect()).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let id = |n| uuid::Uuid::from_u128(n).to_string();
    let offline = json!({"code": "venue_offline", "link": {"since": "2026-11-21T10:00:00Z", "cause": "connection_lost"}});
    let request = |when_offline| LogRequest {
        from: "2026-11-21T10:00:00Z".parse().unwrap(),
        to: "2026-11-21T11:00:00Z".parse().unwrap(),
        max_bytes: 1 << 20,
        when_offline,
        wait_until: None,
    };

    // The answer gets lost twice; the key stays the same.
    cloud
        .state
        .job_answers
        .lock()
        .unwrap()
        .extend([(503, json!({"code": "unavailable"})), (503, json!({"code": "unavailable"}))]);
    let asked = desk.core.request_logs(&[id(1)], request(WhenOffline::Fail)).await.unwrap();
    assert_eq!(asked[0].job.as_ref().unwrap().organization, "Outlet 00001");
    let keys: Vec<String> =
        cloud.state.asked_jobs.lock().unwrap().iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, vec![keys[0].clone(); 3]);

    // Offline: told, or passed over.
    cloud.state.job_answers.lock().unwrap().push_back((409, offline.clone()));
    let asked = desk.core.request_logs(&[id(2)], request(WhenOffline::Fail)).await.unwrap();
    let error = asked[0].error.as_ref().unwrap();
    assert_eq!(
        (error.code.as_str(), error.params["link_cause"].as_str()),
        ("venue_offline", "connection_lost")
    );
    assert_eq!(error.request_id.as_deref(), Some("r-1"));
    cloud.state.job_answers.lock().unwrap().push_back((409, offline));
    let asked = desk.core.request_logs(&[id(2)], request(WhenOffline::Skip)).await.unwrap();
    assert!(asked[0].job.is_none() && asked[0].error.is_none());

    // Waited for until a moment, as long as the cloud waits for anybody.
    let in_time = |hours| Some(chrono::Utc::now() + chrono::TimeDelta::hours(hours));
    let waiting = LogRequest { wait_until: in_time(5), ..request(WhenOffline::Queue) };
    desk.core.request_logs(&[id(2)], waiting).await.unwrap();
    let asked = cloud.state.asked_jobs.lock().unwrap().last().unwrap().1.clone();
    let queue_for = asked["queue_for"].as_str().unwrap().to_owned();
    assert!(["PT18000S", "PT17999S"].contains(&queue_for.as_str()), "{queue_for}");
    assert_eq!(asked["when_offline"], "queue");

    // A period, a size or a wait that can't be asks nobody.
    let before = cloud.state.asked_jobs.lock().unwrap().len();
    let backwards = LogRequest { to: "2026-11-21T09:00:00Z".parse().unwrap(), ..request(WhenOffline::Fail) };
    assert_eq!(desk.core.request_logs(&[id(1)], backwards).await.unwrap_err().code, "period_invalid");
    let tiny = LogRequest { max_bytes: 1000, ..request(WhenOffline::Fail) };
    assert_eq!(desk.core.request_logs(&[id(1)], tiny).await.unwrap_err().code, "size_out_of_range");
    for hours in [-1, 31 * 24] {
        let never = LogRequest { wait_until: in_time(hours), ..request(WhenOffline::Queue) };
        assert_eq!(desk.core.request_logs(&[id(1)], never).await.unwrap_err().params["field"], "wait_until");
    }
    assert_eq!(cloud.state.asked_jobs.lock().unwrap().len(), before);

    // It goes on, and ends with archives.
    let mut done = job(1, "retrieve_logs", &id(1), "succeeded");
    done["result"] = json!({"archives": [{"id": uuid::Uuid::from_u128(77), "file_name": "a.zip", "size_bytes": 5,
        "sha256": "ab", "from": "2026-11-21T10:00:00Z", "to": "2026-11-21T11:00:00Z", "expires_at": "2026-11-28T10:00:00Z"}],
        "truncated": true, "files": 1, "redactions": 0});
    cloud.tell("job", &done);
    let event = desk.hears(|event| event["job"]["state"] == "succeeded").await;
    assert_eq!(event["job"]["archives"][0]["file_name"], "a.zip");
    assert_eq!(event["job"]["truncated"], true);

    // Another user's job is not one of ours, and what ended stays ended.
    let mut other = job(2, "diagnose", &id(1), "queued");
    other["requested_by"] = json!(uuid::Uuid::from_u128(8));
    cloud.tell("job", &other);
    cloud.tell("job", &job(1, "retrieve_logs", &id(1), "in_progress"));
    cloud.tell("status", &status(3, failed()));
    desk.hears(|event| event["summary"]["errors"] == 1).await;
    let jobs = desk.core.jobs();
    assert_eq!(jobs.iter().map(|job| job.state).collect::<Vec<_>>(), [crate::ipc::JobState::Succeeded]);
}

#[tokio::test]
async fn a_query_holds_across_a_sign_in() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({})), status(2, failed())]).await;
    let mut desk = Desk::start(&home, Stored::default(), Secrets::memory());
    desk.core.set_query(&GridQuery { problems_only: true, ..GridQuery::default() }).unwrap();
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
    assert_eq!(desk.core.summary().matching, 1);
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_fingerprint_only() {
    let home = tempfile::tempdir().unwrap();
    let (cloud, fingerprint) = FakeCloud::start_with_tls(None).await;
    let mut desk = Desk::start(&home, Stored::default(), Secrets::memory());
    let url = cloud.url();
    let sign_in = || desk.core.sign_in(&url, "anna@example.com", "secret".into());

    let error = sign_in().await.unwrap_err();
    assert_eq!(error.code, "certificate_untrusted", "{error:?}");
    assert_eq!((error.params["host"].as_str(), &error.params["sha256"]), ("127.0.0.1", &fingerprint));
    desk.core.trust_certificate(&cloud.url(), &"ab".repeat(32)).unwrap();
    let error = sign_in().await.unwrap_err();
    assert_eq!(error.code, "certificate_changed");
    assert_eq!((&error.params["sha256"], &error.params["pinned"]), (&fingerprint, &"ab".repeat(32)));

    desk.core.trust_certificate(&cloud.url(), &fingerprint.to_uppercase()).unwrap();
    sign_in().await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;

    // Another one at the same place is refused, and the user is told.
    let address = cloud.address;
    let _ = cloud.stop().await;
    let _other = FakeCloud::start_with_tls(Some(address)).await;
    desk.hears(|event| event["error"]["code"] == "certificate_changed").await;
}
