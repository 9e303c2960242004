//! Starting, signing in and out, and what happens when a session ends by itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use thread_priority::{ThreadPriority, set_current_thread_priority};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::UserId;
use tillwatch_protocol::rest::session::{ChangePassword, Me, Permission, Tokens};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use url::Url;

use super::admin::Registry;
use super::{Core, KeptRows, lock};
use crate::cache::Head;
use crate::cloud::{Cloud, address, fingerprint};
use crate::error::{AppError, LocalCode};
use crate::events;
use crate::ipc::{AppEvent, ConnectionState, Profile, Session, SessionState, UserSession};
use crate::rows::{Access, Fleet};
use crate::secrets::Secrets;

/// How long the window waits for the keychain, which may ask the user something, before it goes on without.
const KEYCHAIN_PATIENCE: Duration = Duration::from_millis(1500);
/// How long signing out waits for the cloud.
const SIGN_OUT_PATIENCE: Duration = Duration::from_secs(5);

/// The session at a cloud.
pub(super) struct SignedIn {
    pub(super) cloud: Arc<Cloud>,
    pub(super) user_id: Option<UserId>,
    profile: Profile,
    url: Url,
    reload: mpsc::Sender<events::Reload>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    /// The downloads under way.
    downloads: TaskTracker,
}

/// What a download needs of the session that it was begun in. The session's end waits until it is dropped.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) cloud: Arc<Cloud>,
    /// The cloud's address.
    pub(super) url: String,
    /// The user's e-mail there.
    pub(super) email: String,
    /// When it ends, what is under way has to be left for when it goes on.
    pub(super) stop: CancellationToken,
    _under_way: TaskTrackerToken,
}

impl Core {
    /// Shows the last known rows and goes on with the last session, if there is one. Must be called in a runtime.
    pub(crate) fn start(self: &Arc<Self>) {
        self.sweep_viewing();
        tokio::spawn(Arc::clone(self).tell_of_rows());
        tokio::spawn(Arc::clone(self).write_cache());
        let Some(profile) = self.current_profile() else {
            self.started.send_replace(true);
            return;
        };
        // The query first: what is read is put in order once.
        if let Some(query) = self.preferences.settings().query
            && let Err(error) = self.set_query(&query)
        {
            tracing::warn!(%error, "the kept query is not used");
        }
        // Beside the making of the window. Nobody comes to the rows before they are read, lest older ones take their place.
        let (locking, locked) = std::sync::mpsc::channel();
        let (begun, me) = oneshot::channel();
        let (ended, read) = oneshot::channel();
        let (core, of, runtime) = (Arc::clone(self), profile.clone(), Handle::current());
        self.kept.send_replace(KeptRows::Unread);
        // A thread of its own, as none gets back the priority that it gave away.
        std::thread::spawn(move || {
            let _runtime = runtime.enter();
            let mut fleet = core.fleet();
            let _ = locking.send(());
            core.adopt_cache(&of);
            let asked = fleet.asked().clone();
            core.show_kept(&mut fleet, &of, |head| {
                if let Some(screen) = head.screen.clone().filter(|screen| screen.asked == asked) {
                    let summary = screen.summary.clone();
                    core.kept.send_replace(KeptRows::Screen(Arc::new(screen)));
                    core.emit(AppEvent::Grid { summary, changes: None, cursor: None });
                    // The webview needs the cores more than the rows that nobody sees yet.
                    if let Err(error) = set_current_thread_priority(ThreadPriority::Min) {
                        tracing::info!(?error, "the rows are read at the usual priority");
                    }
                }
                let _ = begun.send(head.me.clone());
            });
            let _ = ended.send(());
        });
        let _ = locked.recv();
        let core = Arc::clone(self);
        tokio::spawn(async move {
            if read.await.is_err() {
                tracing::error!("reading the cache failed");
            }
            core.kept.send_replace(KeptRows::Read);
        });
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let turn = core.turn.lock().await;
            // Somebody may have been faster at the keyboard.
            if lock(&core.signed_in).is_none() {
                // Without a cache it is dropped, and nothing is known of whom it is.
                core.resume(profile, async { me.await.ok() }).await;
            }
            drop(turn);
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

    /// Signs in by password, shows that user's rows and keeps them live.
    pub(crate) async fn sign_in(
        self: &Arc<Self>,
        url: &str,
        email: &str,
        password: String,
    ) -> Result<Session, AppError> {
        let turn = self.turn.lock().await;
        let url = address::normalise(url)?;
        let cloud = self.stranger(&url)?;
        cloud.probe().await?;
        let tokens = cloud.sign_in(email.trim(), password).await?;
        self.enter(&turn, url, tokens).await
    }

    /// Takes a session that was just begun, in place of the one before, if there was one.
    pub(super) async fn enter(
        self: &Arc<Self>,
        _turn: &tokio::sync::MutexGuard<'_, ()>,
        url: Url,
        tokens: Tokens,
    ) -> Result<Session, AppError> {
        let email = tokens.user.email.clone();
        let cloud = self.cloud(&url, &email)?;
        cloud.adopt(&tokens).await;
        let me = cloud.me().await?;
        self.cancel_sso();
        let before = lock(&self.session).profile.clone();
        let stopped = self.stop().await;
        let profile = Profile::new(&url, &email, &me.user.name);
        if let Some(stopped) = stopped.filter(|_| before.as_ref() == Some(&profile.id)) {
            // The user proved anew who they are: the session before is of no use any more.
            tokio::spawn(async move {
                if let Err(error) = stopped.give_way().await {
                    tracing::info!(%error, "the session before ends by its own time");
                }
            });
        }
        self.preferences.use_profile(profile.clone())?;
        let mut keeping =
            tokio::spawn(keep_token(self.secrets.clone(), url.clone(), email, tokens.refresh_token));
        let kept = tokio::time::timeout(KEYCHAIN_PATIENCE, &mut keeping).await;
        self.take_place(&profile, &url, &me);
        let remembered = matches!(kept, Ok(Ok(true)));
        let session = session_of(&profile, Some(&me), SessionState::SignedIn, remembered);
        self.set_session(session.clone());
        if kept.is_err() {
            // It asks the user for a password of its own: the rows don't wait for that.
            let (core, session) = (Arc::clone(self), session.clone());
            tokio::spawn(async move {
                let kept = keeping.await.is_ok_and(|kept| kept);
                let now = lock(&core.session).clone();
                if kept && now.state == SessionState::SignedIn && now.profile == session.profile {
                    core.set_session(Session { remembered: true, ..now });
                }
            });
        }
        self.go_live(cloud, profile, url, Some(me.user.id));
        Ok(session)
    }

    /// Shows another profile's rows and goes on with its session. Nobody is signed out: the one before can be
    /// gone back to.
    pub(crate) async fn switch_profile(self: &Arc<Self>, id: &str) -> Result<Session, AppError> {
        let _turn = self.turn.lock().await;
        let profile = self.preferences.profile(id).ok_or(ErrorCode::NotFound)?;
        let before = lock(&self.session).clone();
        if before.state == SessionState::SignedIn && before.profile.as_deref() == Some(id) {
            return Ok(before);
        }
        self.stop().await;
        self.preferences.use_profile(profile.clone())?;
        self.forget_shown();
        let me = self.show_kept(&mut self.fleet(), &profile, |_| {});
        self.resume(profile, std::future::ready(me)).await;
        Ok(lock(&self.session).clone())
    }

    /// Pins a certificate for a cloud.
    pub(crate) fn trust_certificate(&self, url: &str, sha256: &str) -> Result<(), AppError> {
        let url = address::normalise(url)?;
        let sha256 = fingerprint(sha256).ok_or_else(|| {
            AppError::from(LocalCode::InvalidAddress).detail("a fingerprint has 64 hexadecimal digits")
        })?;
        self.preferences.save_pin(&url, sha256)
    }

    /// Ends the session of the profile that is shown, and forgets its rows and tokens. Other profiles stay as they
    /// are.
    pub(crate) async fn sign_out(&self) -> Result<(), AppError> {
        let _turn = self.turn.lock().await;
        match self.current_profile() {
            Some(profile) => self.leave(&profile).await,
            None => Ok(()),
        }
    }

    /// Signs a profile out and forgets it.
    pub(crate) async fn remove_profile(&self, id: &str) -> Result<(), AppError> {
        let _turn = self.turn.lock().await;
        let Some(profile) = self.preferences.profile(id) else { return Ok(()) };
        if self.current_profile().is_some_and(|current| current.id == profile.id) {
            self.leave(&profile).await?;
        } else if let Some(url) = profile.address() {
            let cloud = self.cloud(&url, &profile.email)?;
            if let Some(token) = self.kept_token(&url, &profile.email).await {
                cloud.resume(token).await;
                end_in_cloud(&cloud).await;
            }
            self.downloads.forget_left(&profile.url, &profile.email).await;
            self.remove_cache(&profile);
            self.forget_token(url, profile.email).await?;
        }
        self.preferences.remove_profile(id)
    }

    /// The user's sessions at the cloud.
    pub(crate) async fn sessions(&self) -> Result<Vec<UserSession>, AppError> {
        Ok(self.current_cloud()?.sessions().await?.into_iter().map(UserSession::from).collect())
    }

    /// Ends one of them; not the one of this window, which signing out ends.
    pub(crate) async fn end_session(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.end_session(id.parse().map_err(|_| ErrorCode::NotFound)?).await
    }

    /// Changes the user's password; they stay signed in here, and nowhere else.
    pub(crate) async fn change_password(
        &self,
        current_password: String,
        password: String,
    ) -> Result<(), AppError> {
        self.current_cloud()?.change_password(&ChangePassword { current_password, password }).await?;
        let session = lock(&self.session).clone();
        self.set_session(Session { password_ends_at: None, ..session });
        Ok(())
    }

    /// Ends what there is of the profile that is shown, and shows that nobody is signed in.
    async fn leave(&self, profile: &Profile) -> Result<(), AppError> {
        self.downloads.cancel_all();
        let cloud = self.stop().await;
        self.downloads.forget_left(&profile.url, &profile.email).await;
        if let Some(cloud) = cloud {
            end_in_cloud(&cloud).await;
        }
        self.remove_cache(profile);
        self.forget_shown();
        self.rows_changed();
        let left = self.preferences.leave_profile();
        self.set_session(Session::signed_out());
        self.set_connection(ConnectionState::SignedOut);
        if let Some(url) = profile.address() {
            self.forget_token(url, profile.email.clone()).await?;
        }
        left
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

    /// The session, for a download.
    pub(super) fn hold(&self) -> Result<Held, AppError> {
        let signed_in = lock(&self.signed_in);
        let signed_in = signed_in.as_ref().ok_or(LocalCode::SessionEnded)?;
        Ok(Held {
            cloud: Arc::clone(&signed_in.cloud),
            url: signed_in.profile.url.clone(),
            email: signed_in.profile.email.clone(),
            stop: signed_in.stop.clone(),
            _under_way: signed_in.downloads.token(),
        })
    }

    /// Who is signed in, as far as it is known.
    pub(super) fn user_id(&self) -> Option<UserId> {
        lock(&self.signed_in).as_ref().and_then(|signed_in| signed_in.user_id)
    }

    /// The user as the cloud tells it now.
    pub(crate) fn set_me(&self, me: &Me) {
        if let Some(signed_in) = lock(&self.signed_in).as_mut() {
            signed_in.user_id = Some(me.user.id);
            self.claim_cache(&signed_in.profile, &signed_in.url, me);
            if signed_in.profile.name != me.user.name {
                signed_in.profile.name.clone_from(&me.user.name);
                if let Err(error) = self.preferences.use_profile(signed_in.profile.clone()) {
                    tracing::warn!(%error, "the user's new name is not kept");
                }
            }
        }
        self.fleet().set_access(Access::from(me));
        let session = {
            let session = lock(&self.session);
            Session {
                name: Some(me.user.name.clone()),
                admin: me.user.admin,
                administers: administers(me),
                password_ends_at: me.password_ends_at,
                ..session.clone()
            }
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
        if let Err(error) = self.forget_token(signed_in.url, signed_in.profile.email).await {
            tracing::info!(%error, "the ended session's token stays in the keychain");
        }
    }

    /// The profile that is shown, or was last.
    fn current_profile(&self) -> Option<Profile> {
        self.preferences.profile(&self.preferences.profiles().current?)
    }

    /// Forgets what the window was shown of a profile: it is not for the next one.
    fn forget_shown(&self) {
        self.fleet().clear();
        lock(&self.jobs).clear();
        *lock(&self.registry) = Registry::default();
        self.close_any_viewer();
    }

    /// Shows the last known rows of a profile, and tells of whom they are; none when there are none. `begun` is told so
    /// before they are read.
    fn show_kept(&self, fleet: &mut Fleet, profile: &Profile, begun: impl FnOnce(&Head)) -> Option<Me> {
        let is_its = |head: &Head| head.url.as_str() == profile.url;
        let begun = |head: &Head| {
            if is_its(head) {
                begun(head);
            }
        };
        let kept = self.open_cache(profile, begun).filter(|kept| is_its(&kept.head));
        let me = kept.map(|kept| {
            fleet.set_access(Access::from(&kept.head.me));
            fleet.restore(kept.entries, kept.texts, kept.as_of);
            kept.head.me
        });
        self.rows_changed();
        me
    }

    /// Goes on with the session of a profile, if its token was kept.
    async fn resume(self: &Arc<Self>, profile: Profile, me: impl Future<Output = Option<Me>>) {
        let Some(url) = profile.address() else { return };
        let (token, me) = tokio::join!(self.kept_token(&url, &profile.email), me);
        match (token, self.cloud(&url, &profile.email)) {
            (Some(token), Ok(cloud)) => {
                cloud.resume(token).await;
                self.set_session(session_of(&profile, me.as_ref(), SessionState::SignedIn, true));
                self.go_live(cloud, profile, url, me.map(|me| me.user.id));
            }
            (_, _) if me.is_some() => {
                self.set_session(session_of(&profile, me.as_ref(), SessionState::Expired, false));
                self.set_connection(ConnectionState::SessionEnded);
            }
            (_, _) => {
                self.set_session(session_of(&profile, None, SessionState::SignedOut, false));
                self.set_connection(ConnectionState::SignedOut);
            }
        }
    }

    /// The token that the keychain has for this user; none if it has none or can't be asked.
    async fn kept_token(&self, url: &Url, email: &str) -> Option<String> {
        let (secrets, of, whom) = (self.secrets.clone(), url.clone(), email.to_owned());
        match tokio::task::spawn_blocking(move || secrets.find(&of, &whom)).await {
            Ok(Ok(token)) => token,
            Ok(Err(error)) => {
                tracing::info!(%error, "no sign-in was kept");
                None
            }
            Err(error) => {
                tracing::error!(%error, "asking the keychain failed");
                None
            }
        }
    }

    /// The cloud as somebody sees it who has not signed in.
    pub(super) fn stranger(&self, url: &Url) -> Result<Cloud, AppError> {
        Cloud::new(url.clone(), self.preferences.pin(url), |_| {})
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
    fn take_place(&self, profile: &Profile, url: &Url, me: &Me) {
        if lock(&self.session).profile.as_ref() != Some(&profile.id) {
            self.forget_shown();
            self.show_kept(&mut self.fleet(), profile, |_| {});
        }
        self.claim_cache(profile, url, me);
        self.fleet().set_access(Access::from(me));
        self.rows_changed();
    }

    fn go_live(self: &Arc<Self>, cloud: Arc<Cloud>, profile: Profile, url: Url, user_id: Option<UserId>) {
        let stop = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(8);
        self.set_connection(ConnectionState::Connecting);
        let mut signed_in = lock(&self.signed_in);
        let (core, followed, until) = (Arc::clone(self), Arc::clone(&cloud), stop.clone());
        let task = tokio::spawn(async move {
            // The network comes after the rows that are here.
            core.rows_read().await;
            events::run(core, followed, reloads, until).await;
        });
        let downloads = TaskTracker::new();
        *signed_in = Some(SignedIn { cloud, user_id, profile, url, reload, stop, task, downloads });
    }

    /// Stops following the cloud that the user is signed in to; nothing comes from it any more afterwards. Downloads
    /// stay in the journal and go on when the profile is shown again.
    async fn stop(&self) -> Option<Arc<Cloud>> {
        let signed_in = lock(&self.signed_in).take()?;
        signed_in.stop.cancel();
        if let Err(error) = signed_in.task.await {
            tracing::error!(%error, "following the cloud failed");
        }
        // What went on would renew the tokens behind the back of the next session of this profile.
        self.close_any_viewer();
        signed_in.downloads.close();
        signed_in.downloads.wait().await;
        self.set_live(false, self.now());
        // What was heard last is written while the rows are still this profile's.
        self.flush();
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

/// What the window is told of a profile's session.
fn session_of(profile: &Profile, me: Option<&Me>, state: SessionState, remembered: bool) -> Session {
    Session {
        state,
        profile: Some(profile.id.clone()),
        url: Some(profile.url.clone()),
        email: Some(profile.email.clone()),
        name: Some(me.map_or_else(|| profile.name.clone(), |me| me.user.name.clone())),
        admin: me.is_some_and(|me| me.user.admin),
        administers: me.is_some_and(administers),
        password_ends_at: me.and_then(|me| me.password_ends_at),
        remembered,
    }
}

/// Whether the user administers anything, as the cloud sees it: for single outlets the permission means nothing.
fn administers(me: &Me) -> bool {
    let chains = me.chains.iter().flat_map(|chain| &chain.permissions);
    me.user.admin || me.everywhere.iter().chain(chains).any(|permission| *permission == Permission::Admin)
}

/// Tells the cloud that a session is over. Without the cloud it ends there by its own time.
async fn end_in_cloud(cloud: &Cloud) {
    match tokio::time::timeout(SIGN_OUT_PATIENCE, cloud.sign_out()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "the cloud was not told of the sign-out"),
        Err(_) => tracing::info!("the cloud was too slow to be told of the sign-out"),
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
