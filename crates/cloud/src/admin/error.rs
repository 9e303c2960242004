//! Why an administrator's wish was not granted.

use tillwatch_protocol::error::FieldError;
use tillwatch_protocol::fleet::BadLine;

use crate::domain::user::BadUser;
use crate::store::StoreError;

/// Why an administrator's wish was not granted.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The user can't be like this.
    #[error(transparent)]
    BadUser(#[from] BadUser),
    /// The e-mail is taken.
    #[error("there is a user with the e-mail {0} already")]
    EmailTaken(String),
    /// The name is taken.
    #[error("there is {what} `{name}` already")]
    NameTaken {
        /// A chain, an outlet of this chain, a POS server of this outlet.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// No such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// User, chain or outlet.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A name that several have.
    #[error("several {what}s are called `{name}`; give the id")]
    Ambiguous {
        /// Chain or outlet.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// Texts that can't be kept.
    #[error("{}", .0.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; "))]
    BadFields(Vec<FieldError>),
    /// Not a version.
    #[error("`{0}` is not a version such as 34.6.0")]
    BadVersion(String),
    /// Lines that can't be imported; nothing was.
    #[error("nothing was imported:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    BadLines(Vec<BadLine>),
    /// What is to be deleted is not empty.
    #[error("it still has {count} {what}")]
    NotEmpty {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
    },
    /// Nobody who may do everything would be left.
    #[error("nobody else may do everything")]
    LastAdmin,
    /// A permission that whoever asks does not have there.
    #[error("one gives only permissions that one has there oneself")]
    NotOnesOwn,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
