//! Expected failures as the window gets them: a code to put into words, and what the words need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use specta::Type;
use tillwatch_protocol::error::ErrorCode;

/// A failure that the window explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, thiserror::Error)]
#[error("{code}")]
pub struct AppError {
    /// A code of the cloud's problem documents, or one of [`LocalCode`].
    pub code: String,
    /// What happened this time, in English, for those who want to know more.
    pub detail: Option<String>,
    /// By which the cloud's log knows the request.
    pub request_id: Option<String>,
    /// What the words for the code need, such as `host` and `sha256`.
    pub params: BTreeMap<String, String>,
}

/// The codes that the app itself adds to those of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalCode {
    /// The cloud does not answer, though this computer has a network.
    CloudUnreachable,
    /// This computer has no network.
    NoNetwork,
    /// Something answers at the address, but no Tillwatch cloud.
    NotACloud,
    /// The system does not trust the cloud's certificate; carries `host` and `sha256`, and `by_date` when this computer's
    /// clock says that it is not valid yet or no longer.
    CertificateUntrusted,
    /// The certificate is not the pinned one; carries `host`, `sha256` and `pinned`.
    CertificateChanged,
    /// This computer's clock is off.
    ClockOff,
    /// The text is no address of a cloud.
    InvalidAddress,
    /// TLS failed for another reason than trust.
    TlsFailed,
    /// The session ended, or nobody is signed in.
    SessionEnded,
    /// The user gave up a sign-in in the browser, or began another.
    SsoCanceled,
    /// No room on the disk.
    DiskFull,
    /// The file can't be written; carries `path`.
    FileUnwritable,
    /// The file can't be read; carries `path`.
    FileUnreadable,
    /// The file that the app saved was moved or deleted since; carries `path`.
    FileGone,
    /// Another program has the file open; carries `path`.
    FileInUse,
    /// What arrived is not what the cloud announced.
    ChecksumMismatch,
    /// The connection broke again and again.
    DownloadInterrupted,
    /// The cache file was no cache; carries `path`, where it was put.
    CacheDamaged,
    /// The settings file was no settings; carries `path`, where it was put.
    SettingsDamaged,
    /// The sign-in can't be kept in the system's keychain.
    KeychainUnavailable,
    /// The spreadsheet could not be made.
    ExportFailed,
    /// The system's clipboard takes nothing.
    ClipboardUnavailable,
    /// A zip is damaged or none; carries its `name`.
    ArchiveUnreadable,
    /// A zip needs a password; carries its `name`.
    ArchiveEncrypted,
    /// A zip holds more text or lines than can be looked at; carries its `name`.
    ArchiveTooLarge,
}

impl LocalCode {
    /// The code as the window gets it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudUnreachable => "cloud_unreachable",
            Self::NoNetwork => "no_network",
            Self::NotACloud => "not_a_cloud",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateChanged => "certificate_changed",
            Self::ClockOff => "clock_off",
            Self::InvalidAddress => "invalid_address",
            Self::TlsFailed => "tls_failed",
            Self::SessionEnded => "session_ended",
            Self::SsoCanceled => "sso_canceled",
            Self::DiskFull => "disk_full",
            Self::FileUnwritable => "file_unwritable",
            Self::FileUnreadable => "file_unreadable",
            Self::FileGone => "file_gone",
            Self::FileInUse => "file_in_use",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::DownloadInterrupted => "download_interrupted",
            Self::CacheDamaged => "cache_damaged",
            Self::SettingsDamaged => "settings_damaged",
            Self::KeychainUnavailable => "keychain_unavailable",
            Self::ExportFailed => "export_failed",
            Self::ClipboardUnavailable => "clipboard_unavailable",
            Self::ArchiveUnreadable => "archive_unreadable",
            Self::ArchiveEncrypted => "archive_encrypted",
            Self::ArchiveTooLarge => "archive_too_large",
        }
    }
}

impl From<LocalCode> for AppError {
    fn from(code: LocalCode) -> Self {
        Self { code: code.as_str().into(), detail: None, request_id: None, params: BTreeMap::new() }
    }
}

impl From<ErrorCode> for AppError {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.as_str().into(), detail: None, request_id: None, params: BTreeMap::new() }
    }
}

impl AppError {
    /// With what happened this time.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over errors, numbers and literals alike")]
    pub fn detail(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// With something that the words need.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over errors, numbers and literals alike")]
    pub fn param(mut self, name: &str, value: impl ToString) -> Self {
        self.params.insert(name.into(), value.to_string());
        self
    }

    /// Whether this is that failure.
    pub fn is(&self, code: LocalCode) -> bool {
        self.code == code.as_str()
    }

    /// Whether this is that failure, as the cloud told it.
    pub fn is_wire(&self, code: ErrorCode) -> bool {
        self.code == code.as_str()
    }

    /// Why a file could not be written.
    pub fn from_io(error: &std::io::Error, path: &std::path::Path) -> Self {
        let full = matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge
        );
        let code = if full { LocalCode::DiskFull } else { LocalCode::FileUnwritable };
        Self::from(code).detail(error).param("path", path.display())
    }

    /// Why a file could not take the place of the one at `path`.
    pub fn from_replacing(error: &std::io::Error, path: &std::path::Path) -> Self {
        // Windows refuses so while another program has the file open; a new file in the same folder it allowed.
        let refused = cfg!(windows) && error.kind() == std::io::ErrorKind::PermissionDenied && path.is_file();
        if refused || is_in_use(error) {
            return Self::from(LocalCode::FileInUse).detail(error).param("path", path.display());
        }
        Self::from_io(error, path)
    }

    /// A failure of our own making, logged here with its cause.
    pub fn bug(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        Self::from(ErrorCode::Internal).detail(what)
    }
}

/// Whether the system says that another program has the file open.
fn is_in_use(error: &std::io::Error) -> bool {
    /// What Windows calls a sharing violation and a lock violation.
    const WINDOWS: [i32; 2] = [32, 33];

    matches!(error.kind(), std::io::ErrorKind::ResourceBusy | std::io::ErrorKind::ExecutableFileBusy)
        || cfg!(windows) && error.raw_os_error().is_some_and(|code| WINDOWS.contains(&code))
}
