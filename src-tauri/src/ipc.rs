//! What passes between the webview and the core. Each type here is written in TypeScript too, in
//! `ui/src/lib/bindings.ts`, which a test keeps equal.
//!
//! Sizes and counts are `u64` here and `number` there: none comes near 2^53.

/// Declares an enum of the webview that says the same as one of the protocol, and how one becomes the other.
macro_rules! mirror {
    ($(#[doc = $doc:literal])+ $name:ident = $wire:path { $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, specta::Type,
        )]
        pub enum $name {
            $($(#[doc = $variant_doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl From<$wire> for $name {
            fn from(wire: $wire) -> Self {
                match wire {
                    $(<$wire>::$variant => Self::$variant,)+
                }
            }
        }

        impl $name {
            /// The word as it stands on wires and in the cache.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Reads what [`Self::as_str`] wrote.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

mod admin;
mod grid;
mod job;
mod session;
mod sso;
mod store;
mod viewer;

pub use admin::{
    AdminChain, AdminOutlet, AdminPosServer, AdminQuery, AdminUser, AuditEntry, AuditPage, AuditQuery,
    CreatedUser, EnrollmentCode, Grant, GrantPlace, ImportFault, ImportLine, ImportPreview, ImportResult,
    OutletPage, OutletTexts, Permission, PosServerPage, StoreDevice, UserEdit, UserPage, VersionSet,
};
pub use grid::{
    Confidence, CopyRequest, Cursor, Evidence, ExchangeError, GridChanges, GridQuery, GridSummary,
    GridWindow, Highlight, LinkState, OfflineCause, Only, OutletOption, OutletOptions, PlacedRow, PosState,
    Row, SelectOp, Sort,
};
pub use job::{
    ActiveJob, Archive, Download, DownloadState, ExportColumn, ExportRequest, Exported, Job, JobFailure,
    JobKind, JobProgress, JobState, RequestedLogs, RunnableJob, WhenOffline,
};
pub use session::{
    AppEvent, AppInfo, ColumnSetting, Connection, ConnectionState, Density, Language, MenuAction, Profile,
    Profiles, SavedView, Session, SessionState, Settings, Theme, Times,
};
pub use sso::{SsoProvider, SsoTry, SsoWords, UserSession};
pub use store::{Backups, DatabaseBackup, Timeline, TimelineItem, TimelineKind};
pub use viewer::{
    Jump, Level, LevelCounts, LogEntry, LogFile, LogFilter, LogFound, LogLine, LogPlace, LogShown,
    LogSummary, LogWindow, Viewer, ViewerPhase,
};
