//! Users.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// `POST /admin/users`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// By which the user signs in; unlike that of any other user.
    #[cfg_attr(feature = "openapi", schema(format = Email, max_length = 254))]
    pub email: String,
    /// What the user is called.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
    /// May do everything everywhere.
    #[serde(default)]
    pub admin: bool,
    /// Without it one is made up, and told once.
    #[cfg_attr(feature = "openapi", schema(min_length = 8, max_length = 1024))]
    pub password: Option<String>,
}

/// What making a user gives.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedUser {
    /// The user.
    #[serde(flatten)]
    pub user: AdminUser,
    /// The password that was made up, told this once; null when the request brought one.
    pub password: Option<String>,
}

/// `PATCH /admin/users/{id}`: what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UserEdit {
    /// By which the user signs in; unlike that of any other user.
    #[cfg_attr(feature = "openapi", schema(format = Email, max_length = 254))]
    pub email: Option<String>,
    /// What the user is called.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// May do everything everywhere.
    pub admin: Option<bool>,
    /// May not sign in; every session ends at once.
    pub disabled: Option<bool>,
}

/// `PUT /admin/users/{id}/password`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SetPassword {
    /// Without it one is made up, and told once.
    #[cfg_attr(feature = "openapi", schema(min_length = 8, max_length = 1024))]
    pub password: Option<String>,
}

/// What setting a password gives.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordSet {
    /// The password that was made up, told this once; null when the request brought one.
    pub password: Option<String>,
}

/// A user as administrators see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdminUser {
    /// The user's id.
    pub id: UserId,
    /// By which the user signs in.
    pub email: String,
    /// What the user is called.
    pub name: String,
    /// May do everything everywhere.
    pub admin: bool,
    /// When the user was made.
    pub created_at: DateTime<Utc>,
    /// Since when the user may not sign in; null when they may.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Until when nobody may try the user's password, after ten wrong ones.
    pub locked_until: Option<DateTime<Utc>>,
}
