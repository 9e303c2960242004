//! The REST client: one cloud, one user, tokens that renew themselves.

pub(crate) mod address;
mod admin;
mod problem;
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::header::{ACCEPT, DATE, IF_RANGE, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{JobId, PosServerId, SessionId};
use tillwatch_protocol::rest::backup::Backups;
use tillwatch_protocol::rest::job::{Job, JobRequest};
use tillwatch_protocol::rest::pos_server::StatusPage;
use tillwatch_protocol::rest::session::{
    ChangePassword, Me, Refresh, Session, SignIn, SsoFinish, SsoProvider, SsoStart, SsoStarted, Tokens,
};
use tillwatch_protocol::rest::timeline::TimelineItem;
use tillwatch_protocol::rest::{MAX_LIMIT, Page};
use url::Url;
use uuid::Uuid;

use crate::core::lock;
use crate::error::{AppError, LocalCode};

pub(crate) use tls::{fingerprint, hex};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long renewing the tokens may take: the cloud takes the same refresh token again for a minute, so that there has to
/// be time for more tries when an answer is lost.
const RENEW_TIMEOUT: Duration = Duration::from_secs(15);
/// How long events and archives may be silent. The cloud says something at least every 15 s.
const SILENCE: Duration = Duration::from_secs(35);
/// How often a call that changes nothing twice is tried.
const TRIES: u32 = 4;

/// A cloud at an address.
#[derive(Debug)]
pub(crate) struct Cloud {
    base: Url,
    pin: Option<String>,
    refused: tls::Refused,
    http: Mutex<Client>,
    tokens: tokio::sync::Mutex<Option<Held>>,
    /// Told each time the refresh token is renewed.
    keep: Box<dyn KeepToken>,
}

/// Where a refresh token goes when it changes.
trait KeepToken: Fn(&str) + Send + Sync {}
impl<F: Fn(&str) + Send + Sync> KeepToken for F {}

impl std::fmt::Debug for dyn KeepToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeepToken")
    }
}

/// The tokens of a session. An access token is missing after a start, when only the keychain's was there.
struct Held {
    access: Option<String>,
    refresh: String,
    /// By which the cloud knows a try to renew them that had no answer.
    renewal: Uuid,
}

impl From<&Tokens> for Held {
    fn from(tokens: &Tokens) -> Self {
        Self {
            access: Some(tokens.access_token.clone()),
            refresh: tokens.refresh_token.clone(),
            renewal: Uuid::new_v4(),
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl Cloud {
    /// The cloud at `base`, as [`address::normalise`] made it. Trusts exactly the certificate `pin` if there is one.
    /// `keep` is given each refresh token that takes the place of another; each is good once.
    pub(crate) fn new(
        base: Url,
        pin: Option<String>,
        keep: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, AppError> {
        let refused = Arc::default();
        let http = Mutex::new(client(&base, pin.as_ref(), &refused)?);
        Ok(Self { base, pin, refused, http, tokens: tokio::sync::Mutex::default(), keep: Box::new(keep) })
    }

    /// Has further calls make connections of their own: of those that are open it may be that nothing arrives on them
    /// any more, after sleep or in another network, and nobody says so.
    pub(crate) fn forget_connections(&self) {
        match client(&self.base, self.pin.as_ref(), &self.refused) {
            Ok(fresh) => *lock(&self.http) = fresh,
            Err(error) => tracing::warn!(%error, detail = error.detail, "connections could not be forgotten"),
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> &Url {
        &self.base
    }

    /// Whether the user pinned its certificate, as systems do not trust it by themselves.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pin.is_some()
    }

    /// Fails with `not_a_cloud` unless a Tillwatch cloud answers: a password is told to nobody else.
    pub(crate) async fn probe(&self) -> Result<(), AppError> {
        match self.answer(self.call(Method::GET, "me")).await {
            Err(error) if error.is_wire(ErrorCode::Unauthorized) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(AppError::from(LocalCode::NotACloud).detail("it asked for no sign-in")),
        }
    }

    /// Asks for the tokens of a user.
    pub(crate) async fn sign_in(&self, email: &str, password: String) -> Result<Tokens, AppError> {
        let body = SignIn { email: email.into(), password };
        self.read(self.call(Method::POST, "sessions").json(&body)).await
    }

    /// By whom one can sign in besides a password.
    pub(crate) async fn sso_providers(&self) -> Result<Vec<SsoProvider>, AppError> {
        let page: Page<SsoProvider> = self.read(self.call(Method::GET, "sso")).await?;
        Ok(page.items)
    }

    /// Starts a try to sign in by a provider. `provider` must be the id of one of [`Self::sso_providers`]; `again` has
    /// it ask its user who they are, though they may be signed in there.
    pub(crate) async fn start_sso(
        &self,
        provider: &str,
        redirect_uri: &Url,
        again: bool,
    ) -> Result<SsoStarted, AppError> {
        let body = SsoStart { redirect_uri: redirect_uri.to_string(), again };
        self.read(self.call(Method::POST, &format!("sso/{provider}/start")).json(&body)).await
    }

    /// Finishes a try with what the browser brought.
    pub(crate) async fn finish_sso(&self, provider: &str, body: &SsoFinish) -> Result<Tokens, AppError> {
        self.read(self.call(Method::POST, &format!("sso/{provider}/finish")).json(body)).await
    }

    /// Goes on with tokens that were just given.
    pub(crate) async fn adopt(&self, tokens: &Tokens) {
        *self.tokens.lock().await = Some(Held::from(tokens));
    }

    /// Goes on with a session whose refresh token was kept.
    pub(crate) async fn resume(&self, refresh_token: String) {
        *self.tokens.lock().await =
            Some(Held { access: None, refresh: refresh_token, renewal: Uuid::new_v4() });
    }

    /// Ends the session in the cloud.
    pub(crate) async fn sign_out(&self) -> Result<(), AppError> {
        self.send(|| self.call(Method::DELETE, "sessions/current")).await.map(drop)
    }

    /// Ends the session in the cloud, as another one takes its place. Its tokens are not renewed for that: the keychain
    /// would take a renewed one for the other's.
    pub(crate) async fn give_way(&self) -> Result<(), AppError> {
        let access = self.tokens.lock().await.take().and_then(|held| held.access);
        let Some(access) = access else { return Err(LocalCode::SessionEnded.into()) };
        self.answer(self.call(Method::DELETE, "sessions/current").bearer_auth(access)).await.map(drop)
    }

    /// The user's sessions, newest first.
    pub(crate) async fn sessions(&self) -> Result<Vec<Session>, AppError> {
        Ok(self.get::<Page<Session>>("sessions").await?.items)
    }

    /// Ends one of the user's sessions.
    pub(crate) async fn end_session(&self, id: SessionId) -> Result<(), AppError> {
        self.send(|| self.call(Method::DELETE, &format!("sessions/{id}"))).await.map(drop)
    }

    /// Changes the user's password; their other sessions end.
    pub(crate) async fn change_password(&self, change: &ChangePassword) -> Result<(), AppError> {
        self.send(|| self.call(Method::PUT, "me/password").json(change)).await.map(drop)
    }

    /// The user and what they may do.
    pub(crate) async fn me(&self) -> Result<Me, AppError> {
        self.get("me").await
    }

    /// Statuses from where `cursor` says.
    pub(crate) async fn statuses(&self, cursor: Option<&str>) -> Result<StatusPage, AppError> {
        let query = [("limit", Some(MAX_LIMIT.to_string())), ("cursor", cursor.map(ToOwned::to_owned))];
        self.read_with_session(|| self.call(Method::GET, "pos-servers").query(&query)).await
    }

    /// A page of what happened to a POS server in a period, newest first.
    pub(crate) async fn timeline(
        &self,
        id: PosServerId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        cursor: Option<&str>,
    ) -> Result<Page<TimelineItem>, AppError> {
        let path = format!("pos-servers/{id}/timeline");
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let query = [
            ("from", Some(time(from))),
            ("to", Some(time(to))),
            ("limit", Some(MAX_LIMIT.to_string())),
            ("cursor", cursor.map(ToOwned::to_owned)),
        ];
        self.read_with_session(|| self.call(Method::GET, &path).query(&query)).await
    }

    /// The databases that a restore of this POS server can go back to.
    pub(crate) async fn backups(&self, id: PosServerId) -> Result<Backups, AppError> {
        self.get(&format!("pos-servers/{id}/backups")).await
    }

    /// The newest jobs.
    pub(crate) async fn jobs(&self) -> Result<Vec<Job>, AppError> {
        let query = [("limit", MAX_LIMIT)];
        let page: Page<Job> = self.read_with_session(|| self.call(Method::GET, "jobs").query(&query)).await?;
        Ok(page.items)
    }

    /// One job.
    pub(crate) async fn job(&self, id: JobId) -> Result<Job, AppError> {
        self.get(&format!("jobs/{id}")).await
    }

    /// Starts a job. Tried again when the answer got lost: the key sees to it that there is one job all the same.
    pub(crate) async fn start_job(&self, id: PosServerId, request: &JobRequest) -> Result<Job, AppError> {
        let key = Uuid::now_v7().to_string();
        let path = format!("pos-servers/{id}/jobs");
        let mut tries = 1;
        loop {
            let call = || self.call(Method::POST, &path).header("Idempotency-Key", &key).json(request);
            match self.read_with_session(call).await {
                Err(error) if is_passing(&error) && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(tries)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Asks for a job to be canceled.
    pub(crate) async fn cancel_job(&self, id: JobId) -> Result<Job, AppError> {
        self.read_with_session(|| self.call(Method::POST, &format!("jobs/{id}/cancel"))).await
    }

    /// The stream of events after a revision.
    pub(crate) async fn events(&self, after: i64) -> Result<Response, AppError> {
        self.send(|| {
            self.stream("events")
                .header(ACCEPT, "text/event-stream")
                .header("Last-Event-ID", after.to_string())
        })
        .await
    }

    /// An archive's bytes from `offset` on, unless it is not the one with this hash any more: then all of them.
    pub(crate) async fn archive(&self, id: &str, sha256: &str, offset: u64) -> Result<Response, AppError> {
        let path = format!("archives/{id}/content");
        self.send(|| match offset {
            0 => self.stream(&path),
            _ => self
                .stream(&path)
                .header(RANGE, format!("bytes={offset}-"))
                .header(IF_RANGE, format!("\"{sha256}\"")),
        })
        .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AppError> {
        self.read_with_session(|| self.call(Method::GET, path)).await
    }

    /// A call that is answered at once.
    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        lock(&self.http).request(method, self.url(path)).timeout(CALL_TIMEOUT)
    }

    /// A call whose answer takes as long as it takes.
    fn stream(&self, path: &str) -> RequestBuilder {
        lock(&self.http).get(self.url(path))
    }

    fn url(&self, path: &str) -> String {
        format!("{}api/v1/{path}", self.base)
    }

    async fn read_with_session<T: DeserializeOwned>(
        &self,
        call: impl Fn() -> RequestBuilder,
    ) -> Result<T, AppError> {
        let response = self.send(call).await?;
        response.json().await.map_err(|error| self.unanswered(&error))
    }

    async fn read<T: DeserializeOwned>(&self, call: RequestBuilder) -> Result<T, AppError> {
        self.answer(call).await?.json().await.map_err(|error| self.unanswered(&error))
    }

    /// Sends with the session's token, which is renewed once when the cloud does not take it.
    async fn send(&self, call: impl Fn() -> RequestBuilder) -> Result<Response, AppError> {
        let token = self.access_token(None).await?;
        match self.answer(call().bearer_auth(&token)).await {
            Err(error) if error.is_wire(ErrorCode::Unauthorized) => {
                let renewed = self.access_token(Some(&token)).await?;
                self.answer(call().bearer_auth(renewed)).await.map_err(|error| {
                    if error.is_wire(ErrorCode::Unauthorized) {
                        LocalCode::SessionEnded.into()
                    } else {
                        error
                    }
                })
            }
            answer => answer,
        }
    }

    /// An access token that is not `refused`: the cloud alone says which are good, as the clock here may be off.
    /// Whoever comes while it is renewed waits for the same one.
    async fn access_token(&self, refused: Option<&str>) -> Result<String, AppError> {
        let mut tokens = self.tokens.lock().await;
        let Some(held) = tokens.as_ref() else { return Err(LocalCode::SessionEnded.into()) };
        if let Some(access) = &held.access
            && refused != Some(access)
        {
            return Ok(access.clone());
        }
        let body = Refresh { refresh_token: held.refresh.clone() };
        let call =
            self.call(Method::POST, "sessions/refresh").header("Idempotency-Key", held.renewal.to_string());
        let call = call.timeout(RENEW_TIMEOUT).json(&body);
        match self.read::<Tokens>(call).await {
            Ok(renewed) => {
                *tokens = Some(Held::from(&renewed));
                (self.keep)(&renewed.refresh_token);
                Ok(renewed.access_token)
            }
            Err(error)
                if error.is_wire(ErrorCode::Unauthorized) || error.is_wire(ErrorCode::InvalidCredentials) =>
            {
                *tokens = None;
                Err(LocalCode::SessionEnded.into())
            }
            Err(error) => Err(error),
        }
    }

    async fn answer(&self, call: RequestBuilder) -> Result<Response, AppError> {
        let response = call.send().await.map_err(|error| self.unanswered(&error))?;
        problem::check(response).await
    }

    fn unanswered(&self, error: &reqwest::Error) -> AppError {
        let refused = lock(&self.refused).take();
        let host = self.base.host_str().unwrap_or_default();
        let is_loopback = self.base.host().is_some_and(|host| address::is_loopback(&host));
        problem::unanswered(error, host, is_loopback, refused, self.pin.as_deref())
    }
}

/// Makes connections to the cloud at `base`.
fn client(base: &Url, pin: Option<&String>, refused: &tls::Refused) -> Result<Client, AppError> {
    let config = tls::config(pin.cloned(), Arc::clone(refused))?;
    let mut http = Client::builder()
        .tls_backend_preconfigured(config)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("Tillwatch/", env!("CARGO_PKG_VERSION")));
    if base.host().is_some_and(|host| address::is_loopback(&host)) {
        http = http.no_proxy();
    }
    http.build().map_err(|error| AppError::from(LocalCode::TlsFailed).detail(error))
}

/// When the answer was given, by the cloud's clock and to the second. None when a proxy has left that out.
pub(crate) fn answered_at(response: &Response) -> Option<DateTime<Utc>> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(date).ok().map(|at| at.to_utc())
}

/// Whether the same call may well succeed a little later.
pub(crate) fn is_passing(error: &AppError) -> bool {
    error.is(LocalCode::CloudUnreachable)
        || error.is(LocalCode::NoNetwork)
        || error.is_wire(ErrorCode::Unavailable)
}

/// A body as JSON text, for the window.
pub(crate) fn to_text(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}
