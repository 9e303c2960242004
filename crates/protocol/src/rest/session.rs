//! Signing in, and what one may do.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{ChainId, OutletId, SessionId, UserId};

/// `POST /sessions`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// Compared without regard to case.
    pub email: String,
    /// In the clear; the connection protects it.
    pub password: String,
}

/// `POST /sessions/refresh`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// Good for one use.
    pub refresh_token: String,
}

/// `PUT /me/password`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// As it was until now.
    pub current_password: String,
    /// As it will be.
    #[cfg_attr(feature = "openapi", schema(min_length = 8, max_length = 1024))]
    pub password: String,
}

/// What signing in and refreshing give.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// For the `Authorization` header.
    pub access_token: String,
    /// For `POST /sessions/refresh`.
    pub refresh_token: String,
    /// When the access token ends.
    pub expires_at: DateTime<Utc>,
    /// Who signed in.
    pub user: User,
}

/// A provider of identities, in `GET /sso`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SsoProvider {
    /// By which calls name it.
    pub id: String,
    /// What people read.
    pub name: String,
}

/// `POST /sso/{provider}/start`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SsoStart {
    /// Where the app listens: `http://127.0.0.1:PORT/…` or `http://[::1]:PORT/…`.
    pub redirect_uri: String,
    /// Whether the provider shall have its user prove anew who they are, though they may be signed in there: after
    /// `reauthentication_required`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// A try to sign in that has begun.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SsoStarted {
    /// Where the browser goes.
    pub authorization_url: String,
    /// What only the app knows that started the try.
    pub secret: String,
    /// Until when the try can be finished.
    pub expires_at: DateTime<Utc>,
}

/// `POST /sso/{provider}/finish`: the members of the redirect's query by their own names, without others
/// that providers add.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SsoFinish {
    /// Of the start.
    pub secret: String,
    /// Which try it is.
    pub state: String,
    /// What the provider gave, when it let somebody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which provider this is, when it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

/// Somebody who signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// By which the user signs in.
    pub email: String,
    /// What the user is called.
    pub name: String,
    /// May do everything everywhere.
    pub admin: bool,
}

/// What a user may do to an outlet, a chain, or everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See the outlet's POS servers; exchange now, diagnose.
    OutletSetup,
    /// Retrieve logs.
    RetrieveLogs,
    /// Reset and restore the POS database, restart the POS server.
    ResetDatabase,
    /// Send a request to the store's POS server; made for service tokens.
    Relay,
    /// What the admin calls do.
    Admin,
}

impl Permission {
    /// Every permission there is.
    pub const ALL: &[Self] =
        &[Self::OutletSetup, Self::RetrieveLogs, Self::ResetDatabase, Self::Relay, Self::Admin];

    /// The permission as it stands on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutletSetup => "outlet_setup",
            Self::RetrieveLogs => "retrieve_logs",
            Self::ResetDatabase => "reset_database",
            Self::Relay => "relay",
            Self::Admin => "admin",
        }
    }
}

/// `GET /me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Who asks.
    pub user: User,
    /// Until when their password lets them in: it was made up for them, and waits for one of their own choice.
    #[serde(default)]
    pub password_ends_at: Option<DateTime<Utc>>,
    /// What they may do everywhere.
    pub everywhere: Vec<Permission>,
    /// What they may do in whole chains.
    pub chains: Vec<ChainPermissions>,
    /// What they may do in single outlets, besides.
    pub outlets: Vec<OutletPermissions>,
}

/// Permissions for all outlets of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainPermissions {
    /// The chain.
    pub chain_id: ChainId,
    /// What is granted.
    pub permissions: Vec<Permission>,
}

/// Permissions for one outlet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutletPermissions {
    /// The outlet.
    pub outlet_id: OutletId,
    /// What is granted.
    pub permissions: Vec<Permission>,
}

/// One of one's sign-ins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// When the user signed in.
    pub created_at: DateTime<Utc>,
    /// When a token of the session was last refreshed or issued.
    pub last_used_at: DateTime<Utc>,
    /// Whether it is the session that asks.
    pub current: bool,
}
