//! The calls of administration. What they destroy is made for each of them.

use std::sync::atomic::Ordering;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::rest::session::Permission;

use super::{Role, World, address, text};
use crate::support::{Client, HEADER};

impl World {
    /// The call as this role makes it.
    pub(super) async fn admin_call(&self, call: &str, role: Role) -> RequestBuilder {
        let (method, path) = address(call);
        let of = |kind: &str, id: &str| {
            path.replace("{id}", id).replace(&format!("{{{kind}}}"), id).replacen("/api/v1", "", 1)
        };
        let request = |path: &str| self.token(role, self.anonymous.request(method.clone(), path));
        let within = |id: &str| of("", id);
        match call {
            "admin_create_chain" => request(&within("")).json(&json!({"name": "New"})),
            "admin_edit_chain"
            | "admin_get_chain"
            | "admin_delete_chain"
            | "admin_get_release"
            | "admin_clear_release" => request(&within(&self.chain)).json(&json!({})),
            "admin_require_release" => request(&within(&self.chain)).json(&json!({"pos_version": "34.0"})),
            "admin_create_outlet" => request(&within(""))
                .json(&json!({"chain_id": self.chain, "name": "New", "time_zone": "Europe/Riga"})),
            "admin_edit_outlet" | "admin_get_outlet" | "admin_delete_outlet" => {
                request(&within(&self.outlet)).json(&json!({}))
            }
            "admin_create_pos_server" => {
                request(&within("")).json(&json!({"outlet_id": self.outlet, "name": "New"}))
            }
            "admin_remove_pos_server" => {
                let line = format!("Pizza,Riga,1,,Europe/Riga,Short-lived {}\n", self.number());
                let id = self.cloud.import(&line).await[0].pos_server_id;
                request(&within(&id.to_string()))
            }
            "admin_edit_pos_server"
            | "admin_get_pos_server"
            | "admin_list_devices"
            | "admin_list_enrollment_codes"
            | "admin_create_enrollment_code"
            | "admin_revoke_enrollment_codes" => request(&within(&self.pos_server)).json(&json!({})),
            "admin_revoke_device" => {
                let devices = self.admin().get(&format!("/admin/pos-servers/{}/devices", self.old)).await;
                // Revoked already: whoever may do it again gets the same answer.
                request(&within(&text(&devices.body["items"][1]["id"])))
            }
            "admin_import_fleet" => {
                let line = format!("Pizza,Riga,1,,Europe/Riga,Imported {}\n", self.number());
                request(&within("")).header("content-type", "text/csv").body(format!("{HEADER}{line}"))
            }
            "admin_create_user" => request(&within(""))
                .json(&json!({"email": "new@example.com", "name": "New", "password": "correct horse"})),
            "admin_end_session" => {
                let (email, user) = self.user().await;
                let sessions = self.cloud.sign_in(&email).await.get("/sessions").await;
                let session = text(&sessions.body["items"][0]["id"]);
                request(&format!("/admin/users/{user}/sessions/{session}"))
            }
            "admin_create_grant" => {
                let user = self.user().await.1;
                let grant = json!({"user_id": user, "chain_id": self.chain, "permission": "outlet_setup"});
                request(&within("")).json(&grant)
            }
            "admin_remove_grant" => {
                let user = self.user().await.1;
                let grants = self.admin().get(&format!("/admin/grants?user_id={user}")).await;
                request(&within(&text(&grants.body["items"][0]["id"])))
            }
            "admin_create_service_token" => request(&within("")).json(
                &json!({"name": "Loyalty Ltd", "scope": {"chain_id": self.chain}, "permission": "relay"}),
            ),
            "admin_revoke_service_token" => {
                let name = format!("Short-lived {}", self.number());
                let new =
                    json!({"name": name, "scope": {"pos_server_id": self.pos_server}, "permission": "relay"});
                let made = self.admin().post("/admin/service-tokens", &new).await;
                request(&within(&text(&made.body["id"])))
            }
            of_user if path.contains("/users/{id}") => {
                let user = self.user().await.1;
                assert_ne!(of_user, "");
                request(&within(&user)).json(&json!({}))
            }
            _ if method == Method::GET || method == Method::POST => request(&within("")),
            other => panic!("tests/rest/matrix/world/admin.rs does not know {other}"),
        }
    }

    fn admin(&self) -> &Client {
        &self.users.iter().find(|(role, _)| *role == Role::Admin).unwrap().1
    }

    fn number(&self) -> usize {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    /// Somebody with a permission in the chain; e-mail and id.
    async fn user(&self) -> (String, String) {
        let email = format!("short-lived-{}@example.com", self.number());
        self.cloud.add_user(&email, false).await;
        self.cloud.grant(&email, ScopeName::Chain("Pizza".into()), Permission::RetrieveLogs).await;
        let found = self.admin().get(&format!("/admin/users?q={email}")).await;
        (email, text(&found.body["items"][0]["id"]))
    }
}
