//! Signing in and out, and the channel by which the core speaks.

use tauri::ipc::Channel;

use super::{Answer, CoreState, check};
use crate::ipc::{AppEvent, Session};

/// Makes `channel` the one that the core speaks on; what holds now is told at once.
#[tauri::command]
#[specta::specta]
pub(crate) async fn subscribe(core: CoreState<'_>, channel: Channel<AppEvent>) -> Answer<()> {
    core.subscribe(channel);
    Ok(())
}

/// Who is signed in.
#[tauri::command]
#[specta::specta]
pub(crate) async fn session(core: CoreState<'_>) -> Answer<Session> {
    Ok(core.session().await)
}

/// Signs in. `certificate_untrusted` carries what the user needs to decide on [`trust_certificate`].
#[tauri::command]
#[specta::specta]
pub(crate) async fn sign_in(
    core: CoreState<'_>,
    url: String,
    email: String,
    password: String,
) -> Answer<Session> {
    check::text("email", &email)?;
    check::text("password", &password)?;
    core.inner().sign_in(&url, &email, password).await
}

/// Pins the certificate with this fingerprint, and no other, for the cloud at this address.
#[tauri::command]
#[specta::specta]
pub(crate) async fn trust_certificate(core: CoreState<'_>, url: String, sha256: String) -> Answer<()> {
    core.trust_certificate(&url, &sha256)
}

/// Ends the session here and in the cloud, and removes the cached rows and the kept sign-in.
#[tauri::command]
#[specta::specta]
pub(crate) async fn sign_out(core: CoreState<'_>) -> Answer<()> {
    core.sign_out().await
}
