//! The commands as the webview calls them, without a window.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tauri::ipc::{CallbackFn, InvokeBody};
use tauri::test::{INVOKE_KEY, MockRuntime, mock_builder, mock_context, noop_assets};
use tauri::webview::InvokeRequest;
use tauri::{WebviewWindow, WebviewWindowBuilder};

use super::*;
use crate::ipc::{GridSummary, Settings};
use crate::secrets::Secrets;
use crate::settings::{Preferences, Stored};

/// A webview with the app's commands behind it.
fn webview(core: Core) -> WebviewWindow<MockRuntime> {
    let app = mock_builder()
        .manage(Arc::new(core))
        .invoke_handler(mock_list().invoke_handler())
        .build(mock_context(noop_assets()))
        .unwrap();
    WebviewWindowBuilder::new(&app, crate::MAIN_WINDOW, tauri::WebviewUrl::default()).build().unwrap()
}

fn call<T: DeserializeOwned>(
    webview: &WebviewWindow<MockRuntime>,
    command: &str,
    body: Value,
) -> Result<T, Value> {
    let request = InvokeRequest {
        cmd: command.into(),
        callback: CallbackFn(0),
        error: CallbackFn(1),
        url: if cfg!(windows) { "http://tauri.localhost" } else { "tauri://localhost" }.parse().unwrap(),
        body: InvokeBody::Json(body),
        headers: tauri::http::HeaderMap::default(),
        invoke_key: INVOKE_KEY.into(),
    };
    tauri::test::get_ipc_response(webview, request).map(|body| body.deserialize().unwrap())
}

#[test]
fn the_webview_gets_answers_and_codes() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let home = tempfile::tempdir().unwrap();
    let core = Core::new(home.path(), Preferences::new(Stored::default(), |_| Ok(())), Secrets::memory());
    let webview = webview(core);

    let mut settings: Settings = call(&webview, "settings", json!({})).unwrap();
    settings.columns =
        vec![crate::ipc::ColumnSetting { key: "link".into(), width: 90, visible: false, pinned: true }];
    call::<()>(&webview, "save_settings", json!({"settings": settings})).unwrap();
    assert_eq!(call::<Settings>(&webview, "settings", json!({})).unwrap(), settings);

    let query = json!({"chain_id": null, "outlet_id": null, "within": "PT5H", "problems_only": true, "search": "riga",
        "only": "offline", "sort": [{"column": "organization", "descending": true}]});
    let summary: GridSummary = call(&webview, "set_query", json!({"query": query})).unwrap();
    assert_eq!((summary.total, summary.loaded), (0, false));
    let mut bad = query;
    bad["within"] = json!("soon");
    let error = call::<Value>(&webview, "set_query", json!({"query": bad})).unwrap_err();
    assert_eq!((&error["code"], &error["params"]["field"]), (&json!("invalid_request"), &json!("within")));

    let body = json!({"url": "http://example.com", "email": "a@b.c", "password": "p"});
    let error = call::<Value>(&webview, "sign_in", body).unwrap_err();
    assert_eq!(error["code"], "invalid_address");
    let error = call::<Value>(&webview, "refresh", json!({})).unwrap_err();
    assert_eq!(error["code"], "session_ended");
    let body = json!({"url": "https://cloud.example.com", "sha256": "not one"});
    assert!(call::<Value>(&webview, "trust_certificate", body).is_err());
    let body = json!({"path": "/etc/passwd"});
    assert_eq!(call::<Value>(&webview, "show_in_folder", body).unwrap_err()["code"], "file_unwritable");
}

#[test]
fn what_no_window_of_ours_would_hand_over_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let core = Core::new(home.path(), Preferences::new(Stored::default(), |_| Ok(())), Secrets::memory());
    let webview = webview(core);
    let long = "x".repeat(1001);
    let settings: Value = call(&webview, "settings", json!({})).unwrap();
    let settings = |key: &str, value: Value| {
        let mut changed = settings.clone();
        changed[key] = value;
        json!({"settings": changed})
    };
    let query = |key: &str, value: Value| {
        let mut query = serde_json::to_value(crate::ipc::GridQuery::default()).unwrap();
        query[key] = value;
        query
    };
    let export = |key: &str, value: Value| {
        let mut request = json!({"dialog_title": "Export statuses", "file_name": "statuses", "words": {},
            "columns": [{"key": "link", "title": "Link"}], "locale": "en", "time_zone": "Europe/Riga"});
        request[key] = value;
        json!({"request": request})
    };
    let archive = |key: &str, value: Value| {
        let mut archive = json!({"id": uuid::Uuid::nil(), "file_name": "logs.zip", "size_bytes": 1,
            "sha256": "0".repeat(64), "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z",
            "expires_at": "2026-11-28T00:00:00Z"});
        archive[key] = value;
        archive
    };
    let column = |width: u32| json!([{"key": "link", "width": width, "visible": true, "pinned": false}]);
    let many = |of: Value| Value::from(vec![of; 1001]);
    let sort = json!({"column": "link", "descending": false});
    let title = "Save archive";
    let id = uuid::Uuid::nil().to_string();
    let changed = |mut of: Value, key: &str, value: Value| {
        of[key] = value;
        of
    };
    let admin = |key: &str, value: Value| {
        changed(json!({"chain_id": null, "search": "", "limit": 10, "fresh": false}), key, value)
    };
    let outlet = |key: &str, value: &str| {
        let texts = json!({"name": "", "crm_id": "", "address": "", "time_zone": "Europe/Riga"});
        changed(texts, key, json!(value))
    };
    let user = |key: &str, value: &str| {
        changed(json!({"email": null, "name": null, "admin": null, "disabled": null}), key, json!(value))
    };
    let place =
        |key: &str, value: &str| changed(json!({"chain_id": null, "outlet_id": null}), key, json!(value));
    let audit = |key: &str, value: &str| {
        let all = json!({"actor": null, "action": null, "from": null, "to": null, "next": null});
        changed(all, key, json!(value))
    };
    for (command, field, body) in [
        ("set_query", "search", json!({"query": query("search", json!(long))})),
        ("set_query", "sort", json!({"query": query("sort", many(sort.clone()))})),
        ("set_query", "chain_id", json!({"query": query("chain_id", json!("1 or 1=1"))})),
        ("save_settings", "columns", settings("columns", column(0))),
        ("save_settings", "columns", settings("columns", column(1_000_000))),
        ("save_settings", "columns", settings("columns", many(column(90)[0].clone()))),
        ("save_settings", "sort", settings("query", query("sort", many(sort)))),
        ("save_settings", "within", settings("query", query("within", json!("soon")))),
        ("sign_in", "email", json!({"url": "cloud.example.com", "email": long, "password": "p"})),
        ("sign_in", "password", json!({"url": "cloud.example.com", "email": "a@b.c", "password": long})),
        (
            "reset_database",
            "confirm",
            json!({"id": "x", "confirm": long, "expectedGeneration": 1,
            "collectLogs": true, "discardUnsent": false}),
        ),
        ("save_archive", "id", json!({"archive": archive("id", json!("../../x")), "dialogTitle": title})),
        ("save_archive", "sha256", json!({"archive": archive("sha256", json!("")), "dialogTitle": title})),
        (
            "save_archive",
            "file_name",
            json!({"archive": archive("file_name", json!(long)), "dialogTitle": title}),
        ),
        (
            "save_archive",
            "dialog_title",
            json!({"archive": archive("size_bytes", json!(2)), "dialogTitle": long}),
        ),
        (
            "save_archives",
            "id",
            json!({"archives": [archive("id", json!(1.to_string()))], "dialogTitle": title}),
        ),
        (
            "save_archives",
            "archives",
            json!({"archives": many(archive("size_bytes", json!(1))), "dialogTitle": title}),
        ),
        (
            "save_settings",
            "views",
            settings(
                "views",
                many(json!({"name": "mine", "columns": [],
            "query": crate::ipc::GridQuery::default()})),
            ),
        ),
        ("sso_providers", "url", json!({"url": long})),
        ("start_sso", "url", json!({"url": long, "provider": "keycloak", "again": false})),
        ("outlet_options", "search", json!({"search": long})),
        ("outlet_option", "chain_id", json!({"chainId": "x", "outletId": null})),
        ("outlet_option", "outlet_id", json!({"chainId": null, "outletId": "x"})),
        ("start_sso", "provider", json!({"url": "cloud.example.com", "provider": long, "again": false})),
        ("finish_sso", "language", json!({"words": {"language": long, "done": "", "failed": ""}})),
        ("finish_sso", "done", json!({"words": {"language": "en", "done": long, "failed": ""}})),
        ("finish_sso", "failed", json!({"words": {"language": "en", "done": "", "failed": long}})),
        ("switch_profile", "id", json!({"id": long})),
        ("remove_profile", "id", json!({"id": long})),
        ("end_session", "id", json!({"id": "../admin"})),
        ("change_password", "current_password", json!({"currentPassword": long, "password": "x"})),
        ("change_password", "password", json!({"currentPassword": "x", "password": long})),
        ("add_chain", "name", json!({"name": long})),
        ("rename_chain", "id", json!({"id": "../x", "name": "Riga"})),
        ("rename_chain", "name", json!({"id": id, "name": long})),
        ("delete_chain", "id", json!({"id": "x"})),
        ("require_version", "chain_ids", json!({"chainIds": ["x"], "version": null})),
        ("require_version", "chain_ids", json!({"chainIds": many(json!(id)), "version": null})),
        ("require_version", "version", json!({"chainIds": [id], "version": long})),
        ("admin_outlets", "search", json!({"query": admin("search", json!(long))})),
        ("admin_outlets", "chain_id", json!({"query": admin("chain_id", json!("x"))})),
        ("admin_pos_servers", "search", json!({"query": admin("search", json!(long))})),
        ("add_outlet", "chain_id", json!({"chainId": "x", "texts": outlet("name", "Riga")})),
        ("add_outlet", "name", json!({"chainId": id, "texts": outlet("name", &long)})),
        ("add_outlet", "crm_id", json!({"chainId": id, "texts": outlet("crm_id", &long)})),
        ("edit_outlet", "id", json!({"id": "x", "texts": outlet("name", "Riga")})),
        ("edit_outlet", "address", json!({"id": id, "texts": outlet("address", &long)})),
        ("edit_outlet", "time_zone", json!({"id": id, "texts": outlet("time_zone", &long)})),
        ("delete_outlet", "id", json!({"id": "x"})),
        ("read_import", "dialog_title", json!({"dialogTitle": long})),
        ("add_pos_server", "outlet_id", json!({"outletId": "x", "name": "POS"})),
        ("add_pos_server", "name", json!({"outletId": id, "name": long})),
        ("rename_pos_server", "id", json!({"id": "x", "name": "POS"})),
        ("rename_pos_server", "name", json!({"id": id, "name": long})),
        ("remove_pos_server", "id", json!({"id": "x"})),
        ("make_enrollment_code", "pos_server_id", json!({"posServerId": "x"})),
        ("revoke_enrollment_code", "pos_server_id", json!({"posServerId": "x"})),
        ("store_devices", "pos_server_id", json!({"posServerId": "x"})),
        ("revoke_device", "id", json!({"id": "x"})),
        ("users", "search", json!({"search": long, "next": null})),
        ("users", "next", json!({"search": "", "next": long})),
        ("add_user", "email", json!({"email": long, "name": "Anna", "admin": false})),
        ("add_user", "name", json!({"email": "a@b.c", "name": long, "admin": false})),
        ("edit_user", "id", json!({"id": "x", "edit": user("name", "Anna")})),
        ("edit_user", "email", json!({"id": id, "edit": user("email", &long)})),
        ("edit_user", "name", json!({"id": id, "edit": user("name", &long)})),
        ("delete_user", "id", json!({"id": "x"})),
        ("reset_password", "id", json!({"id": "x"})),
        ("unlock_user", "id", json!({"id": "x"})),
        ("user_sessions", "id", json!({"id": "x"})),
        ("end_user_sessions", "id", json!({"id": "x", "session": null})),
        ("end_user_sessions", "session", json!({"id": id, "session": "current"})),
        ("grants", "user_id", json!({"userId": "x"})),
        (
            "add_grant",
            "user_id",
            json!({"userId": "x", "permission": "admin", "place": place("chain_id", &id)}),
        ),
        (
            "add_grant",
            "chain_id",
            json!({"userId": id, "permission": "admin", "place": place("chain_id", "x")}),
        ),
        (
            "add_grant",
            "outlet_id",
            json!({"userId": id, "permission": "admin", "place": place("outlet_id", "x")}),
        ),
        ("remove_grant", "id", json!({"id": "x"})),
        ("audit", "actor", json!({"query": audit("actor", &long)})),
        ("audit", "action", json!({"query": audit("action", &long)})),
        ("audit", "next", json!({"query": audit("next", &long)})),
        ("viewer_find", "text", json!({"id": 1, "text": long, "near": 0})),
        ("view_archives", "id", json!({"archives": [archive("id", json!("/etc/passwd"))]})),
        (
            "copy_selection",
            "time_zone",
            json!({"request": {"columns": [{"key": "link", "title": "Link"}],
            "words": {}, "locale": "en", "time_zone": "here"}}),
        ),
        ("export_excel", "columns", export("columns", json!([]))),
        ("export_excel", "columns", export("columns", json!([{"key": "link", "title": long}]))),
        ("export_excel", "words", export("words", json!({"link.online": long}))),
        ("export_excel", "time_zone", export("time_zone", json!("Mars/Phobos"))),
        ("export_excel", "file_name", export("file_name", json!(long))),
    ] {
        let error = call::<Value>(&webview, command, body).unwrap_err();
        assert_eq!(
            (&error["code"], &error["params"]["field"]),
            (&json!("invalid_request"), &json!(field)),
            "{command}"
        );
    }
    // What has no such type at all does not reach the command.
    for (command, body) in [
        ("grid_window", json!({"offset": -1, "limit": 10})),
        ("grid_window", json!({"offset": 0, "limit": 1e12})),
        ("run_job", json!({"id": "x", "kind": "format_disk"})),
        ("select", json!({"op": {"op": "drop"}})),
        ("row", json!({"id": {"$ne": null}})),
    ] {
        assert!(call::<Value>(&webview, command, body).is_err(), "{command}");
    }
}

/// The page may load what was packaged and speak with the core, and nothing else.
#[test]
fn the_page_may_do_no_more_than_it_has_to() {
    let config: Value = serde_json::from_str(include_str!("../../tauri.conf.json")).unwrap();
    let security = config["app"]["security"].as_object().unwrap();
    assert_eq!(security.keys().collect::<Vec<_>>(), ["capabilities", "csp"], "nothing else is loosened");
    assert_eq!(security["capabilities"], json!(["main"]));
    assert!(config["app"].get("withGlobalTauri").is_none());
    let none = "'none'";
    for (directive, sources) in security["csp"].as_object().unwrap() {
        let allowed: &[&str] = match directive.as_str() {
            "connect-src" => &["ipc:", "http://ipc.localhost"],
            "img-src" => &["'self'", "data:"],
            "object-src" | "base-uri" | "form-action" | "frame-ancestors" => &[none],
            _ => &["'self'"],
        };
        for source in sources.as_str().unwrap().split_whitespace() {
            assert!(allowed.contains(&source), "{directive} allows {source}");
        }
    }
    for directive in
        ["default-src", "script-src", "style-src", "connect-src", "object-src", "base-uri", "frame-ancestors"]
    {
        assert!(security["csp"].get(directive).is_some(), "{directive} is said");
    }
    for window in config["app"]["windows"].as_array().unwrap() {
        assert!(window.get("url").is_none(), "no page of somebody else's");
    }
}

#[test]
fn each_command_is_allowed_and_no_other() {
    let bindings = tempfile::NamedTempFile::new().unwrap();
    list().export(specta_typescript::Typescript::default(), bindings.path()).unwrap();
    let registered = std::fs::read_to_string(bindings.path()).unwrap();
    let mut registered: Vec<String> = registered
        .split("__TAURI_INVOKE(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let capability: Value = serde_json::from_str(include_str!("../../capabilities/main.json")).unwrap();
    let mut allowed: Vec<String> = capability["permissions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().strip_prefix("allow-").unwrap().replace('-', "_"))
        .collect();
    assert_eq!(capability["windows"], json!([crate::MAIN_WINDOW]));
    assert!(capability.get("remote").is_none(), "no page from elsewhere has any of this");
    let built: Vec<&str> = include_str!("../../build.rs")
        .split('"')
        .filter(|text| allowed.iter().any(|name| name == text))
        .collect();
    assert_eq!(built.len(), allowed.len(), "build.rs names each");
    registered.sort();
    allowed.sort();
    assert_eq!(registered, allowed);
}
