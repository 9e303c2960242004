//! Administration, for users who administer something.

use tauri::{AppHandle, Runtime};

use super::{Answer, CoreState, check, dialogs};
use crate::ipc::{
    AdminChain, AdminOutlet, AdminPosServer, AdminQuery, AdminUser, AuditPage, AuditQuery, CreatedUser,
    EnrollmentCode, Grant, GrantPlace, ImportPreview, ImportResult, OutletPage, OutletTexts, Permission,
    PosServerPage, StoreDevice, UserEdit, UserPage, UserSession, VersionSet,
};

/// The chains that the user administers, by name.
#[tauri::command]
#[specta::specta]
pub(crate) async fn admin_chains(core: CoreState<'_>) -> Answer<Vec<AdminChain>> {
    core.admin_chains().await
}

/// Makes a chain.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_chain(core: CoreState<'_>, name: String) -> Answer<AdminChain> {
    check::text("name", &name)?;
    core.add_chain(name).await
}

/// Gives a chain another name.
#[tauri::command]
#[specta::specta]
pub(crate) async fn rename_chain(core: CoreState<'_>, id: String, name: String) -> Answer<AdminChain> {
    check::id("id", &id)?;
    check::text("name", &name)?;
    core.rename_chain(&id, name).await
}

/// Deletes a chain without outlets.
#[tauri::command]
#[specta::specta]
pub(crate) async fn delete_chain(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.delete_chain(&id).await
}

/// Sets the version below which the POS servers of these chains need an update, or with null none any more. Each chain
/// says for itself whether it was set.
#[tauri::command]
#[specta::specta]
pub(crate) async fn require_version(
    core: CoreState<'_>,
    chain_ids: Vec<String>,
    version: Option<String>,
) -> Answer<Vec<VersionSet>> {
    check::ids("chain_ids", &chain_ids)?;
    check::any_text("version", version.as_deref())?;
    core.require_version(&chain_ids, version.as_deref()).await
}

/// The first outlets that match, by chain and name.
#[tauri::command]
#[specta::specta]
pub(crate) async fn admin_outlets(core: CoreState<'_>, query: AdminQuery) -> Answer<OutletPage> {
    check::admin_query(&query)?;
    core.admin_outlets(&query).await
}

/// Makes an outlet.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_outlet(
    core: CoreState<'_>,
    chain_id: String,
    texts: OutletTexts,
) -> Answer<AdminOutlet> {
    check::id("chain_id", &chain_id)?;
    check::outlet(&texts)?;
    core.add_outlet(&chain_id, texts).await
}

/// Changes an outlet.
#[tauri::command]
#[specta::specta]
pub(crate) async fn edit_outlet(core: CoreState<'_>, id: String, texts: OutletTexts) -> Answer<AdminOutlet> {
    check::id("id", &id)?;
    check::outlet(&texts)?;
    core.edit_outlet(&id, texts).await
}

/// Deletes an outlet without POS servers.
#[tauri::command]
#[specta::specta]
pub(crate) async fn delete_outlet(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.delete_outlet(&id).await
}

/// Reads a file with outlets that the user chooses: what is in it, and what is wrong with it. Nothing is sent; null when the
/// dialog was dismissed.
#[tauri::command]
#[specta::specta]
pub(crate) async fn read_import<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    dialog_title: String,
) -> Answer<Option<ImportPreview>> {
    check::text("dialog_title", &dialog_title)?;
    match dialogs::pick_file(&app, &dialog_title, &["csv", "json", "txt"]).await? {
        Some(path) => core.read_import(&path).await.map(Some),
        None => Ok(None),
    }
}

/// Imports the file that was read last, all of it or nothing.
#[tauri::command]
#[specta::specta]
pub(crate) async fn import_outlets(core: CoreState<'_>) -> Answer<ImportResult> {
    core.import().await
}

/// The first POS servers that match, by chain, outlet and name.
#[tauri::command]
#[specta::specta]
pub(crate) async fn admin_pos_servers(core: CoreState<'_>, query: AdminQuery) -> Answer<PosServerPage> {
    check::admin_query(&query)?;
    core.admin_pos_servers(&query).await
}

/// Makes a POS server.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_pos_server(
    core: CoreState<'_>,
    outlet_id: String,
    name: String,
) -> Answer<AdminPosServer> {
    check::id("outlet_id", &outlet_id)?;
    check::text("name", &name)?;
    core.add_pos_server(&outlet_id, name).await
}

/// Gives a POS server another name.
#[tauri::command]
#[specta::specta]
pub(crate) async fn rename_pos_server(
    core: CoreState<'_>,
    id: String,
    name: String,
) -> Answer<AdminPosServer> {
    check::id("id", &id)?;
    check::text("name", &name)?;
    core.rename_pos_server(&id, name).await
}

/// Removes a POS server: its link closes, its jobs end, its archives go.
#[tauri::command]
#[specta::specta]
pub(crate) async fn remove_pos_server(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.remove_pos_server(&id).await
}

/// Makes a code by which a store's connector enrolls. It is told this once; one that waited to be used dies.
#[tauri::command]
#[specta::specta]
pub(crate) async fn make_enrollment_code(
    core: CoreState<'_>,
    pos_server_id: String,
) -> Answer<EnrollmentCode> {
    check::id("pos_server_id", &pos_server_id)?;
    core.make_code(&pos_server_id).await
}

/// Revokes the code that waits to be used.
#[tauri::command]
#[specta::specta]
pub(crate) async fn revoke_enrollment_code(core: CoreState<'_>, pos_server_id: String) -> Answer<()> {
    check::id("pos_server_id", &pos_server_id)?;
    core.revoke_code(&pos_server_id).await
}

/// The identities that connectors of a POS server have had, newest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn store_devices(core: CoreState<'_>, pos_server_id: String) -> Answer<Vec<StoreDevice>> {
    check::id("pos_server_id", &pos_server_id)?;
    core.devices(&pos_server_id).await
}

/// Revokes an identity: its link closes, and the store needs a new code.
#[tauri::command]
#[specta::specta]
pub(crate) async fn revoke_device(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.revoke_device(&id).await
}

/// Users by e-mail, a hundred at a time.
#[tauri::command]
#[specta::specta]
pub(crate) async fn users(core: CoreState<'_>, search: String, next: Option<String>) -> Answer<UserPage> {
    check::text("search", &search)?;
    check::any_text("next", next.as_deref())?;
    core.users(&search, next.as_deref()).await
}

/// Makes a user. The password is made up and told this once.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_user(
    core: CoreState<'_>,
    email: String,
    name: String,
    admin: bool,
) -> Answer<CreatedUser> {
    check::text("email", &email)?;
    check::text("name", &name)?;
    core.add_user(email, name, admin).await
}

/// Changes a user.
#[tauri::command]
#[specta::specta]
pub(crate) async fn edit_user(core: CoreState<'_>, id: String, edit: UserEdit) -> Answer<AdminUser> {
    check::id("id", &id)?;
    check::user_edit(&edit)?;
    core.edit_user(&id, edit).await
}

/// Deletes a user with their sessions and permissions.
#[tauri::command]
#[specta::specta]
pub(crate) async fn delete_user(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.delete_user(&id).await
}

/// Gives a user another password, told this once, and signs them out everywhere.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reset_password(core: CoreState<'_>, id: String) -> Answer<String> {
    check::id("id", &id)?;
    core.reset_password(&id).await
}

/// Lets a user try passwords again who gave ten wrong ones.
#[tauri::command]
#[specta::specta]
pub(crate) async fn unlock_user(core: CoreState<'_>, id: String) -> Answer<AdminUser> {
    check::id("id", &id)?;
    core.unlock_user(&id).await
}

/// The sessions of a user, newest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn user_sessions(core: CoreState<'_>, id: String) -> Answer<Vec<UserSession>> {
    check::id("id", &id)?;
    core.user_sessions(&id).await
}

/// Ends one session of a user, or with null all of them.
#[tauri::command]
#[specta::specta]
pub(crate) async fn end_user_sessions(
    core: CoreState<'_>,
    id: String,
    session: Option<String>,
) -> Answer<()> {
    check::id("id", &id)?;
    check::any_id("session", session.as_deref())?;
    core.end_user_sessions(&id, session.as_deref()).await
}

/// What a user may do where, oldest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn grants(core: CoreState<'_>, user_id: String) -> Answer<Vec<Grant>> {
    check::id("user_id", &user_id)?;
    core.grants(&user_id).await
}

/// Grants a permission.
#[tauri::command]
#[specta::specta]
pub(crate) async fn add_grant(
    core: CoreState<'_>,
    user_id: String,
    permission: Permission,
    place: GrantPlace,
) -> Answer<Grant> {
    check::id("user_id", &user_id)?;
    check::place(&place)?;
    core.add_grant(&user_id, permission, place).await
}

/// Takes a permission away.
#[tauri::command]
#[specta::specta]
pub(crate) async fn remove_grant(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.remove_grant(&id).await
}

/// Entries of the audit trail, newest first, a hundred at a time.
#[tauri::command]
#[specta::specta]
pub(crate) async fn audit(core: CoreState<'_>, query: AuditQuery) -> Answer<AuditPage> {
    check::audit(&query)?;
    core.audit(&query).await
}
