//! A cloud with two chains, everybody who may ask it, and something of each kind to ask about.

mod admin;

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::device::{DeviceKey, Signer};
use tillwatch_protocol::rest::admin::Imported;
use tillwatch_protocol::rest::session::Permission::{
    self, Admin, OutletSetup, Relay, ResetDatabase, RetrieveLogs,
};

use crate::contract::DOCUMENT;
use crate::support::{ADMIN, Answer, Client, PASSWORD, TestCloud, answer};

/// An archive of nothing, as far as anybody looks.
const ARCHIVE: &str = "PK\x05\x06";

/// Everybody who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Nobody,
    /// Signed in, with these grants.
    User(&'static str, &'static [(Where, Permission)]),
    Admin,
    Ended,
    Store,
    OtherStore,
    RevokedStore,
}

/// Where a grant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Where {
    Here,
    Chain,
    OtherChain,
}

use Where::{Chain, Here, OtherChain};

const USERS: &[(&str, &[(Where, Permission)])] = &[
    ("stranger", &[]),
    (
        "foreign",
        &[
            (OtherChain, OutletSetup),
            (OtherChain, RetrieveLogs),
            (OtherChain, ResetDatabase),
            (OtherChain, Relay),
            (OtherChain, Admin),
        ],
    ),
    ("blind", &[(Here, RetrieveLogs), (Here, ResetDatabase), (Here, Relay), (Here, Admin)]),
    ("setup", &[(Here, OutletSetup)]),
    ("logs", &[(Here, OutletSetup), (Here, RetrieveLogs)]),
    ("reset", &[(Here, OutletSetup), (Here, ResetDatabase)]),
    ("relay", &[(Here, OutletSetup), (Here, Relay)]),
    ("chain", &[(Chain, OutletSetup), (Chain, Admin)]),
];

impl Role {
    /// The role of a column.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "nobody" => Self::Nobody,
            "admin" => Self::Admin,
            "ended" => Self::Ended,
            "store" => Self::Store,
            "other" => Self::OtherStore,
            "revoked" => Self::RevokedStore,
            name => {
                let (name, grants) = USERS.iter().find(|(user, _)| *user == name).expect("a column's name");
                Self::User(name, grants)
            }
        }
    }

    fn email(self) -> Option<String> {
        match self {
            Self::User(name, _) => Some(format!("{name}@example.com")),
            Self::Admin => Some(ADMIN.into()),
            _ => None,
        }
    }
}

/// The cloud, and the ids of what everybody asks about.
pub(super) struct World {
    cloud: TestCloud,
    anonymous: Client,
    http: reqwest::Client,
    users: Vec<(Role, Client)>,
    store: Signer,
    other_store: Signer,
    revoked_store: Signer,
    /// Enrollment codes that nobody used yet.
    codes: Vec<String>,
    used_codes: AtomicUsize,
    pub(super) chain: String,
    pub(super) outlet: String,
    pub(super) pos_server: String,
    pub(super) other_pos_server: String,
    /// A job that collects logs and waits for its store.
    pub(super) job: String,
    /// A session of somebody who takes no part.
    session: String,
    pub(super) archive: String,
    /// The POS server whose first identity was revoked.
    old: String,
    /// How much was made while asking.
    made: AtomicUsize,
    /// An upload that has not begun.
    upload: String,
}

impl World {
    pub(super) async fn new() -> Self {
        let cloud = TestCloud::start().await;
        let spare: Vec<_> = (0..20).map(|n| format!("Spare,Spare {n},{n},,Europe/Riga,Main")).collect();
        let spare = spare.join("\n");
        let imported = cloud
            .import(&format!(
                "Pizza,Riga,1,,Europe/Riga,Main\nPizza,Tartu,2,,Europe/Riga,Main\n\
                 Sushi,Vilnius,3,,Europe/Riga,Main\n{spare}"
            ))
            .await;
        let [here, old, elsewhere, spare @ ..] = imported.as_slice() else { panic!("{imported:?}") };
        let store = enroll(&cloud, &here.enrollment_code).await;
        let other_store = enroll(&cloud, &elsewhere.enrollment_code).await;
        let revoked_store = enroll(&cloud, &old.enrollment_code).await;
        cloud.sql("UPDATE enrollment_codes SET used_at = NULL").await;
        enroll(&cloud, &old.enrollment_code).await;

        let mut users = Vec::new();
        for (name, grants) in USERS {
            let role = Role::named(name);
            let email = role.email().unwrap();
            cloud.add_user(&email, false).await;
            for (place, permission) in *grants {
                let scope = match place {
                    Here => ScopeName::Outlet("Riga".into()),
                    Chain => ScopeName::Chain("Pizza".into()),
                    OtherChain => ScopeName::Chain("Sushi".into()),
                };
                cloud.grant(&email, scope, *permission).await;
            }
            users.push((role, cloud.sign_in(&email).await));
        }
        let admin = cloud.sign_in(ADMIN).await;
        let ended = cloud.sign_in(ADMIN).await;
        assert_eq!(ended.delete("/sessions/current").await.status, 204);
        cloud.add_user("bystander@example.com", false).await;
        let bystander = cloud.sign_in("bystander@example.com").await;
        let session = text(&bystander.get("/sessions").await.body["items"][0]["id"]);

        let status = admin.get(&format!("/pos-servers/{}", here.pos_server_id)).await.body;
        let mut body = job("retrieve_logs");
        body["when_offline"] = "queue".into();
        let started = admin.post(&format!("/pos-servers/{}/jobs", here.pos_server_id), &body).await;
        assert_eq!(started.status, 202, "{}", started.body);
        users.push((Role::Admin, admin));
        users.push((Role::Ended, ended));

        let mut world = Self {
            anonymous: cloud.anonymous(),
            http: reqwest::Client::new(),
            users,
            store,
            other_store,
            revoked_store,
            codes: spare.iter().map(|one: &Imported| one.enrollment_code.clone()).collect(),
            used_codes: AtomicUsize::new(0),
            chain: text(&status["chain"]["id"]),
            outlet: text(&status["outlet"]["id"]),
            pos_server: here.pos_server_id.to_string(),
            other_pos_server: elsewhere.pos_server_id.to_string(),
            job: text(&started.body["id"]),
            session,
            old: old.pos_server_id.to_string(),
            made: AtomicUsize::new(0),
            archive: String::new(),
            upload: String::new(),
            cloud,
        };
        world.archive = world.announce().await;
        world.upload.clone_from(&world.archive);
        let whole = world.call("append_to_upload", "", Role::Store).await.body(ARCHIVE);
        assert_eq!(answer(whole).await.status, 204);
        world.upload = world.announce().await;
        world
    }

    /// What a role reads in a list.
    pub(super) async fn list(&self, role: Role, path: &str) -> String {
        let request = self.token(role, self.anonymous.request(Method::GET, path));
        let answer = answer(request).await;
        assert_eq!(answer.status, 200);
        answer.body.to_string()
    }

    /// The status that a role gets for a line of the matrix.
    pub(super) async fn ask(&self, line: &str, role: Role) -> u16 {
        let (call, variant) = line.split_once(':').unwrap_or((line, ""));
        let request = self.call(call, variant, role).await;
        // Some answers have no end.
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        assert_ne!(status, 405, "{line}");
        status
    }

    /// The call as this role makes it.
    async fn call(&self, call: &str, variant: &str, role: Role) -> RequestBuilder {
        if call.starts_with("admin_") {
            return self.admin_call(call, role).await;
        }
        let (method, path) = address(call);
        let path = self.fill(&path);
        let request = |query: &str| {
            let url = format!("{}{path}{query}", self.cloud.base);
            self.token(role, self.http.request(method.clone(), url))
        };
        match (call, variant) {
            ("sign_in", _) => request("").json(&json!({"email": ADMIN, "password": PASSWORD})),
            // No provider is configured here: there is none for anybody.
            ("start_sso", _) => request("").json(&json!({"redirect_uri": "http://127.0.0.1:5000/"})),
            ("finish_sso", _) => request("").json(&json!({"secret": "s", "state": "s", "code": "c"})),
            ("refresh_session", _) => {
                let client = self.cloud.sign_in(ADMIN).await;
                request("").json(&json!({"refresh_token": client.refresh}))
            }
            // What ends a session ends one that nobody else of this test needs.
            ("sign_out", _) => match role.email() {
                Some(email) => self.cloud.sign_in(&email).await.request(method, "/sessions/current"),
                None => request(""),
            },
            ("end_session", "own") => {
                let mut id = self.session.clone();
                if let Some(email) = role.email() {
                    let sessions = self.cloud.sign_in(&email).await.get("/sessions").await;
                    let sessions = sessions.body["items"].as_array().unwrap().clone();
                    id = text(&sessions.iter().find(|session| session["current"] == true).unwrap()["id"]);
                }
                let path = format!("/sessions/{id}");
                self.token(role, self.anonymous.request(method, &path))
            }
            ("change_password", _) => {
                request("").json(&json!({"current_password": "not the one", "password": PASSWORD}))
            }
            ("list_outlets" | "list_pos_servers", "of_chain" | "chain") => {
                request(&format!("?chain_id={}", self.chain))
            }
            ("list_pos_servers", "outlet") => request(&format!("?outlet_id={}", self.outlet)),
            ("start_job", kind) => request("").json(&job(kind)),
            ("relay_request", _) => request("").json(&json!({"method": "GET", "path": "/guests"})),
            ("enroll_store", _) => {
                let code = &self.codes[self.used_codes.fetch_add(1, Ordering::Relaxed)];
                request("").json(&json!({"code": code, "public_key": DeviceKey::generate().public_key()}))
            }
            ("open_link", _) => request("")
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header("sec-websocket-protocol", "tillwatch.link.v1"),
            ("send_heartbeat", _) => {
                request("").json(&json!({"connector_version": "0.1.0", "pos_answers": true}))
            }
            ("exchange_data", _) => request("").json(&json!({"cursor": 0, "checksum": ""})),
            ("create_upload", _) => self.announced(request("")),
            ("get_upload_offset", _) => request("").header("tus-resumable", "1.0.0"),
            ("append_to_upload", _) => request("")
                .header("tus-resumable", "1.0.0")
                .header("upload-offset", "0")
                .header("content-type", "application/offset+octet-stream"),
            (put, _) if put.starts_with("put_") || put.starts_with("patch_") => {
                request("").json(&json!({"items": []}))
            }
            _ => request(""),
        }
    }

    /// Puts ids where the path has names.
    fn fill(&self, path: &str) -> String {
        let mut filled: Vec<&str> = Vec::new();
        for part in path.split('/') {
            let before = filled.last().copied();
            filled.push(match (part.starts_with('{'), before) {
                (false, _) => part,
                (true, Some("chains")) => &self.chain,
                (true, Some("pos-servers")) => &self.pos_server,
                (true, Some("jobs")) => &self.job,
                (true, Some("sessions")) => &self.session,
                (true, Some("archives")) => &self.archive,
                (true, Some("uploads")) => &self.upload,
                (true, Some("sso")) => "nobody",
                (true, before) => panic!("tests/rest/matrix/world.rs has no id for one of {before:?}"),
            });
        }
        filled.join("/")
    }

    /// Gives a request the token of a role.
    fn token(&self, role: Role, request: RequestBuilder) -> RequestBuilder {
        let signed = |signer: &Signer| signer.token(Utc::now());
        match role {
            Role::Nobody => request,
            Role::Store => request.bearer_auth(signed(&self.store)),
            Role::OtherStore => request.bearer_auth(signed(&self.other_store)),
            Role::RevokedStore => request.bearer_auth(signed(&self.revoked_store)),
            _ => {
                let (_, client) = self.users.iter().find(|(user, _)| *user == role).unwrap();
                request.bearer_auth(client.access.as_ref().unwrap())
            }
        }
    }

    /// Announces an archive; gives its id.
    async fn announce(&self) -> String {
        let request = self.token(Role::Store, self.anonymous.request(Method::POST, "/uploads"));
        let created: Answer = answer(self.announced(request)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        created.header("location").rsplit('/').next().unwrap().to_owned()
    }

    fn announced(&self, request: RequestBuilder) -> RequestBuilder {
        let sha256 =
            Sha256::digest(ARCHIVE).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let metadata = [
            ("job_id", self.job.as_str()),
            ("sha256", &sha256),
            ("from", "2026-11-20T05:00:00Z"),
            ("to", "2026-11-20T06:00:00Z"),
            ("part", "1"),
            ("parts", "1"),
        ]
        .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
        .join(",");
        request
            .header("tus-resumable", "1.0.0")
            .header("upload-length", ARCHIVE.len())
            .header("upload-metadata", metadata)
    }
}

/// Method and path of a call, from the document.
fn address(call: &str) -> (Method, String) {
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, described) in item.as_object().unwrap() {
            if described["operationId"] == call {
                return (method.to_uppercase().parse().unwrap(), path.clone());
            }
        }
    }
    panic!("{call} is no call")
}

/// The body that starts a job.
fn job(kind: &str) -> Value {
    match kind {
        "retrieve_logs" => json!({"kind": kind, "from": "2026-11-20T05:00:00Z", "to": "2026-11-20T06:00:00Z",
            "max_bytes": 1 << 20}),
        "reset" => json!({"kind": "reset_database", "confirm": "Riga", "expected_generation": 1}),
        "restore" => json!({"kind": "restore_database", "confirm": "Riga",
            "backup_id": "01890000-0000-7000-8000-000000000000"}),
        kind => json!({"kind": kind}),
    }
}

async fn enroll(cloud: &TestCloud, code: &str) -> Signer {
    let key = DeviceKey::generate();
    let body = json!({"code": code, "public_key": key.public_key()});
    let enrolled = cloud.anonymous().post("/enroll", &body).await;
    assert_eq!(enrolled.status, 200, "{}", enrolled.body);
    let enrolled = serde_json::from_value(enrolled.body).unwrap();
    Signer::new(&key.into_identity(cloud.base.parse().unwrap(), enrolled)).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
