//! What administrators see and change.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;
use tillwatch_protocol::fleet::{BadLine, Fault};
use tillwatch_protocol::rest::admin as wire;
use tillwatch_protocol::rest::session::Permission as WirePermission;

mirror! {
    /// What a user may do.
    Permission = WirePermission {
        /// See the outlet's POS servers; exchange now, diagnose.
        OutletSetup = "outlet_setup",
        /// Retrieve logs.
        RetrieveLogs = "retrieve_logs",
        /// Reset and restore the POS database, restart the POS server.
        ResetDatabase = "reset_database",
        /// Send requests to the store's POS server; made for service tokens.
        Relay = "relay",
        /// Administer.
        Admin = "admin",
    }
}

impl From<Permission> for WirePermission {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::OutletSetup => Self::OutletSetup,
            Permission::RetrieveLogs => Self::RetrieveLogs,
            Permission::ResetDatabase => Self::ResetDatabase,
            Permission::Relay => Self::Relay,
            Permission::Admin => Self::Admin,
        }
    }
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AdminChain {
    /// The chain's id.
    pub id: String,
    /// What the chain is called.
    pub name: String,
    /// The version below which its POS servers need an update.
    pub required_version: Option<String>,
    /// How many outlets it has.
    pub outlets: u32,
    /// How many POS servers they have.
    pub pos_servers: u32,
}

impl From<wire::AdminChain> for AdminChain {
    fn from(wire: wire::AdminChain) -> Self {
        Self {
            id: wire.id.to_string(),
            name: wire.name,
            required_version: wire.required_pos_version,
            outlets: wire.outlets as u32,
            pos_servers: wire.pos_servers as u32,
        }
    }
}

/// Which chain, and words that have to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AdminQuery {
    /// Only of this chain.
    pub chain_id: Option<String>,
    /// In any text, whatever the case.
    pub search: String,
    /// How many at most.
    pub limit: u32,
    /// Whether the cloud is asked; otherwise what it said last will do.
    pub fresh: bool,
}

/// An outlet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AdminOutlet {
    /// The outlet's id.
    pub id: String,
    /// Whose it is.
    pub chain_id: String,
    /// What the chain is called.
    pub chain: String,
    /// What and where it is.
    #[serde(flatten)]
    pub texts: OutletTexts,
    /// How many POS servers it has.
    pub pos_servers: u32,
}

/// What and where an outlet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OutletTexts {
    /// Unlike the name of any other outlet of the chain.
    pub name: String,
    /// The organisation's own id for it; may be empty.
    pub crm_id: String,
    /// Where it is; may be empty.
    pub address: String,
    /// IANA name, such as `Europe/Riga`.
    pub time_zone: String,
}

impl From<wire::AdminOutlet> for AdminOutlet {
    fn from(wire: wire::AdminOutlet) -> Self {
        let (outlet, chain) = (wire.outlet.outlet, wire.outlet.chain);
        Self {
            id: outlet.id.to_string(),
            chain_id: chain.id.to_string(),
            chain: chain.name,
            texts: OutletTexts {
                name: outlet.name,
                crm_id: outlet.crm_id,
                address: outlet.address,
                time_zone: outlet.time_zone,
            },
            pos_servers: wire.pos_servers as u32,
        }
    }
}

/// The first outlets that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OutletPage {
    /// They.
    pub items: Vec<AdminOutlet>,
    /// How many match.
    pub matching: u32,
    /// How many there are.
    pub total: u32,
}

/// A POS server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AdminPosServer {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Whose it is.
    pub chain_id: String,
    /// What the chain is called.
    pub chain: String,
    /// Where it stands.
    pub outlet_id: String,
    /// What the outlet is called.
    pub outlet: String,
    /// The organisation's own id for the outlet.
    pub crm_id: String,
    /// When its connector got the identity that is valid now; null when there is none.
    pub enrolled_at: Option<DateTime<Utc>>,
    /// Until when the code is good that waits to be used; null when there is none.
    pub code_expires_at: Option<DateTime<Utc>>,
}

impl From<wire::AdminPosServer> for AdminPosServer {
    fn from(wire: wire::AdminPosServer) -> Self {
        Self {
            id: wire.id.to_string(),
            name: wire.name,
            chain_id: wire.chain.id.to_string(),
            chain: wire.chain.name,
            outlet_id: wire.outlet.id.to_string(),
            outlet: wire.outlet.name,
            crm_id: wire.outlet.crm_id,
            enrolled_at: wire.enrolled_at,
            code_expires_at: wire.code_expires_at,
        }
    }
}

/// The first POS servers that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PosServerPage {
    /// They.
    pub items: Vec<AdminPosServer>,
    /// How many match.
    pub matching: u32,
    /// How many there are.
    pub total: u32,
}

/// A code by which a store's connector enrolls; told this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct EnrollmentCode {
    /// Good once.
    pub code: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// The cloud's address, as the store types it.
    pub cloud: String,
    /// Whether systems do not trust the cloud's certificate by themselves, so that the store needs a copy of it.
    pub needs_certificate: bool,
}

/// An identity that a connector of a POS server had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct StoreDevice {
    /// Its id.
    pub id: String,
    /// When it enrolled.
    pub enrolled_at: DateTime<Utc>,
    /// When it was revoked; null while it is valid.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl From<wire::StoreDevice> for StoreDevice {
    fn from(wire: wire::StoreDevice) -> Self {
        Self { id: wire.id.to_string(), enrolled_at: wire.created_at, revoked_at: wire.revoked_at }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AdminUser {
    /// The user's id.
    pub id: String,
    /// By which the user signs in.
    pub email: String,
    /// What the user is called.
    pub name: String,
    /// May do everything everywhere.
    pub admin: bool,
    /// Since when the user may not sign in; null when they may.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Until when nobody may try the user's password, after ten wrong ones.
    pub locked_until: Option<DateTime<Utc>>,
}

impl From<wire::AdminUser> for AdminUser {
    fn from(wire: wire::AdminUser) -> Self {
        Self {
            id: wire.id.to_string(),
            email: wire.email,
            name: wire.name,
            admin: wire.admin,
            disabled_at: wire.disabled_at,
            locked_until: wire.locked_until,
        }
    }
}

/// Users by e-mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct UserPage {
    /// They.
    pub items: Vec<AdminUser>,
    /// Asks for the next ones; null when these are the last.
    pub next: Option<String>,
}

/// A new user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CreatedUser {
    /// The user.
    pub user: AdminUser,
    /// The password that was made up, told this once.
    pub password: String,
}

/// What changes of a user; null stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct UserEdit {
    /// By which the user signs in.
    pub email: Option<String>,
    /// What the user is called.
    pub name: Option<String>,
    /// May do everything everywhere.
    pub admin: Option<bool>,
    /// May not sign in; every session ends at once.
    pub disabled: Option<bool>,
}

impl From<UserEdit> for wire::UserEdit {
    fn from(edit: UserEdit) -> Self {
        Self { email: edit.email, name: edit.name, admin: edit.admin, disabled: edit.disabled }
    }
}

/// What a user may do somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Grant {
    /// The grant's id.
    pub id: String,
    /// What.
    pub permission: Permission,
    /// In which chain; null for everywhere.
    pub chain: Option<String>,
    /// In which one outlet; null for all of the chain, or everywhere.
    pub outlet: Option<String>,
}

impl From<wire::Grant> for Grant {
    fn from(wire: wire::Grant) -> Self {
        Self {
            id: wire.id.to_string(),
            permission: wire.permission.into(),
            chain: wire.chain.map(|chain| chain.name),
            outlet: wire.outlet.map(|outlet| outlet.name),
        }
    }
}

/// Where a permission is granted: everywhere when both are null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct GrantPlace {
    /// In all outlets of this chain, unless one is named.
    pub chain_id: Option<String>,
    /// In this outlet.
    pub outlet_id: Option<String>,
}

/// Whether a chain's required version was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct VersionSet {
    /// Which chain.
    pub chain_id: String,
    /// Why it was not.
    pub error: Option<crate::error::AppError>,
}

/// Which entries of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AuditQuery {
    /// Only by this actor, such as `user:<id>`.
    pub actor: Option<String>,
    /// Only of this action, such as `job.requested`.
    pub action: Option<String>,
    /// Only of then or later.
    pub from: Option<DateTime<Utc>>,
    /// Only before then.
    pub to: Option<DateTime<Utc>>,
    /// What the page before said.
    pub next: Option<String>,
}

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AuditEntry {
    /// Its number.
    pub seq: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `user:<id>`, `command_line`, `system` and the like.
    pub actor: String,
    /// The actor's name, when it is a user who is still there.
    pub actor_name: Option<String>,
    /// What was done, such as `session.started`.
    pub action: String,
    /// To what, such as `pos_server:<id>`.
    pub target: String,
    /// What that is called, if it is on the status page.
    pub target_name: Option<String>,
    /// What belongs to it: names and what they stand for.
    pub details: Vec<(String, String)>,
}

impl From<wire::AuditEntry> for AuditEntry {
    fn from(wire: wire::AuditEntry) -> Self {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Self {
            seq: u32::try_from(wire.seq).unwrap_or(u32::MAX),
            at: wire.at,
            actor: wire.actor,
            actor_name: wire.actor_name,
            action: wire.action,
            target: wire.target,
            target_name: None,
            details: wire.details.into_iter().map(|(name, value)| (name, text(value))).collect(),
        }
    }
}

/// Entries, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AuditPage {
    /// They.
    pub items: Vec<AuditEntry>,
    /// Asks for the next ones; null when these are the last.
    pub next: Option<String>,
}

/// A file with outlets, read and not imported yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ImportPreview {
    /// What the file is called.
    pub file_name: String,
    /// How many chains it names.
    pub chains: u32,
    /// How many outlets.
    pub outlets: u32,
    /// How many POS servers, one a line.
    pub pos_servers: u32,
    /// The first of its lines.
    pub lines: Vec<ImportLine>,
    /// Lines that can't be imported: if there are any, nothing is.
    pub faults: Vec<ImportFault>,
}

/// A line of such a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ImportLine {
    /// Its number, by which people find it.
    pub number: u32,
    /// The chain's name.
    pub chain: String,
    /// What and where the outlet is.
    #[serde(flatten)]
    pub texts: OutletTexts,
    /// The POS server's name.
    pub pos_server: String,
}

/// Why a line can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ImportFault {
    /// The line's number.
    pub line: u32,
    /// What is wrong with it.
    pub code: String,
    /// What the words for the code need.
    pub params: std::collections::BTreeMap<String, String>,
    /// The same in English.
    pub message: String,
}

impl From<&BadLine> for ImportFault {
    fn from(bad: &BadLine) -> Self {
        let mut params = std::collections::BTreeMap::new();
        let mut code = String::new();
        if let Ok(serde_json::Value::Object(members)) = serde_json::to_value(&bad.fault) {
            for (name, value) in members {
                let text = match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                if name == "code" { code = text } else { drop(params.insert(name, text)) }
            }
        }
        // What is wrong with a text is a code of its own.
        if let Fault::Text { fault, .. } = &bad.fault {
            code = format!("text_{}", params.remove("fault").unwrap_or_else(|| fault.to_string()));
        }
        Self { line: bad.number as u32, code, params, message: bad.fault.to_string() }
    }
}

/// What an import gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ImportResult {
    /// How many POS servers were made.
    pub pos_servers: u32,
    /// What is wrong with the file, if the cloud did not take it: then nothing was imported.
    pub faults: Vec<ImportFault>,
}
