//! Every kind of wrong request is told as a problem with a stable code.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{ADMIN, TestCloud, answer};

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told() {
    let cloud = TestCloud::start().await;
    let client = cloud.anonymous();
    let send = |content_type: &str, body: String| {
        let request =
            client.request(Method::POST, "/sessions").header("content-type", content_type.to_owned());
        answer(request.body(body))
    };
    let json = "application/json; charset=utf-8";

    assert_eq!(send(json, "{\"email\":".into()).await.problem(), (400, "malformed_body"));
    assert_eq!(
        send(json, "{\"email\":\"a\",\"password\":\"b\"} x".into()).await.problem(),
        (400, "malformed_body")
    );
    assert_eq!(send("text/plain", "{}".into()).await.problem(), (415, "unsupported_media_type"));
    assert_eq!(send(json, "x".repeat(1024 * 1024 + 1)).await.problem(), (413, "payload_too_large"));
    for (body, field) in [
        (json!({"email": "a@b.c"}), "body"),
        (json!({"email": "a@b.c", "password": 5}), "password"),
        (json!({"email": "a@b.c", "password": "x", "admin": true}), "admin"),
        (json!([]), "body"),
    ] {
        let answer = send(json, body.to_string()).await;
        assert_eq!(answer.problem(), (422, "invalid_request"), "{body}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_told() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let nobody = cloud.anonymous();

    assert_eq!(admin.get("/nothing").await.problem(), (404, "not_found"));
    assert_eq!(admin.get("/pos-servers/not-an-id").await.problem(), (404, "not_found"));
    assert_eq!(
        admin.get("/pos-servers/01890000-0000-7000-8000-000000000000").await.problem(),
        (404, "not_found")
    );
    let wrong_method = admin.delete("/me").await;
    assert_eq!(wrong_method.problem(), (405, "method_not_allowed"));
    assert!(wrong_method.header("allow").contains("GET"));
    for path in ["/me", "/sessions", "/outlets", "/pos-servers", "/events"] {
        assert_eq!(nobody.get(path).await.problem(), (401, "unauthorized"), "{path}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("sort=nothing", "sort"),
        ("sort=name,name", "sort"),
        ("chain_id=x", "chain_id"),
        ("outlet_id=x", "outlet_id"),
        ("reported_within=5h", "reported_within"),
        ("problems_only=yes", "problems_only"),
        ("unknown=1", "query"),
        ("limit=1&limit=2", "query"),
    ] {
        let answer = admin.get(&format!("/pos-servers?{query}")).await;
        assert_eq!(answer.problem(), (422, "invalid_request"), "{query}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{query}");
    }
    let both = admin.get("/pos-servers?limit=0&sort=x").await;
    assert_eq!(both.body["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_keeps_the_id_that_it_came_with() {
    let cloud = TestCloud::start().await;
    let client = cloud.anonymous();
    let named = |id: &str| answer(client.request(Method::GET, "/me").header("x-request-id", id.to_owned()));
    assert_eq!(named("desktop-42").await.body["request_id"], "desktop-42");
    let replaced = named("no spaces, please").await;
    assert_ne!(replaced.body["request_id"], "no spaces, please");
    assert!(!replaced.header("x-request-id").is_empty());
}

#[tokio::test]
async fn no_answer_is_for_a_browser_to_keep_to_run_or_to_show() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let anybody = reqwest::Client::new();
    let elsewhere = |path: &str| anybody.get(format!("{}{path}", cloud.base));
    let asked = [
        admin.request(Method::GET, "/me"),
        admin.request(Method::GET, "/events"),
        admin.request(Method::GET, "/pos-servers?limit=0"),
        cloud.anonymous().request(Method::GET, "/me"),
        elsewhere("/healthz"),
        elsewhere("/nothing"),
    ];
    for request in asked {
        let response = request.header("origin", "https://page.example").send().await.unwrap();
        let path = response.url().path().to_owned();
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("strict-transport-security"), "max-age=63072000; includeSubDomains", "{path}");
        let policy: Vec<_> = header("content-security-policy").split("; ").collect();
        for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "sandbox"] {
            assert!(policy.contains(&directive), "{path}: {policy:?}");
        }
        assert_eq!(header("access-control-allow-origin"), "", "{path}");
        assert_eq!(header("set-cookie"), "", "{path}");
    }
}

#[tokio::test]
async fn the_process_says_that_it_lives_and_serves() {
    let cloud = TestCloud::start().await;
    for path in ["healthz", "readyz"] {
        let answer = reqwest::get(format!("{}/{path}", cloud.base)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_text_that_not_every_database_keeps_is_refused_by_all() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    assert_eq!(admin.get("/pos-servers?q=a%00b").await.problem(), (422, "invalid_request"));
    let body = serde_json::json!({"email": "a\0@example.com", "password": "x"});
    assert_eq!(admin.post("/sessions", &body).await.problem(), (422, "invalid_request"));
}

#[tokio::test]
async fn a_cursor_is_good_for_the_list_and_the_order_that_it_came_from() {
    let cloud = TestCloud::start().await;
    cloud
        .import("Pizza,Riga,1,,Europe/Riga,A\nPizza,Riga,1,,Europe/Riga,B\nPizza,Tartu,2,,Europe/Riga,C")
        .await;
    let admin = cloud.sign_in(ADMIN).await;
    let cursor = async |path: &str| {
        let page = admin.get(path).await;
        page.body["next_cursor"].as_str().unwrap_or_else(|| panic!("{}", page.body)).to_owned()
    };
    let outlets = cursor("/outlets?limit=1").await;
    let statuses = cursor("/pos-servers?limit=1").await;
    let by_name = cursor("/pos-servers?limit=1&sort=-name").await;
    for path in [
        format!("/pos-servers?cursor={outlets}"),
        format!("/pos-servers?cursor={by_name}"),
        format!("/pos-servers?sort=name&cursor={by_name}"),
        format!("/pos-servers?sort=-name&cursor={statuses}"),
        format!("/outlets?cursor={statuses}"),
        format!("/jobs?cursor={statuses}"),
        format!("/admin/users?cursor={statuses}"),
        format!("/pos-servers?cursor={}", &statuses[..statuses.len() - 3]),
        "/pos-servers?cursor=".to_owned(),
        "/pos-servers?cursor=e30".to_owned(),
    ] {
        let refused = admin.get(&path).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{path}");
    }
    assert_eq!(admin.get(&format!("/pos-servers?sort=-name&cursor={by_name}")).await.status, 200);
}

#[tokio::test]
async fn what_is_no_object_no_utf_8_or_too_deep_is_refused() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    // Serde would take the members in their order.
    let credentials = json!([ADMIN, crate::support::PASSWORD]);
    assert_eq!(cloud.anonymous().post("/sessions", &credentials).await.problem(), (422, "invalid_request"));
    // Bytes that are no UTF-8.
    let raw = |body: &'static [u8]| {
        answer(
            admin
                .request(Method::POST, "/admin/chains")
                .header("content-type", "application/json")
                .body(body),
        )
    };
    assert_eq!(raw(b"{\"name\": \"\xff\xfe\"}").await.problem(), (400, "malformed_body"));
    // Deeper than any call needs, and deep enough to end a reader that follows.
    let deep: &'static [u8] = "[".repeat(200_000).leak().as_bytes();
    assert_eq!(raw(deep).await.status, 422);
    let deep: &'static [u8] = format!("{{\"name\":{}", "[".repeat(200_000)).leak().as_bytes();
    assert!([400, 422].contains(&raw(deep).await.status.as_u16()));
    assert_eq!(admin.get("/me").await.status, 200);
}

#[tokio::test]
async fn methods_that_a_call_does_not_have_are_told_which_it_has() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    for (method, path, has) in [
        (Method::POST, "/me", &["GET", "HEAD"][..]),
        (Method::OPTIONS, "/me", &["GET", "HEAD"]),
        (Method::TRACE, "/me", &["GET", "HEAD"]),
        (Method::PUT, "/sessions", &["GET", "POST"]),
        (Method::GET, "/enroll", &["POST"]),
    ] {
        let refused = answer(admin.request(method.clone(), path)).await;
        assert_eq!(refused.problem(), (405, "method_not_allowed"), "{method} {path}");
        let allowed: Vec<_> = refused.header("allow").split(',').map(str::trim).collect();
        assert!(has.iter().all(|method| allowed.contains(method)), "{method} {path}: {allowed:?}");
    }
    // HEAD is GET without its body.
    let head = answer(admin.request(Method::HEAD, "/pos-servers")).await;
    assert_eq!((head.status, head.body), (StatusCode::OK, serde_json::Value::Null));
    let unknown = answer(cloud.anonymous().request(Method::GET, "/me")).await;
    assert_eq!(unknown.header("www-authenticate"), "Bearer");
}
