//! Signing in, staying signed in, signing out.

use chrono::{TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tillwatch_cloud::admin::{self, AuditChain, ScopeName};
use tillwatch_protocol::rest::session::Permission;

use crate::support::{ADMIN, Answer, Client, PASSWORD, TestCloud, answer};

#[tokio::test]
async fn a_user_signs_in_and_learns_what_they_may_do() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga 1,1,,Europe/Riga,Main\nPizza,Riga 2,2,,Europe/Riga,Main\n").await;
    cloud.add_user("Anna@Example.com", false).await;
    cloud.grant("anna@example.com", ScopeName::Chain("Pizza".into()), Permission::OutletSetup).await;
    cloud.grant("anna@example.com", ScopeName::Chain("Pizza".into()), Permission::RetrieveLogs).await;
    cloud.grant("anna@example.com", ScopeName::Outlet("Riga 2".into()), Permission::ResetDatabase).await;

    let anna = cloud.sign_in(" ANNA@example.com").await;
    let answer = anna.get("/me").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let me = answer.body;

    assert_eq!(me["user"]["email"], "anna@example.com");
    assert_eq!(me["user"]["admin"], false);
    assert_eq!(me["everywhere"], json!([]));
    assert_eq!(me["chains"][0]["permissions"], json!(["outlet_setup", "retrieve_logs"]));
    assert_eq!(me["outlets"][0]["permissions"], json!(["reset_database"]));
    let admin = cloud.sign_in(ADMIN).await.get("/me").await.body;
    assert_eq!(admin["everywhere"].as_array().unwrap().len(), Permission::ALL.len());
    assert_eq!(admin::verify_audit(&cloud.store, None).await.unwrap(), AuditChain::Whole(8));
    cloud.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let cloud = TestCloud::start().await;
    let client = cloud.anonymous();

    let wrong = client.post("/sessions", &json!({"email": ADMIN, "password": "wrong password"})).await;
    let unknown =
        client.post("/sessions", &json!({"email": "x@example.com", "password": "wrong password"})).await;

    assert_eq!(wrong.problem(), (401, "invalid_credentials"));
    assert_eq!(unknown.problem(), (401, "invalid_credentials"));
    assert_eq!(wrong.body["detail"], unknown.body["detail"]);
}

#[tokio::test]
async fn a_session_that_is_found_open_changes_nothing_of_how_people_sign_in() {
    let cloud = TestCloud::start().await;
    let (admin, elsewhere) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ADMIN).await);
    cloud.add_user("anna@example.com", false).await;
    let hers = cloud.sign_in("anna@example.com").await;
    let id_of = async |client: &Client, current: bool| {
        let list = client.get("/sessions").await.body;
        let sessions = list["items"].as_array().unwrap();
        let session = sessions.iter().find(|session| session["current"] == current).unwrap();
        session["id"].as_str().unwrap().to_owned()
    };
    let anna = format!("/admin/users/{}", hers.get("/me").await.body["user"]["id"].as_str().unwrap());
    let other = format!("/sessions/{}", id_of(&admin, false).await);
    let her_session = format!("{anna}/sessions/{}", id_of(&hers, true).await);
    let email = json!({"email": "ann@example.com"});
    let eleven_minutes_ago = (Utc::now() - TimeDelta::minutes(11)).to_rfc3339();
    cloud.sql(&format!("UPDATE sessions SET proved_at = '{eleven_minutes_ago}'")).await;

    let renewed = cloud.anonymous().post("/sessions/refresh", &json!({"refresh_token": admin.refresh})).await;
    let mut admin = admin;
    admin.take_tokens(&renewed.body);
    for refused in [
        admin.delete(&other).await,
        admin.patch(&anna, &email).await,
        admin.put(&format!("{anna}/password"), &json!({})).await,
        admin.delete(&her_session).await,
        admin.delete(&format!("{anna}/sessions")).await,
    ] {
        assert_eq!(refused.problem(), (403, "reauthentication_required"), "{}", refused.body);
    }
    assert_eq!(hers.get("/me").await.body["user"]["email"], "anna@example.com");
    assert_eq!(elsewhere.get("/me").await.status, StatusCode::OK);
    assert_eq!(admin.patch(&anna, &json!({"name": "Ann"})).await.status, StatusCode::OK, "it lets nobody in");
    let own = format!("/sessions/{}", id_of(&admin, true).await);
    assert_eq!(admin.delete(&own).await.status, StatusCode::NO_CONTENT, "one leaves without");

    let again = cloud.sign_in(ADMIN).await;
    assert_eq!(again.delete(&other).await.status, StatusCode::NO_CONTENT);
    assert_eq!(again.delete(&her_session).await.status, StatusCode::NO_CONTENT);
    assert_eq!(again.patch(&anna, &email).await.status, StatusCode::OK);
    assert_eq!(again.put(&format!("{anna}/password"), &json!({})).await.status, StatusCode::OK);
    assert_eq!(again.delete(&format!("{anna}/sessions")).await.status, StatusCode::NO_CONTENT);

    // Of a session of a version that did not note it nothing is known.
    cloud.sql("UPDATE sessions SET proved_at = NULL").await;
    let refused = again.delete(&format!("{anna}/sessions")).await;
    assert_eq!(refused.problem(), (403, "reauthentication_required"));
}

#[tokio::test]
async fn ten_wrong_passwords_lock_out_for_half_an_hour() {
    let cloud = TestCloud::start().await;
    let client = cloud.anonymous();
    for email in [ADMIN, "nobody@example.com"] {
        for _ in 0..10 {
            let answer =
                client.post("/sessions", &json!({"email": email, "password": "a guess of mine"})).await;
            assert_eq!(answer.problem(), (401, "invalid_credentials"));
        }
        let answer = client.post("/sessions", &json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(answer.problem(), (429, "rate_limited"));
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1790..=1800).contains(&seconds), "{seconds}");
    }

    // Half an hour later.
    cloud.sql("UPDATE sign_in_attempts SET last_at = '2020-01-01T00:00:00+00:00'").await;
    cloud.sign_in(ADMIN).await;
    assert_eq!(
        admin::verify_audit(&cloud.store, None).await.unwrap(),
        AuditChain::Whole(24),
        "each refusal is written down, and each lock-out"
    );
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_session() {
    let cloud = TestCloud::start().await;
    let mut client = cloud.sign_in(ADMIN).await;
    let (first_access, first_refresh) = (client.access.clone(), client.refresh.clone());

    let answer = client.post("/sessions/refresh", &json!({"refresh_token": first_refresh})).await;
    assert_eq!(answer.status, StatusCode::OK);
    client.take_tokens(&answer.body);
    assert_eq!(client.get("/me").await.status, StatusCode::OK);
    let mut old = cloud.anonymous();
    old.access = first_access;
    assert_eq!(old.get("/me").await.problem(), (401, "unauthorized"));

    let stolen = old.post("/sessions/refresh", &json!({"refresh_token": first_refresh})).await;
    assert_eq!(stolen.problem(), (401, "unauthorized"));
    assert_eq!(client.get("/me").await.problem(), (401, "unauthorized"));
    let own = client.post("/sessions/refresh", &json!({"refresh_token": client.refresh})).await;
    assert_eq!(own.problem(), (401, "unauthorized"));
    let nonsense = client.post("/sessions/refresh", &json!({"refresh_token": "nonsense"})).await;
    assert_eq!(nonsense.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_made_up_refresh_token_ends_no_session_and_an_old_one_does() {
    let cloud = TestCloud::start().await;
    let mut client = cloud.sign_in(ADMIN).await;
    let first = client.refresh.clone();
    let answer = client.post("/sessions/refresh", &json!({"refresh_token": first})).await;
    client.take_tokens(&answer.body);
    let answer = client.post("/sessions/refresh", &json!({"refresh_token": client.refresh})).await;
    client.take_tokens(&answer.body);

    let session = client.refresh.split('.').next().unwrap();
    let (other, marked) = (cloud.sign_in(ADMIN).await.refresh, client.refresh.rsplit_once('.').unwrap());
    let (secret_and_mark, mark) = (other.split_once('.').unwrap().1, marked.1);
    let last = if client.refresh.ends_with('A') { "B" } else { "A" };
    for made_up in [
        session.to_owned(),
        format!("{session}."),
        format!("{session}.guess"),
        format!("{session}.guess.{mark}"),
        format!("{session}.{secret_and_mark}"),
        format!("{}{last}", &client.refresh[..client.refresh.len() - 1]),
        marked.0.to_owned(),
    ] {
        let answer = client.post("/sessions/refresh", &json!({"refresh_token": made_up})).await;
        assert_eq!(answer.problem(), (401, "unauthorized"), "{made_up}");
    }
    assert_eq!(client.get("/me").await.status, StatusCode::OK, "nobody who guesses ends a session");
    let answer = client.post("/sessions/refresh", &json!({"refresh_token": client.refresh})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    client.take_tokens(&answer.body);

    // However long ago it was the present one.
    let stolen = client.post("/sessions/refresh", &json!({"refresh_token": first})).await;
    assert_eq!(stolen.problem(), (401, "unauthorized"));
    assert_eq!(client.get("/me").await.problem(), (401, "unauthorized"));
}

/// Tries to refresh with a key that only this client knows.
async fn refresh_by_key(client: &Client, token: &str, key: &str) -> Answer {
    let request = client.request(Method::POST, "/sessions/refresh").header("Idempotency-Key", key);
    answer(request.json(&json!({"refresh_token": token}))).await
}

#[tokio::test]
async fn a_lost_answer_does_not_end_the_session() {
    let cloud = TestCloud::start().await;
    let mut client = cloud.sign_in(ADMIN).await;
    let first = client.refresh.clone();
    let mut lost = Vec::new();
    for _ in 0..2 {
        let answer = refresh_by_key(&client, &first, "one").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        lost.push(answer.body);
    }
    let arrived = refresh_by_key(&client, &first, "one").await;
    client.take_tokens(&arrived.body);
    let mut lost_client = cloud.anonymous();
    for lost in lost {
        lost_client.take_tokens(&lost);
        assert_eq!(lost_client.get("/me").await.problem(), (401, "unauthorized"), "others took its place");
    }
    assert_eq!(client.get("/me").await.status, StatusCode::OK);

    // It goes on as any other.
    client.take_tokens(&refresh_by_key(&client, &client.refresh, "two").await.body);
    assert_eq!(client.get("/me").await.status, StatusCode::OK);
    let session = &client.get("/sessions").await.body["items"][0];
    assert_eq!(session["current"], true);
}

#[tokio::test]
async fn who_comes_again_without_the_key_ends_the_session() {
    let cloud = TestCloud::start().await;
    for (first_key, then_key) in
        [(None, None), (None, Some("one")), (Some("one"), None), (Some("one"), Some("two"))]
    {
        let mut client = cloud.sign_in(ADMIN).await;
        let first = client.refresh.clone();
        let refresh = async |client: &Client, key: Option<&str>| match key {
            Some(key) => refresh_by_key(client, &first, key).await,
            None => client.post("/sessions/refresh", &json!({"refresh_token": first})).await,
        };
        client.take_tokens(&refresh(&client, first_key).await.body);
        let thief = refresh(&client, then_key).await;
        assert_eq!(thief.problem(), (401, "unauthorized"), "{first_key:?} {then_key:?}");
        assert_eq!(client.get("/me").await.problem(), (401, "unauthorized"), "both are out");
    }
}

#[tokio::test]
async fn an_older_try_ends_the_session_key_or_not() {
    let cloud = TestCloud::start().await;
    let mut client = cloud.sign_in(ADMIN).await;
    let first = client.refresh.clone();
    client.take_tokens(&refresh_by_key(&client, &first, "one").await.body);
    client.take_tokens(&refresh_by_key(&client, &client.refresh, "two").await.body);
    assert_eq!(refresh_by_key(&client, &first, "one").await.problem(), (401, "unauthorized"));
    assert_eq!(client.get("/me").await.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_a_minute_only() {
    let cloud = TestCloud::start().await;
    let client = cloud.sign_in(ADMIN).await;
    for _ in 0..2 {
        let answer = refresh_by_key(&client, &client.refresh, "one").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    cloud.sql("UPDATE sessions SET again_until = '2020-01-01T00:00:00+00:00'").await;
    assert_eq!(refresh_by_key(&client, &client.refresh, "one").await.problem(), (401, "unauthorized"));
    let ended = cloud.sign_in(ADMIN).await.get("/sessions").await.body;
    assert_eq!(ended["items"].as_array().unwrap().len(), 1, "the other one ended");
}

#[tokio::test]
async fn a_key_is_of_plain_characters_and_not_too_long() {
    let cloud = TestCloud::start().await;
    let client = cloud.sign_in(ADMIN).await;
    for key in ["", &"k".repeat(256)] {
        assert_eq!(refresh_by_key(&client, &client.refresh, key).await.problem(), (422, "invalid_request"));
    }
    assert_eq!(refresh_by_key(&client, &client.refresh, &"k".repeat(255)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_access_token_ends_by_itself() {
    let cloud = TestCloud::start().await;
    let client = cloud.sign_in(ADMIN).await;
    cloud.sql("UPDATE sessions SET access_expires_at = '2020-01-01T00:00:00+00:00'").await;
    assert_eq!(client.get("/me").await.problem(), (401, "unauthorized"));
    let answer = client.post("/sessions/refresh", &json!({"refresh_token": client.refresh})).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn one_sees_and_ends_ones_own_sessions_only() {
    let cloud = TestCloud::start().await;
    cloud.add_user("other@example.com", false).await;
    let (desk, laptop) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ADMIN).await);
    let other = cloud.sign_in("other@example.com").await;

    let sessions = desk.get("/sessions").await.body;
    let items = sessions["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["current"], &items[1]["current"]), (&json!(false), &json!(true)));
    let laptops = format!("/sessions/{}", items[0]["id"].as_str().unwrap());

    assert_eq!(other.delete(&laptops).await.problem(), (404, "not_found"));
    assert_eq!(desk.delete(&laptops).await.status, StatusCode::NO_CONTENT);
    assert_eq!(laptop.get("/me").await.problem(), (401, "unauthorized"));
    assert_eq!(desk.delete(&laptops).await.problem(), (404, "not_found"));
    assert_eq!(desk.delete("/sessions/current").await.status, StatusCode::NO_CONTENT);
    assert_eq!(desk.get("/me").await.problem(), (401, "unauthorized"));
    assert_eq!(other.get("/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_guesses_at_many_users_waits_as_well() {
    let cloud = TestCloud::start().await;
    let client = cloud.anonymous();
    // So long that no password is so long: these tries cost the cloud nothing, and count.
    let password = "x".repeat(2000);
    let mut refused = None;
    for number in 0..200 {
        let body = json!({"email": format!("user{number}@example.com"), "password": password});
        let answer = client.post("/sessions", &body).await;
        if answer.status != StatusCode::UNAUTHORIZED {
            refused = Some((number, answer));
            break;
        }
    }
    let (number, answer) = refused.expect("there is an end to it");
    assert!(number >= 90, "{number}: an office behind one address may sign in at nine");
    assert_eq!(answer.problem(), (429, "rate_limited"));
    assert!((1..=60).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
}

#[tokio::test]
async fn the_time_of_a_refusal_does_not_tell_who_is_there() {
    let cloud = TestCloud::start().await;
    let client = cloud.anonymous();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..6 {
        for (email, times) in
            [(ADMIN.to_owned(), &mut known), (format!("n{number}@example.com"), &mut unknown)]
        {
            let began = std::time::Instant::now();
            client.post("/sessions", &json!({"email": email, "password": "a guess of mine"})).await;
            times.push(began.elapsed());
        }
    }
    // The quickest of each: what else the machine does only adds.
    let (known, unknown) = (known.iter().min().unwrap(), unknown.iter().min().unwrap());
    assert!(*unknown > *known / 2 && *unknown < *known * 2, "{known:?} against {unknown:?}");
}

#[tokio::test]
async fn one_signs_in_again_after_ninety_days() {
    let cloud = TestCloud::start().await;
    let mut client = cloud.sign_in(ADMIN).await;
    cloud.sql("UPDATE sessions SET created_at = '2020-01-01T00:00:00+00:00'").await;
    let answer = client.post("/sessions/refresh", &json!({"refresh_token": client.refresh})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    client.take_tokens(&answer.body);
    let answer = client.post("/sessions/refresh", &json!({"refresh_token": client.refresh})).await;
    assert_eq!(answer.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once_everywhere() {
    let cloud = TestCloud::start().await;
    cloud.add_user("anna@example.com", false).await;
    let admin = cloud.sign_in(ADMIN).await;
    let anna = cloud.sign_in("anna@example.com").await;
    let mut events = anna.events(None).await;
    let id = anna.get("/me").await.body["user"]["id"].as_str().unwrap().to_owned();

    let path = format!("/admin/users/{id}");
    let edit = admin.request(reqwest::Method::PATCH, &path).json(&json!({"disabled": true}));
    assert!(crate::support::answer(edit).await.status.is_success());

    let disabled_at = std::time::Instant::now();
    assert_eq!(anna.get("/me").await.problem(), (401, "unauthorized"));
    let refreshed = anna.post("/sessions/refresh", &json!({"refresh_token": anna.refresh})).await;
    assert_eq!(refreshed.problem(), (401, "unauthorized"));
    while events.next().await.is_some() {}
    assert!(disabled_at.elapsed().as_secs() < 5, "{:?}", disabled_at.elapsed());
    let again = json!({"email": "anna@example.com", "password": PASSWORD});
    assert_eq!(cloud.anonymous().post("/sessions", &again).await.problem(), (401, "invalid_credentials"));
}
