//! Expected failures: stable codes, and the RFC 9457 document that carries them.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal / $status:literal / $title:literal,)+) => {
        /// A stable code that programs match on. People read `title` and `detail`, or words in their own
        /// language that the desktop has for the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it stands on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// A short sentence in English, the same each time.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request is not of the form that the call takes; `errors` names the fields.
    InvalidRequest = "invalid_request" / 422 / "The request is not valid.",
    /// The body is not JSON at all.
    MalformedBody = "malformed_body" / 400 / "The body could not be read.",
    /// `from` is not before `to`.
    PeriodInvalid = "period_invalid" / 422 / "The period must start before it ends.",
    /// A size outside of what is allowed; carries `min` and `max`.
    SizeOutOfRange = "size_out_of_range" / 422 / "The size is out of range.",
    /// The typed name is not the outlet's.
    ConfirmationMismatch = "confirmation_mismatch" / 422 / "The typed name does not match the outlet's name.",
    /// The idempotency key was used with another body.
    IdempotencyConflict = "idempotency_conflict" / 422 / "The idempotency key was used for another request.",
    /// Wrong e-mail or password.
    InvalidCredentials = "invalid_credentials" / 401 / "The e-mail or the password is wrong.",
    /// The password was made up for the user, and its time is over.
    PasswordExpired = "password_expired" / 403 / "The password was to be replaced, and is over.",
    /// Who asks has proved who they are too long ago for this.
    ReauthenticationRequired = "reauthentication_required" / 403 / "Sign in again first.",
    /// Only providers of identities let anybody in.
    PasswordsOff = "passwords_off" / 403 / "Nobody signs in by password here.",
    /// The provider of identities does not answer, or can't be trusted.
    SsoUnavailable = "sso_unavailable" / 503 / "The sign-in provider is not available.",
    /// The provider of identities let nobody in.
    SsoRefused = "sso_refused" / 403 / "The sign-in provider refused.",
    /// The try is unknown, was used, or is too old.
    SsoExpired = "sso_expired" / 410 / "This try to sign in is over.",
    /// No user has the e-mail that the provider told.
    SsoUserUnknown = "sso_user_unknown" / 403 / "No user has this e-mail.",
    /// The provider tells no e-mail that it has verified.
    SsoEmailUnverified = "sso_email_unverified" / 403 / "The sign-in provider has not verified the e-mail.",
    /// The e-mail is another account's at the provider than before.
    SsoAccountChanged = "sso_account_changed" / 403 / "This e-mail belongs to another account at the sign-in provider than before.",
    /// No token, or one that is unknown, expired or revoked.
    Unauthorized = "unauthorized" / 401 / "Sign in first.",
    /// A device token was signed by a clock that is off; carries `server_time`.
    ClockSkewed = "clock_skewed" / 401 / "The clock of the store is off.",
    /// The identity of a connector was revoked.
    CredentialsRevoked = "credentials_revoked" / 401 / "This identity was revoked.",
    /// The user may see the thing but not do this to it.
    PermissionDenied = "permission_denied" / 403 / "You lack the permission for this.",
    /// The POS server is too old for this cloud.
    VersionUnsupported = "version_unsupported" / 403 / "This POS version is no longer supported.",
    /// It does not exist, or not for this user.
    NotFound = "not_found" / 404 / "There is no such thing.",
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed" / 405 / "This method is not allowed here.",
    /// No link to the store; carries `link`.
    VenueOffline = "venue_offline" / 409 / "The venue is offline.",
    /// The link is up and the POS server does not answer.
    VenueTimeout = "venue_timeout" / 409 / "The POS server of the venue does not answer.",
    /// The store's allow list does not name the request.
    RelayRefused = "relay_refused" / 403 / "The store does not allow this request.",
    /// The POS server's answer does not fit into a frame of the link.
    RelayAnswerTooLarge = "relay_answer_too_large" / 502 / "The answer of the POS server is too large.",
    /// The POS server's answer is neither JSON nor text.
    RelayAnswerUnreadable = "relay_answer_unreadable" / 502 / "The answer of the POS server is not text.",
    /// A job that excludes this one has not ended.
    JobInProgress = "job_in_progress" / 409 / "Another job is in progress for this POS server.",
    /// The job has already ended.
    JobEnded = "job_ended" / 409 / "The job has already ended.",
    /// The database is not the one that the request was made for.
    GenerationChanged = "generation_changed" / 409 / "The POS database has changed since.",
    /// The store does not keep the backup that was named; carries `backups`, those that it keeps.
    BackupNotFound = "backup_not_found" / 409 / "The store does not keep this backup.",
    /// A reset would lose transactions; carries `unsent_transactions`, null when unknown.
    UnsentTransactions = "unsent_transactions" / 409 / "There are transactions that were not sent yet.",
    /// An upload piece does not start where the last one ended.
    UploadOffsetMismatch = "upload_offset_mismatch" / 409 / "The upload goes on elsewhere.",
    /// Something with that name or address is there already.
    AlreadyExists = "already_exists" / 409 / "That exists already.",
    /// What still has something in it is not deleted.
    NotEmpty = "not_empty" / 409 / "There is something in it still.",
    /// Somebody must be left who may do everything.
    LastAdmin = "last_admin" / 409 / "This is the last admin.",
    /// The archive was deleted after its time.
    ArchiveExpired = "archive_expired" / 410 / "The archive was deleted after its time.",
    /// The enrollment code is unknown, used or too old.
    EnrollmentCodeInvalid = "enrollment_code_invalid" / 403 / "The enrollment code is not valid.",
    /// The range lies outside of the content.
    RangeNotSatisfiable = "range_not_satisfiable" / 416 / "The range lies outside of the content.",
    /// The body is too large.
    PayloadTooLarge = "payload_too_large" / 413 / "The request is too large.",
    /// The body is of another type than the call takes.
    UnsupportedMediaType = "unsupported_media_type" / 415 / "This content type is not supported.",
    /// The tus version of an upload is not 1.0.0.
    UploadVersionUnsupported = "upload_version_unsupported" / 412 / "This version of tus is not supported.",
    /// The piece's checksum does not match (status of the tus checksum extension).
    UploadChecksumMismatch = "upload_checksum_mismatch" / 460 / "The piece was damaged on its way.",
    /// Too many requests; comes with `Retry-After`.
    RateLimited = "rate_limited" / 429 / "Too many requests. Try again later.",
    /// A bug; it is logged under `request_id`.
    Internal = "internal" / 500 / "Something went wrong on the server.",
    /// The server can't serve now.
    Unavailable = "unavailable" / 503 / "The server is not available now.",
}

/// One field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The field's name, or the query parameter's.
    pub field: String,
    /// What is wrong with it, in English.
    pub message: String,
}

/// An RFC 9457 problem document, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The stable code.
    pub code: ErrorCode,
    /// What the code means; the same each time.
    pub title: String,
    /// What happened this time.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
    /// By which the server's log knows this request.
    pub request_id: String,
    /// What the code needs besides, such as `errors`, `link`, `server_time`, `min` and `max`.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_on_the_wire_is_the_code_in_the_table() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!((400..600).contains(&code.status()));
        }
    }
}
