//! Starting, signing in and out, and what happens when a session ends by itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use tillwatch_protocol::ids::UserId;
use tillwatch_protocol::rest::session::Me;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Core, lock};
use crate::cloud::{Cloud, address, fingerprint};
use crate::error::{AppError, LocalCode};
use crate::events;
use crate::ipc::{AppEvent, ConnectionState, Session, SessionState};
use crate::rows::Access;
use crate::secrets::Secrets;

/// How long the window waits for the keychain, which may ask the user something, before it goes on without.
const KEYCHAIN_PATIENCE: Duration = Duration::from_millis(1500);
/// How long signing out waits for the cloud.
const SIGN_OUT_PATIENCE: Duration = Duration::from_secs(5);

/// The session at a cloud.
pub(super) struct SignedIn {
    pub(super) cloud: Arc<Cloud>,
    pub(super) user_id: Option<UserId>,
    url: Url,
    email: String,
    reload: mpsc::Sender<events::Reload>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Core {
    /// Shows the last known rows and goes on with the last session, if there is one. Must be called in a runtime.
    pub(crate) fn start(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).tell_of_rows());
        tokio::spawn(Arc::clone(self).write_cache());
        self.sweep_viewing();
        let settings = self.preferences.settings();
        let kept = self.open_cache();
        let url = settings.last_url.and_then(|url| address::normalise(&url).ok());
        let (Some(url), Some(email)) = (url, settings.last_email) else {
            self.started.send_replace(true);
            return;
        };
        let kept = kept.filter(|kept| kept.url == url && kept.me.user.email == email);
        let me = kept.map(|kept| {
            let mut fleet = self.fleet();
            fleet.set_access(Access::from(&kept.me));
            fleet.restore(kept.entries, kept.texts, kept.as_of);
            kept.me
        });
        self.rows_changed();
        let core = Arc::clone(self);
        tokio::spawn(async move {
            core.resume(url, email, me).await;
            core.started.send_replace(true);
        });
    }

    /// Who is signed in. At the start this waits a moment for the keychain.
    pub(crate) async fn session(&self) -> Session {
        let mut started = self.started.subscribe();
        // Elapsed or not, what is known by then is told.
        let _ = tokio::time::timeout(KEYCHAIN_PATIENCE, started.wait_for(|started| *started)).await;
        lock(&self.session).clone()
    }

    /// Signs in, shows that user's rows and keeps them live.
    pub(crate) async fn sign_in(
        self: &Arc<Self>,
        url: &str,
        email: &str,
        password: String,
    ) -> Result<Session, AppError> {
        let _turn = self.turn.lock().await;
        let url = address::normalise(url)?;
        let cloud = self.cloud(&url, email.trim())?;
        cloud.probe().await?;
        let tokens = cloud.sign_in(email.trim(), password).await?;
        let me = cloud.me().await?;
        self.stop().await;
        let email = tokens.user.email.clone();
        self.preferences.save_sign_in(&url, &email)?;
        let mut keeping =
            tokio::spawn(keep_token(self.secrets.clone(), url.clone(), email.clone(), tokens.refresh_token));
        let kept = tokio::time::timeout(KEYCHAIN_PATIENCE, &mut keeping).await;
        self.take_place(&url, &me);
        let session = Session {
            state: SessionState::SignedIn,
            url: Some(url.to_string()),
            email: Some(email.clone()),
            name: Some(me.user.name.clone()),
            admin: me.user.admin,
            remembered: matches!(kept, Ok(Ok(true))),
        };
        self.set_session(session.clone());
        if kept.is_err() {
            // It asks the user for a password of its own: the rows don't wait for that.
            let (core, session) = (Arc::clone(self), session.clone());
            tokio::spawn(async move {
                let kept = keeping.await.is_ok_and(|kept| kept);
                let now = lock(&core.session).clone();
                if kept
                    && now.state == SessionState::SignedIn
                    && (&now.url, &now.email) == (&session.url, &session.email)
                {
                    core.set_session(Session { remembered: true, ..now });
                }
            });
        }
        self.go_live(cloud, url, email, Some(me.user.id));
        Ok(session)
    }

    /// Pins a certificate for a cloud.
    pub(crate) fn trust_certificate(&self, url: &str, sha256: &str) -> Result<(), AppError> {
        let url = address::normalise(url)?;
        let sha256 = fingerprint(sha256).ok_or_else(|| {
            AppError::from(LocalCode::InvalidAddress).detail("a fingerprint has 64 hexadecimal digits")
        })?;
        self.preferences.save_pin(&url, sha256)
    }

    /// Ends the session, and forgets the rows and the tokens.
    pub(crate) async fn sign_out(&self) -> Result<(), AppError> {
        let _turn = self.turn.lock().await;
        self.downloads.cancel_all();
        self.downloads.forget_left().await;
        self.close_any_viewer();
        let settings = self.preferences.settings();
        let kept_as =
            settings.last_url.and_then(|url| address::normalise(&url).ok()).zip(settings.last_email);
        if let Some(cloud) = self.stop().await {
            match tokio::time::timeout(SIGN_OUT_PATIENCE, cloud.sign_out()).await {
                Ok(Ok(())) => {}
                // Without the cloud the session ends here only; there it ends by its own time.
                Ok(Err(error)) => tracing::info!(%error, "the cloud was not told of the sign-out"),
                Err(_) => tracing::info!("the cloud was too slow to be told of the sign-out"),
            }
        }
        self.remove_cache();
        self.fleet().clear();
        lock(&self.jobs).clear();
        self.rows_changed();
        self.set_session(Session::signed_out());
        self.set_connection(ConnectionState::SignedOut);
        let Some((url, email)) = kept_as else { return Ok(()) };
        self.forget_token(url, email).await
    }

    /// Loads everything anew.
    pub(crate) async fn refresh(&self) -> Result<(), AppError> {
        let reload = lock(&self.signed_in).as_ref().map(|signed_in| signed_in.reload.clone());
        let (done, answer) = oneshot::channel();
        let ended = || AppError::from(LocalCode::SessionEnded);
        reload.ok_or_else(ended)?.send(done).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// The cloud that the user is signed in to.
    pub(super) fn current_cloud(&self) -> Result<Arc<Cloud>, AppError> {
        let signed_in = lock(&self.signed_in);
        signed_in.as_ref().map(|signed_in| Arc::clone(&signed_in.cloud)).ok_or(LocalCode::SessionEnded.into())
    }

    /// Who is signed in, as far as it is known.
    pub(super) fn user_id(&self) -> Option<UserId> {
        lock(&self.signed_in).as_ref().and_then(|signed_in| signed_in.user_id)
    }

    /// The user as the cloud tells it now.
    pub(crate) fn set_me(&self, me: &Me) {
        if let Some(signed_in) = lock(&self.signed_in).as_mut() {
            signed_in.user_id = Some(me.user.id);
            self.claim_cache(&signed_in.url, me);
        }
        self.fleet().set_access(Access::from(me));
        let session = {
            let session = lock(&self.session);
            Session { name: Some(me.user.name.clone()), admin: me.user.admin, ..session.clone() }
        };
        self.set_session(session);
    }

    /// The cloud takes the session no longer: the rows stay, the password is needed to go on.
    pub(crate) async fn session_ended(&self, cloud: &Arc<Cloud>) {
        let is_current = |signed_in: &mut SignedIn| Arc::ptr_eq(&signed_in.cloud, cloud);
        let Some(signed_in) = lock(&self.signed_in).take_if(is_current) else { return };
        let session =
            Session { state: SessionState::Expired, remembered: false, ..lock(&self.session).clone() };
        self.set_session(session);
        self.set_connection(ConnectionState::SessionEnded);
        // Worth nothing any more, and gone for good only when the keychain says so: not worth a word to the user.
        if let Err(error) = self.forget_token(signed_in.url, signed_in.email).await {
            tracing::info!(%error, "the ended session's token stays in the keychain");
        }
    }

    async fn resume(self: &Arc<Self>, url: Url, email: String, me: Option<Me>) {
        let _turn = self.turn.lock().await;
        let (secrets, of, whom) = (self.secrets.clone(), url.clone(), email.clone());
        let token = tokio::task::spawn_blocking(move || secrets.find(&of, &whom)).await;
        let token = match token {
            Ok(Ok(token)) => token,
            Ok(Err(error)) => {
                tracing::info!(%error, "no sign-in was kept");
                None
            }
            Err(error) => {
                tracing::error!(%error, "asking the keychain failed");
                None
            }
        };
        // Somebody was faster at the keyboard.
        if lock(&self.signed_in).is_some() {
            return;
        }
        let session = Session {
            state: SessionState::SignedIn,
            url: Some(url.to_string()),
            email: Some(email.clone()),
            name: me.as_ref().map(|me| me.user.name.clone()),
            admin: me.as_ref().is_some_and(|me| me.user.admin),
            remembered: true,
        };
        match (token, self.cloud(&url, &email)) {
            (Some(token), Ok(cloud)) => {
                cloud.resume(token).await;
                self.set_session(session);
                self.go_live(cloud, url, email, me.map(|me| me.user.id));
            }
            (_, _) if me.is_some() => {
                self.set_session(Session { state: SessionState::Expired, remembered: false, ..session });
                self.set_connection(ConnectionState::SessionEnded);
            }
            (_, _) => {}
        }
    }

    fn cloud(&self, url: &Url, email: &str) -> Result<Arc<Cloud>, AppError> {
        let (secrets, of, whom) = (self.secrets.clone(), url.clone(), email.to_owned());
        // The keychain blocks, and only the newest token is worth keeping.
        let newest = Arc::new(Mutex::new(None));
        let keep = move |token: &str| {
            *lock(&newest) = Some(token.to_owned());
            let (secrets, of, whom, newest) =
                (secrets.clone(), of.clone(), whom.clone(), Arc::clone(&newest));
            tokio::task::spawn_blocking(move || {
                if let Err(error) = secrets.keep(&of, &whom, || lock(&newest).take()) {
                    tracing::debug!(%error, "the renewed token is not kept");
                }
            });
        };
        Cloud::new(url.clone(), self.preferences.pin(url), keep).map(Arc::new)
    }

    /// Makes the rows and the cache those of this user.
    fn take_place(&self, url: &Url, me: &Me) {
        let before = lock(&self.session).clone();
        let is_same = before.url.as_deref() == Some(url.as_str())
            && before.email.as_deref() == Some(me.user.email.as_str());
        if !is_same {
            self.drop_unwritten();
            self.fleet().clear();
            lock(&self.jobs).clear();
        }
        self.claim_cache(url, me);
        self.fleet().set_access(Access::from(me));
        self.rows_changed();
    }

    fn go_live(self: &Arc<Self>, cloud: Arc<Cloud>, url: Url, email: String, user_id: Option<UserId>) {
        let stop = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(8);
        self.set_connection(ConnectionState::Connecting);
        let mut signed_in = lock(&self.signed_in);
        let task = tokio::spawn(events::run(Arc::clone(self), Arc::clone(&cloud), reloads, stop.clone()));
        *signed_in = Some(SignedIn { cloud, user_id, url, email, reload, stop, task });
    }

    /// Stops following the cloud that the user is signed in to; nothing comes from it any more afterwards.
    async fn stop(&self) -> Option<Arc<Cloud>> {
        let signed_in = lock(&self.signed_in).take()?;
        signed_in.stop.cancel();
        if let Err(error) = signed_in.task.await {
            tracing::error!(%error, "following the cloud failed");
        }
        self.set_live(false, Utc::now());
        Some(signed_in.cloud)
    }

    async fn forget_token(&self, url: Url, email: String) -> Result<(), AppError> {
        let secrets = self.secrets.clone();
        match tokio::task::spawn_blocking(move || secrets.forget(&url, &email)).await {
            Ok(Ok(())) => Ok(()),
            // A keychain that can't be reached kept nothing.
            Ok(Err(error)) if error.is(LocalCode::KeychainUnavailable) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(AppError::bug("forgetting the sign-in failed", &error)),
        }
    }

    fn set_session(&self, session: Session) {
        {
            let mut current = lock(&self.session);
            if *current == session {
                return;
            }
            *current = session.clone();
        }
        self.emit(AppEvent::Session { session });
    }
}

/// Keeps a refresh token in the keychain. Tells whether it is there.
async fn keep_token(secrets: Secrets, url: Url, email: String, token: String) -> bool {
    match tokio::task::spawn_blocking(move || secrets.keep(&url, &email, || Some(token))).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, detail = error.detail, "the sign-in is not kept");
            false
        }
        Err(error) => {
            tracing::error!(%error, "keeping the sign-in failed");
            false
        }
    }
}
