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
    let built: Vec<&str> = include_str!("../../build.rs")
        .split('"')
        .filter(|text| allowed.iter().any(|name| name == text))
        .collect();
    assert_eq!(built.len(), allowed.len(), "build.rs names each");
    registered.sort();
    allowed.sort();
    assert_eq!(registered, allowed);
}
