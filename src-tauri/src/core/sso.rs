//! Signing in by a provider of identities: the cloud speaks with the provider, the system's browser with the user,
//! and this app waits on a port of this computer for what the browser brings (ADR 0009).

use std::sync::Arc;
use std::time::Duration;

use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::rest::session::{SsoFinish, SsoStarted};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Core, lock};
use crate::cloud::address;
use crate::error::{AppError, LocalCode};
use crate::ipc::{Session, SsoProvider, SsoTry, SsoWords};
use crate::loopback::Loopback;

/// How long a browser is waited for: as long as the cloud lets a try last. When exactly that is over the cloud says by its
/// own clock.
const PATIENCE: Duration = Duration::from_mins(10);

/// A try that waits for its user.
pub(super) struct Pending {
    url: Url,
    provider: String,
    started: SsoStarted,
    /// By which the browser's answer names the try.
    state: String,
    loopback: Loopback,
    given_up: CancellationToken,
}

impl Core {
    /// By whom one can sign in at this address besides a password.
    pub(crate) async fn sso_providers(&self, url: &str) -> Result<Vec<SsoProvider>, AppError> {
        let cloud = self.stranger(&address::normalise(url)?)?;
        Ok(cloud.sso_providers().await?.into_iter().map(SsoProvider::from).collect())
    }

    /// Starts a try, in place of another one that may wait still. The browser has to be sent to its address, and
    /// [`Self::finish_sso`] be called. `again` has the provider ask its user who they are, though they may be signed in
    /// there.
    pub(crate) async fn start_sso(&self, url: &str, provider: &str, again: bool) -> Result<SsoTry, AppError> {
        self.cancel_sso();
        let url = address::normalise(url)?;
        let cloud = self.stranger(&url)?;
        if !cloud.sso_providers().await?.iter().any(|known| known.id == provider) {
            return Err(ErrorCode::NotFound.into());
        }
        let loopback = Loopback::listen()
            .await
            .map_err(|error| AppError::bug("no port of this computer can be listened on", &error))?;
        let started = cloud.start_sso(provider, loopback.redirect_uri(), again).await?;
        let (address, state) = checked(&started.authorization_url)?;
        let answer = SsoTry { address, opened: false, expires_at: started.expires_at };
        let provider = provider.to_owned();
        let given_up = CancellationToken::new();
        *lock(&self.sso) =
            Some((given_up.clone(), Some(Pending { url, provider, started, state, loopback, given_up })));
        Ok(answer)
    }

    /// Waits until the browser's user has signed in, given up, or taken too long; then goes on as any sign-in does.
    /// The browser shows `words` at the end.
    pub(crate) async fn finish_sso(self: &Arc<Self>, words: &SsoWords) -> Result<Session, AppError> {
        let pending = lock(&self.sso).as_mut().and_then(|(_, pending)| pending.take());
        let Some(Pending { url, provider, started, state, loopback, given_up }) = pending else {
            return Err(ErrorCode::SsoExpired.into());
        };
        let brought = tokio::select! {
            () = given_up.cancelled() => return Err(LocalCode::SsoCanceled.into()),
            brought = tokio::time::timeout(PATIENCE, loopback.answer(&state)) => match brought {
                Ok(Ok(brought)) => brought,
                Ok(Err(error)) => return Err(AppError::bug("the browser could not be listened to", &error)),
                Err(_) => return Err(ErrorCode::SsoExpired.into()),
            },
        };
        let body = SsoFinish {
            secret: started.secret,
            state,
            code: brought.code.clone(),
            error: brought.error.clone(),
            iss: brought.iss.clone(),
        };
        // From here on it is a sign-in like any other, and is not given up halfway.
        let finished = async {
            let turn = self.turn.lock().await;
            let tokens = self.stranger(&url)?.finish_sso(&provider, &body).await?;
            self.enter(&turn, url, tokens).await
        };
        let finished = finished.await;
        brought.tell(words, finished.is_ok()).await;
        finished
    }

    /// Gives up the try that waits, if there is one.
    pub(crate) fn cancel_sso(&self) {
        if let Some((given_up, _)) = lock(&self.sso).take() {
            given_up.cancel();
        }
    }
}

/// The address for the browser, and the state in it. A cloud can have nothing else opened than a web page, and plain
/// `http` on this computer only.
fn checked(authorization_url: &str) -> Result<(String, String), AppError> {
    let refused = |why: &str| AppError::from(ErrorCode::SsoUnavailable).detail(why);
    let url = Url::parse(authorization_url).map_err(|_| refused("the provider's address is none"))?;
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => url.host().is_some_and(|host| address::is_loopback(&host)),
        _ => false,
    };
    if !is_safe {
        return Err(refused("the provider's address is no https address"));
    }
    let state = url.query_pairs().find(|(name, _)| name == "state").map(|(_, value)| value.into_owned());
    let state = state.filter(|state| !state.is_empty()).ok_or_else(|| refused("the address has no state"))?;
    Ok((url.into(), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_pages_are_opened() {
        let good = "https://id.example.com/auth?client_id=tillwatch&state=a%2Fb";
        assert_eq!(checked(good).unwrap(), (good.to_owned(), "a/b".to_owned()));
        assert!(checked("http://127.0.0.1:3000/auth?state=x").is_ok());
        for bad in [
            "file:///etc/passwd?state=x",
            "http://id.example.com/auth?state=x",
            "javascript:alert(1)?state=x",
            "https://id.example.com/auth",
            "https://id.example.com/auth?state=",
            "tel:112?state=1",
            "",
        ] {
            assert_eq!(checked(bad).unwrap_err().code, "sso_unavailable", "{bad}");
        }
    }
}
