//! The calls under `/admin`.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_protocol::ids::{ChainId, DeviceId, GrantId, OutletId, PosServerId, SessionId, UserId};
use tillwatch_protocol::rest::admin::{
    AdminChain, AdminOutlet, AdminPosServer, AdminUser, AuditEntry, ChainEdit, CreatedUser, FleetImported,
    Grant, NewChain, NewEnrollmentCode, NewGrant, NewOutlet, NewPosServer, NewUser, OutletEdit, PasswordSet,
    PosServerEdit, Release, RequireRelease, SetPassword, StoreDevice, UserEdit,
};
use tillwatch_protocol::rest::session::Session;
use tillwatch_protocol::rest::{MAX_LIMIT, Page};

use super::Cloud;
use crate::core::lock;
use crate::error::AppError;

/// How long an import may take: a large one is written in one transaction.
const IMPORT_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(5);
/// How many users or audit entries make a page.
const PAGE: u32 = 100;

impl Cloud {
    /// The chains that the user administers.
    pub(crate) async fn admin_chains(&self) -> Result<Vec<AdminChain>, AppError> {
        self.all("admin/chains").await
    }

    /// Makes a chain.
    pub(crate) async fn add_chain(&self, name: String) -> Result<AdminChain, AppError> {
        self.sent(Method::POST, "admin/chains", &NewChain { name }).await
    }

    /// Gives a chain another name.
    pub(crate) async fn rename_chain(&self, id: ChainId, name: String) -> Result<AdminChain, AppError> {
        self.sent(Method::PATCH, &format!("admin/chains/{id}"), &ChainEdit { name: Some(name) }).await
    }

    /// Deletes a chain in which there is nothing.
    pub(crate) async fn delete_chain(&self, id: ChainId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/chains/{id}")).await
    }

    /// Requires a version of a chain's POS servers, or none any more.
    pub(crate) async fn require_version(&self, id: ChainId, version: Option<&str>) -> Result<(), AppError> {
        let path = format!("admin/chains/{id}/release");
        match version {
            Some(version) => {
                let body = RequireRelease { pos_version: version.into() };
                self.sent::<Release>(Method::PUT, &path, &body).await.map(drop)
            }
            None => self.done(Method::DELETE, &path).await,
        }
    }

    /// All outlets that the user administers.
    pub(crate) async fn admin_outlets(&self) -> Result<Vec<AdminOutlet>, AppError> {
        self.all("admin/outlets").await
    }

    /// Makes an outlet.
    pub(crate) async fn add_outlet(&self, outlet: &NewOutlet) -> Result<AdminOutlet, AppError> {
        self.sent(Method::POST, "admin/outlets", outlet).await
    }

    /// Changes an outlet.
    pub(crate) async fn edit_outlet(&self, id: OutletId, edit: &OutletEdit) -> Result<AdminOutlet, AppError> {
        self.sent(Method::PATCH, &format!("admin/outlets/{id}"), edit).await
    }

    /// Deletes an outlet that has no POS servers.
    pub(crate) async fn delete_outlet(&self, id: OutletId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/outlets/{id}")).await
    }

    /// All POS servers that the user administers.
    pub(crate) async fn admin_pos_servers(&self) -> Result<Vec<AdminPosServer>, AppError> {
        self.all("admin/pos-servers").await
    }

    /// Makes a POS server.
    pub(crate) async fn add_pos_server(
        &self,
        outlet_id: OutletId,
        name: String,
    ) -> Result<AdminPosServer, AppError> {
        self.sent(Method::POST, "admin/pos-servers", &NewPosServer { outlet_id, name }).await
    }

    /// Gives a POS server another name.
    pub(crate) async fn rename_pos_server(
        &self,
        id: PosServerId,
        name: String,
    ) -> Result<AdminPosServer, AppError> {
        self.sent(Method::PATCH, &format!("admin/pos-servers/{id}"), &PosServerEdit { name: Some(name) })
            .await
    }

    /// Removes a POS server.
    pub(crate) async fn remove_pos_server(&self, id: PosServerId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/pos-servers/{id}")).await
    }

    /// Makes a code by which a connector enrolls for this POS server.
    pub(crate) async fn make_code(&self, id: PosServerId) -> Result<NewEnrollmentCode, AppError> {
        let path = format!("admin/pos-servers/{id}/enrollment-codes");
        self.read_with_session(|| self.call(Method::POST, &path)).await
    }

    /// Revokes the code that waits to be used.
    pub(crate) async fn revoke_code(&self, id: PosServerId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/pos-servers/{id}/enrollment-codes")).await
    }

    /// The identities that connectors of a POS server have had, newest first.
    pub(crate) async fn devices(&self, id: PosServerId) -> Result<Vec<StoreDevice>, AppError> {
        self.all(&format!("admin/pos-servers/{id}/devices")).await
    }

    /// Revokes an identity.
    pub(crate) async fn revoke_device(&self, id: DeviceId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/devices/{id}")).await
    }

    /// Imports a file, all of it or nothing. Not tried again when the answer got lost: the codes are told once.
    pub(crate) async fn import_fleet(&self, file: &[u8], is_json: bool) -> Result<FleetImported, AppError> {
        let kind = if is_json { "application/json" } else { "text/csv" };
        self.read_with_session(|| {
            lock(&self.http)
                .post(self.url("admin/fleet/import"))
                .timeout(IMPORT_TIMEOUT)
                .header(CONTENT_TYPE, kind)
                .body(file.to_vec())
        })
        .await
    }

    /// A page of users in whose name or e-mail the words are.
    pub(crate) async fn users(
        &self,
        search: &str,
        cursor: Option<&str>,
    ) -> Result<Page<AdminUser>, AppError> {
        let search = Some(search.trim()).filter(|search| !search.is_empty());
        self.page("admin/users", &[("q", search), ("cursor", cursor)]).await
    }

    /// Makes a user with a password that is made up.
    pub(crate) async fn add_user(&self, user: &NewUser) -> Result<CreatedUser, AppError> {
        self.sent(Method::POST, "admin/users", user).await
    }

    /// Changes a user.
    pub(crate) async fn edit_user(&self, id: UserId, edit: &UserEdit) -> Result<AdminUser, AppError> {
        self.sent(Method::PATCH, &format!("admin/users/{id}"), edit).await
    }

    /// Deletes a user.
    pub(crate) async fn delete_user(&self, id: UserId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/users/{id}")).await
    }

    /// Gives a user a password that is made up, and signs them out everywhere.
    pub(crate) async fn reset_password(&self, id: UserId) -> Result<PasswordSet, AppError> {
        self.sent(Method::PUT, &format!("admin/users/{id}/password"), &SetPassword::default()).await
    }

    /// Lets a user try passwords again.
    pub(crate) async fn unlock_user(&self, id: UserId) -> Result<AdminUser, AppError> {
        self.read_with_session(|| self.call(Method::POST, &format!("admin/users/{id}/unlock"))).await
    }

    /// A user's sessions, newest first.
    pub(crate) async fn user_sessions(&self, id: UserId) -> Result<Vec<Session>, AppError> {
        Ok(self.get::<Page<Session>>(&format!("admin/users/{id}/sessions")).await?.items)
    }

    /// Ends one session of a user, or all.
    pub(crate) async fn end_user_sessions(
        &self,
        id: UserId,
        session: Option<SessionId>,
    ) -> Result<(), AppError> {
        let one = session.map(|session| format!("/{session}")).unwrap_or_default();
        self.done(Method::DELETE, &format!("admin/users/{id}/sessions{one}")).await
    }

    /// What a user may do where, oldest first.
    pub(crate) async fn grants(&self, user: UserId) -> Result<Vec<Grant>, AppError> {
        self.all(&format!("admin/grants?user_id={user}")).await
    }

    /// Grants a permission.
    pub(crate) async fn add_grant(&self, grant: &NewGrant) -> Result<Grant, AppError> {
        self.sent(Method::POST, "admin/grants", grant).await
    }

    /// Takes a permission away.
    pub(crate) async fn remove_grant(&self, id: GrantId) -> Result<(), AppError> {
        self.done(Method::DELETE, &format!("admin/grants/{id}")).await
    }

    /// A page of audit entries, newest first.
    pub(crate) async fn audit(&self, query: &[(&str, Option<&str>)]) -> Result<Page<AuditEntry>, AppError> {
        self.page("admin/audit", query).await
    }

    /// Every page of a list.
    async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, AppError> {
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            let query = [("limit", Some(MAX_LIMIT.to_string())), ("cursor", cursor)];
            let page: Page<T> = self.read_with_session(|| self.call(Method::GET, path).query(&query)).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> Result<Page<T>, AppError> {
        self.read_with_session(|| self.call(Method::GET, path).query(&[("limit", PAGE)]).query(query)).await
    }

    async fn sent<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AppError> {
        self.read_with_session(|| self.call(method.clone(), path).json(body)).await
    }

    async fn done(&self, method: Method, path: &str) -> Result<(), AppError> {
        self.send(|| self.call(method.clone(), path)).await.map(drop)
    }
}
