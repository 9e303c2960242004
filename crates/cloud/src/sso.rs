//! The providers of identities that an operator configured, and speaking `OpenID` Connect with them.
//!
//! What a provider says of itself (its addresses and keys) is fetched when it is first needed, kept for an
//! hour, and fetched again when a token is signed by a key that is not among them. No redirect is followed,
//! answers are limited in size and time, and every address must be HTTPS or on this machine.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use axum::body::Bytes;
use axum::http;
use chrono::Utc;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::url::Url;
use openidconnect::{
    AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdToken, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::config::SsoProvider;
use crate::domain::sso::{ATTEMPT_LIFE, Claimed, SKEW, is_safe_endpoint};
use crate::store::sso::Attempt;

/// How long what a provider says of itself is good for.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// How long a provider that did not answer is left alone.
const AWAY_FOR: Duration = Duration::from_secs(5);
/// How long a provider has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it has to take the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Signatures that only the provider can make. Those by the client's secret are left out.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Why a provider could not tell who somebody is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SsoError {
    /// It does not answer, or its answers can't be trusted.
    #[error("the provider of identities can't be used")]
    Unavailable(#[source] anyhow::Error),
    /// It does not take the code.
    #[error("the provider of identities refused: {0}")]
    Refused(String),
}

/// A claim of Microsoft Entra's: the owner of the e-mail's domain was verified. It has no `email_verified`. Entra
/// writes it as a boolean, a number or a text.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Edov {
    #[serde(default)]
    xms_edov: serde_json::Value,
}

impl AdditionalClaims for Edov {}

impl Edov {
    /// Whether the e-mail is its owner's. What `email_verified` says counts, when it says anything.
    fn is_verified(&self, email_verified: Option<bool>) -> bool {
        if let Some(verified) = email_verified {
            return verified;
        }
        let text = self.xms_edov.as_str();
        self.xms_edov == true || self.xms_edov == 1 || text == Some("1") || text == Some("true")
    }
}

type Token = IdToken<Edov, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Fields = IdTokenFields<
    Edov,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Client = openidconnect::Client<
    Edov,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Everybody who may tell who somebody is.
pub(crate) struct Providers {
    all: Vec<Provider>,
}

/// One of them.
pub(crate) struct Provider {
    pub(crate) config: SsoProvider,
    issuer: IssuerUrl,
    http: reqwest::Client,
    standing: Mutex<Standing>,
}

/// What is known of a provider.
#[derive(Default)]
struct Standing {
    known: Option<(Known, Instant)>,
    away_since: Option<Instant>,
}

/// What a provider says of itself.
#[derive(Clone)]
struct Known {
    client: Client,
    /// Whether it says that it tells when it last had somebody prove who they are.
    tells_when: bool,
}

/// Where a try to sign in leads, and what has to be kept until it comes back.
pub(crate) struct Begun {
    pub(crate) authorization_url: Url,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) pkce_verifier: String,
}

impl Providers {
    /// Those of the configuration. None is asked anything yet: one that is away must not stop the start.
    pub(crate) fn new(configured: &[SsoProvider]) -> anyhow::Result<Self> {
        if configured.is_empty() {
            return Ok(Self { all: Vec::new() });
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()
            .context("preparing to speak to providers of identities")?;
        let mut all: Vec<Provider> = Vec::with_capacity(configured.len());
        for config in configured {
            let named = || format!("the sso provider `{}`", config.id);
            let issuer = IssuerUrl::new(config.issuer.clone()).with_context(named)?;
            if !is_safe_endpoint(issuer.url()) {
                return Err(anyhow!("its issuer must begin with https://").context(named()));
            }
            if all.iter().any(|other| other.config.id == config.id) {
                return Err(anyhow!("its id is there twice").context(named()));
            }
            let standing = Mutex::default();
            all.push(Provider { config: config.clone(), issuer, http: http.clone(), standing });
        }
        Ok(Self { all })
    }

    /// In the order of the configuration.
    pub(crate) fn all(&self) -> &[Provider] {
        &self.all
    }

    /// The one with this id.
    pub(crate) fn named(&self, id: &str) -> Option<&Provider> {
        self.all.iter().find(|provider| provider.config.id == id)
    }
}

impl Provider {
    /// Begins a try: where to send the browser, which comes back to `redirect_uri`.
    /// `again` has it ask its user who they are, though they may be signed in there.
    pub(crate) async fn begin(&self, redirect_uri: &str, again: bool) -> Result<Begun, SsoError> {
        let Known { client, .. } = self.known(None).await?;
        let redirect = redirect(redirect_uri)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .set_pkce_challenge(challenge);
        if again {
            // With an age the provider has to tell when it asked (OpenID Connect Core 1.0, 3.1.2.1).
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        for scope in self.config.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (authorization_url, state, nonce) = request.url();
        if !is_safe_endpoint(&authorization_url) {
            return Err(SsoError::Unavailable(anyhow!("it sends browsers to {authorization_url}")));
        }
        Ok(Begun {
            authorization_url,
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            pkce_verifier: verifier.into_secret(),
        })
    }

    /// Gives the code of a try to the provider and learns who signed in there.
    pub(crate) async fn finish(&self, code: String, attempt: Attempt) -> Result<Claimed, SsoError> {
        let Attempt { redirect_uri, nonce, pkce_verifier, again, .. } = attempt;
        let Known { client, tells_when } = self.known(None).await?;
        let redirect = redirect(&redirect_uri)?;
        let http = self.caller();
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(unavailable)?
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .set_pkce_verifier(PkceCodeVerifier::new(pkce_verifier))
            .request_async(&http)
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(refusal) if is_users(refusal.error()) => {
                    SsoError::Refused(refusal.error().to_string())
                }
                other => unavailable(other),
            })?;
        let token = answer.id_token().ok_or_else(|| SsoError::Unavailable(anyhow!("it sent no ID token")))?;
        let nonce = Nonce::new(nonce);
        let renewed;
        let claims = match verify(&client, token, &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                // It may have changed its keys since.
                renewed = self.known(Some(Instant::now())).await?;
                verify(&renewed.client, token, &nonce)
            }
            verified => verified,
        }
        .map_err(unavailable)?;
        let now = Utc::now();
        // Whoever sits at the browser can take the wish to be asked out of the address. It shows where the provider tells
        // the time; any other is believed.
        let asked_anew = (again == Some(true) && !tells_when).then_some(now);
        let mut claimed = Claimed {
            issuer: self.issuer.as_str().to_owned(),
            subject: claims.subject().as_str().to_owned(),
            email: claims.email().map(|email| email.as_str().to_owned()),
            email_verified: claims.additional_claims().is_verified(claims.email_verified()),
            // Its clock may be ahead.
            proved_at: claims.auth_time().map(|at| at.min(now)).or(asked_anew),
        };
        if claimed.email.is_none() && client.user_info_url().is_some() {
            // Some tell no more than the subject in the token itself.
            let info: UserInfoClaims<Edov, CoreGenderClaim> = client
                .user_info(answer.access_token().clone(), Some(claims.subject().clone()))
                .map_err(unavailable)?
                .request_async(&http)
                .await
                .map_err(unavailable)?;
            claimed.email = info.email().map(|email| email.as_str().to_owned());
            claimed.email_verified = info.additional_claims().is_verified(info.email_verified());
        }
        Ok(claimed)
    }

    /// Whether an issuer that the redirect names (RFC 9207) is this one.
    pub(crate) fn is_issuer(&self, issuer: &str) -> bool {
        self.issuer.as_str() == issuer
    }

    /// What is known of the provider, fetched when it is not known, too old, or not newer than that.
    async fn known(&self, newer_than: Option<Instant>) -> Result<Known, SsoError> {
        let mut standing = self.standing.lock().await;
        if let Some((known, known_at)) = &standing.known
            && known_at.elapsed() < KNOWN_FOR
            && newer_than.is_none_or(|than| *known_at > than)
        {
            return Ok(known.clone());
        }
        if standing.away_since.is_some_and(|since| since.elapsed() < AWAY_FOR) {
            return Err(SsoError::Unavailable(anyhow!("it did not answer a moment ago")));
        }
        match self.discover().await {
            Ok(known) => {
                *standing = Standing { known: Some((known.clone(), Instant::now())), away_since: None };
                Ok(known)
            }
            Err(error) => {
                standing.away_since = Some(Instant::now());
                Err(SsoError::Unavailable(error))
            }
        }
    }

    async fn discover(&self) -> anyhow::Result<Known> {
        let http = self.caller();
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &http).await?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let by_body = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let secret = self.config.client_secret.as_ref().map(|secret| ClientSecret::new(secret.0.clone()));
        let id = ClientId::new(self.config.client_id.clone());
        let auth = if by_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        let claims = metadata.claims_supported();
        let tells_when = claims.is_some_and(|claims| claims.iter().any(|claim| **claim == "auth_time"));
        let client = Client::from_provider_metadata(metadata, id, secret).set_auth_type(auth);
        Ok(Known { client, tells_when })
    }

    /// The client as the library wants it.
    fn caller(&self) -> impl Fn(HttpRequest) -> BoxFuture<'static, Result<HttpResponse, CallError>> + use<> {
        let http = self.http.clone();
        move |request| Box::pin(call(http.clone(), request))
    }
}

/// Checks signature, issuer, audience, times and nonce of an ID token.
fn verify<'a>(
    client: &'a Client,
    token: &'a Token,
    nonce: &Nonce,
) -> Result<&'a IdTokenClaims<Edov, CoreGenderClaim>, ClaimsVerificationError> {
    let verifier = client
        .id_token_verifier()
        .set_allowed_algs(SIGNATURES)
        // A clock that is a little ahead ends no token, and one a little behind has made none in the future.
        .set_time_fn(|| Utc::now() - SKEW)
        .set_issue_time_verifier_fn(|issued_at| {
            let age = Utc::now() - issued_at;
            if age < -SKEW || age > ATTEMPT_LIFE + SKEW {
                Err(format!("it was issued {age} ago: the clocks of provider and cloud differ"))
            } else {
                Ok(())
            }
        });
    token.claims(&verifier, nonce)
}

async fn call(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, CallError> {
    let url = Url::parse(&request.uri().to_string()).map_err(|_| CallError::Address)?;
    if !is_safe_endpoint(&url) {
        return Err(CallError::Address);
    }
    let response = client.execute(reqwest::Request::try_from(request)?).await?;
    let mut builder = http::Response::builder().status(response.status());
    if let Some(headers) = builder.headers_mut() {
        headers.extend(response.headers().clone());
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk?;
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    builder.body(body).map_err(|_| CallError::Address)
}

/// A call to a provider failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("an address of its own is neither HTTPS nor on this machine")]
    Address,
    #[error("its answer is too large")]
    TooLarge,
    #[error("it could not be reached")]
    Http(#[from] reqwest::Error),
}

/// Whether a refusal is about this try, rather than about how the operator set things up.
fn is_users(error: &CoreErrorResponseType) -> bool {
    matches!(error, CoreErrorResponseType::InvalidGrant)
}

fn redirect(uri: &str) -> Result<RedirectUrl, SsoError> {
    RedirectUrl::new(uri.to_owned()).map_err(unavailable)
}

fn unavailable(error: impl Into<anyhow::Error>) -> SsoError {
    SsoError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_email_is_verified_when_the_provider_says_so_in_its_words() {
        let edov = |claims| serde_json::from_value::<Edov>(claims).unwrap();
        for said in [json!(true), json!(1), json!("1"), json!("true")] {
            assert!(edov(json!({"xms_edov": said})).is_verified(None), "{said}");
        }
        for unsaid in
            [json!(false), json!(0), json!("0"), json!("false"), json!(null), json!([true]), json!("")]
        {
            assert!(!edov(json!({"xms_edov": unsaid})).is_verified(None), "{unsaid}");
        }
        assert!(!edov(json!({})).is_verified(None), "nobody said anything");
        assert!(edov(json!({})).is_verified(Some(true)));
        assert!(!edov(json!({"xms_edov": true})).is_verified(Some(false)), "it says that it is not");
    }
}
