//! Several users of several clouds on one computer.

use serde_json::json;

use super::cloud::{FakeCloud, USER};
use super::session::profile;
use super::*;
use crate::ipc::{Profiles, SessionState};

/// Signed in at both, at the second last.
async fn at_both(desk: &mut Desk, first: &FakeCloud, second: &FakeCloud) {
    for cloud in [first, second] {
        desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
        desk.hears(|event| event["connection"]["state"] == "live").await;
    }
}

#[tokio::test]
async fn each_profile_has_rows_and_a_sign_in_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::memory();
    let first = FakeCloud::start(vec![status(1, json!({})), status(2, failed())]).await;
    let second = FakeCloud::start(vec![status(3, json!({}))]).await;
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    at_both(&mut desk, &first, &second).await;
    assert_eq!(desk.core.summary().total, 1);
    let Profiles { items, current } = desk.core.preferences().profiles();
    assert_eq!(items.len(), 2);
    assert_eq!(current, Some(profile(&second).id));

    // Without its cloud the other one's rows are there all the same, and only its own.
    let stopped = first.stop().await;
    let id = items[1].id.clone();
    let session = desk.core.switch_profile(&id).await.unwrap();
    assert_eq!((session.state, session.profile.as_deref()), (SessionState::SignedIn, Some(id.as_str())));
    let summary = desk.core.summary();
    assert_eq!((summary.total, summary.errors, summary.loaded), (2, 1, true));
    desk.hears(|event| event["connection"]["state"] == "cloud_unreachable").await;
    let first = stopped.start_again().await;
    desk.hears(|event| event["connection"]["state"] == "live").await;

    // What the one that is not shown tells changes nothing here.
    second.tell("status", &status(9, json!({})));
    first.tell("status", &status(4, json!({})));
    desk.hears(|event| event["summary"]["total"] == 3).await;

    // The one that was used last is there after a restart.
    desk.core.flush();
    let stored = Stored { profiles: desk.core.preferences().profiles(), ..Stored::default() };
    drop(desk);
    let mut desk = Desk::start(&home, stored, secrets);
    assert_eq!(desk.core.summary().total, 3);
    assert_eq!(desk.core.session().await.profile, Some(profile(&first).id));
    desk.hears(|event| event["connection"]["state"] == "live").await;
    assert_eq!(desk.core.switch_profile("no such").await.unwrap_err().code, "not_found");
}

#[tokio::test]
async fn signing_out_leaves_the_other_profiles_as_they_are() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::memory();
    let first = FakeCloud::start(vec![status(1, json!({}))]).await;
    let second = FakeCloud::start(vec![status(2, json!({})), status(3, json!({}))]).await;
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    at_both(&mut desk, &first, &second).await;
    desk.core.flush();
    desk.core.sign_out().await.unwrap();
    assert!(*second.state.signed_out.lock().unwrap() && !*first.state.signed_out.lock().unwrap());
    let kept = |cloud: &FakeCloud| {
        let profile = profile(cloud);
        let token = secrets.find(&profile.address().unwrap(), &profile.email).unwrap();
        (profile.cache(home.path()).exists(), token.is_some())
    };
    assert_eq!((kept(&first), kept(&second)), ((true, true), (false, false)));

    // It is there to sign in again; the other goes on where it was.
    let Profiles { items, current } = desk.core.preferences().profiles();
    assert_eq!((items.len(), current), (2, None));
    let session = desk.core.switch_profile(&profile(&second).id).await.unwrap();
    assert_eq!((session.state, session.url), (SessionState::SignedOut, Some(profile(&second).url)));
    assert_eq!(desk.core.summary().total, 0);
    let session = desk.core.switch_profile(&profile(&first).id).await.unwrap();
    assert_eq!(session.state, SessionState::SignedIn);
    desk.hears(|event| event["connection"]["state"] == "live").await;
    assert_eq!(desk.core.summary().total, 1);
}

#[tokio::test]
async fn a_removed_profile_is_signed_out_wherever_one_is() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::memory();
    let first = FakeCloud::start(vec![status(1, json!({}))]).await;
    let second = FakeCloud::start(vec![status(2, json!({}))]).await;
    let mut desk = Desk::start(&home, Stored::default(), secrets.clone());
    at_both(&mut desk, &first, &second).await;
    desk.core.remove_profile(&profile(&first).id).await.unwrap();
    assert!(*first.state.signed_out.lock().unwrap());
    assert_eq!(desk.core.preferences().profiles().items, [profile(&second)]);
    assert!(!profile(&first).cache(home.path()).exists());
    let first_url = profile(&first).address().unwrap();
    assert_eq!(secrets.find(&first_url, "anna@example.com").unwrap(), None);
    assert_eq!(desk.core.session().await.state, SessionState::SignedIn);

    desk.core.remove_profile(&profile(&second).id).await.unwrap();
    assert_eq!(desk.core.preferences().profiles(), Profiles::default());
    assert_eq!(desk.core.session().await.state, SessionState::SignedOut);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    desk.core.remove_profile("gone").await.unwrap();
}

#[tokio::test]
async fn the_cache_of_a_version_without_profiles_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let secrets = Secrets::memory();
    let desk = Desk::signed_in(&home, &cloud).await;
    desk.core.flush();
    let profile = profile(&cloud);
    drop(desk);
    let old = home.path().join("cache.sqlite3");
    crate::cache::rename(&profile.cache(home.path()), &old);
    assert!(old.exists() && !profile.cache(home.path()).exists());
    let profiles = Profiles { current: Some(profile.id.clone()), items: vec![profile] };
    let desk = Desk::start(&home, Stored { profiles, ..Stored::default() }, secrets);
    assert_eq!(desk.core.summary().total, 1);
    assert!(!old.exists());
}

#[tokio::test]
async fn the_users_sessions_are_listed_and_ended() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    let session = |current| json!({"id": USER, "created_at": "2026-11-21T10:00:00Z", "last_used_at": "2026-11-21T11:00:00Z", "current": current});
    let page = json!({"items": [session(true), session(false)], "next_cursor": null});
    cloud.answer("GET /sessions", 200, page);
    cloud.answer(&format!("DELETE /sessions/{USER}"), 204, json!(null));
    let sessions = desk.core.sessions().await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.current).collect::<Vec<_>>(), [true, false]);
    desk.core.end_session(&sessions[1].id).await.unwrap();
    assert_eq!(desk.core.end_session("../admin").await.unwrap_err().code, "not_found");
}

#[tokio::test]
async fn the_user_changes_their_password_and_stays_signed_in() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let ends_at = "2026-12-07T10:00:00Z";
    cloud.state.grants.lock().unwrap()["password_ends_at"] = json!(ends_at);
    let desk = Desk::signed_in(&home, &cloud).await;
    let asked = async || desk.core.session().await.password_ends_at;
    assert_eq!(asked().await, ends_at.parse().ok());
    let errors = json!([{"field": "current_password", "message": "is not your password"}]);
    let problem = json!({"code": "invalid_request", "status": 422, "errors": errors});
    cloud.answer("PUT /me/password", 422, problem);
    let refused = desk.core.change_password("guess".into(), "new one".into()).await.unwrap_err();
    assert_eq!((refused.code.as_str(), &refused.params["errors"]), ("invalid_request", &errors.to_string()));

    cloud.answer("PUT /me/password", 204, json!(null));
    desk.core.change_password("old one".into(), "new one".into()).await.unwrap();
    assert_eq!(asked().await, None);
    assert_eq!(desk.core.session().await.state, SessionState::SignedIn);
}
