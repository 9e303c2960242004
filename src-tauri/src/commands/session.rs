//! Signing in and out, and the channel by which the core speaks.

use tauri::ipc::Channel;
use tauri::{AppHandle, Runtime};
use tauri_plugin_opener::OpenerExt;

use super::{Answer, CoreState, check};
use crate::error::LocalCode;
use crate::ipc::{AppEvent, Profiles, Session, SsoProvider, SsoTry, SsoWords, UserSession};

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

/// By whom one can sign in at this address besides a password.
#[tauri::command]
#[specta::specta]
pub(crate) async fn sso_providers(core: CoreState<'_>, url: String) -> Answer<Vec<SsoProvider>> {
    check::text("url", &url)?;
    core.sso_providers(&url).await
}

/// Starts to sign in by a provider, and opens its page in the system's browser. [`finish_sso`] waits for the rest.
/// `again` has the provider ask its user who they are, though they may be signed in there.
#[tauri::command]
#[specta::specta]
pub(crate) async fn start_sso<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    url: String,
    provider: String,
    again: bool,
) -> Answer<SsoTry> {
    check::text("url", &url)?;
    check::text("provider", &provider)?;
    let started = core.start_sso(&url, &provider, again).await?;
    let opened = app.opener().open_url(&started.address, None::<&str>);
    if let Err(error) = &opened {
        tracing::info!(%error, "the browser did not open");
    }
    Ok(SsoTry { opened: opened.is_ok(), ..started })
}

/// Waits until the user has signed in in the browser, which shows `words` at the end: at most until the try's
/// `expires_at`. `sso_canceled` when it was given up.
#[tauri::command]
#[specta::specta]
pub(crate) async fn finish_sso<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    words: SsoWords,
) -> Answer<Session> {
    check::words(&words)?;
    let finished = core.inner().finish_sso(&words).await;
    let canceled = finished.as_ref().is_err_and(|error| error.is(LocalCode::SsoCanceled));
    if !canceled {
        crate::shell::show_window(&app);
    }
    finished
}

/// Gives up the sign-in that waits for the browser.
#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel_sso(core: CoreState<'_>) -> Answer<()> {
    core.cancel_sso();
    Ok(())
}

/// Who signed in on this computer.
#[tauri::command]
#[specta::specta]
pub(crate) async fn profiles(core: CoreState<'_>) -> Answer<Profiles> {
    Ok(core.preferences().profiles())
}

/// Shows another profile. Nobody is signed out; where the profile's sign-in was not kept, the session says so.
#[tauri::command]
#[specta::specta]
pub(crate) async fn switch_profile(core: CoreState<'_>, id: String) -> Answer<Session> {
    check::text("id", &id)?;
    core.inner().switch_profile(&id).await
}

/// Signs a profile out, and removes its cached rows, its kept sign-in and itself.
#[tauri::command]
#[specta::specta]
pub(crate) async fn remove_profile(core: CoreState<'_>, id: String) -> Answer<()> {
    check::text("id", &id)?;
    core.remove_profile(&id).await
}

/// The user's sessions, newest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn sessions(core: CoreState<'_>) -> Answer<Vec<UserSession>> {
    core.sessions().await
}

/// Ends one of the user's sessions.
#[tauri::command]
#[specta::specta]
pub(crate) async fn end_session(core: CoreState<'_>, id: String) -> Answer<()> {
    check::id("id", &id)?;
    core.end_session(&id).await
}

/// Changes the user's password. `invalid_request` tells of `current_password` or `password` what is wrong.
#[tauri::command]
#[specta::specta]
pub(crate) async fn change_password(
    core: CoreState<'_>,
    current_password: String,
    password: String,
) -> Answer<()> {
    check::text("current_password", &current_password)?;
    check::text("password", &password)?;
    core.change_password(current_password, password).await
}

/// Ends the session here and in the cloud, and removes the profile's cached rows and kept sign-in; other profiles
/// stay as they are.
#[tauri::command]
#[specta::specta]
pub(crate) async fn sign_out(core: CoreState<'_>) -> Answer<()> {
    core.sign_out().await
}
