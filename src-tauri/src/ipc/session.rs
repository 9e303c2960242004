//! The app, its settings, who is signed in, and what the core tells the webview by itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;

use super::{Cursor, Download, GridChanges, GridQuery, GridSummary, Job, Viewer};
use crate::error::AppError;

/// What the About box says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AppInfo {
    /// The app's version.
    pub version: String,
    /// `linux`, `macos` or `windows`.
    pub os: String,
    /// Whether this is a debug build.
    pub debug: bool,
    /// Whether the system has a tray, to which the window can be closed.
    pub tray: bool,
}

/// What the user chose, kept in `settings.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Settings {
    /// The language of the window.
    pub language: Language,
    /// Its colours.
    pub theme: Theme,
    /// How high rows are.
    pub density: Density,
    /// In whose zone times are shown.
    pub times: Times,
    /// Whether the system tells when stores get into trouble and out of it.
    pub notifications: bool,
    /// Whether closing the window leaves the app in the tray.
    pub close_to_tray: bool,
    /// The columns in their order; empty before the user changed any.
    pub columns: Vec<ColumnSetting>,
    /// The filters and the order that were on last.
    pub query: Option<GridQuery>,
    /// Filters, order and columns that the user gave a name, in the order of the menu.
    pub views: Vec<SavedView>,
    /// The name of the one that was applied last; null when there is none.
    pub view: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::System,
            theme: Theme::System,
            density: Density::Compact,
            times: Times::Viewer,
            notifications: true,
            close_to_tray: false,
            columns: Vec::new(),
            query: None,
            views: Vec::new(),
            view: None,
        }
    }
}

/// The language of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// What the system speaks, English where that is neither of the others.
    System,
    /// English.
    En,
    /// Russian.
    Ru,
}

/// The colours of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system has them.
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// How high rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Density {
    /// As many rows as can be read.
    Compact,
    /// With room around them.
    Comfortable,
}

/// In whose zone times are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// The zone of this computer.
    Viewer,
    /// The zone of the outlet.
    Outlet,
}

/// One column of the grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ColumnSetting {
    /// The column's key.
    pub key: String,
    /// Its width in CSS pixels.
    pub width: u32,
    /// Whether it is shown.
    pub visible: bool,
    /// Whether it stays on screen while the others scroll sideways.
    pub pinned: bool,
}

/// What the grid shows, under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SavedView {
    /// The name, unlike any other of this user.
    pub name: String,
    /// The filters and the order.
    pub query: GridQuery,
    /// The columns in their order.
    pub columns: Vec<ColumnSetting>,
}

/// Who is signed in, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Session {
    /// Whether somebody is.
    pub state: SessionState,
    /// Which profile it is.
    pub profile: Option<String>,
    /// The cloud's address.
    pub url: Option<String>,
    /// The user's e-mail.
    pub email: Option<String>,
    /// What the user is called.
    pub name: Option<String>,
    /// Whether the user may do everything everywhere.
    pub admin: bool,
    /// Whether the user administers anything: all of it as an admin, or single chains.
    pub administers: bool,
    /// Until when the user's password lets them in, if it was made up for them and they have not chosen one.
    pub password_ends_at: Option<DateTime<Utc>>,
    /// Whether the sign-in is kept in the system's keychain and so outlives the app.
    pub remembered: bool,
}

impl Session {
    /// Nobody is signed in.
    pub fn signed_out() -> Self {
        Self {
            state: SessionState::SignedOut,
            profile: None,
            url: None,
            email: None,
            name: None,
            admin: false,
            administers: false,
            password_ends_at: None,
            remembered: false,
        }
    }
}

/// A user of a cloud who has signed in on this computer. Each has rows and a sign-in of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Profile {
    /// By which commands name it.
    pub id: String,
    /// The cloud's address.
    pub url: String,
    /// The user's e-mail.
    pub email: String,
    /// What the user is called.
    pub name: String,
}

/// The profiles of this computer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Profiles {
    /// All of them, the one that was used last first.
    pub items: Vec<Profile>,
    /// The one that the window shows, or showed last.
    pub current: Option<String>,
}

/// Whether somebody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Nobody is.
    SignedOut,
    /// Somebody is; the cloud may still be out of reach.
    SignedIn,
    /// The session ended by itself: the rows stay, the password is needed to go on.
    Expired,
}

/// How it stands between the app and the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Connection {
    /// The state.
    pub state: ConnectionState,
    /// Since when it holds.
    pub since: Option<DateTime<Utc>>,
}

/// How it stands between the app and the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Nobody is signed in.
    SignedOut,
    /// The first load is under way.
    Connecting,
    /// Changes arrive by themselves.
    Live,
    /// This computer has a network, the cloud does not answer.
    CloudUnreachable,
    /// This computer has no network.
    NoNetwork,
    /// The password is needed to go on.
    SessionEnded,
}

/// A choice of the native menu that the window carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum MenuAction {
    /// Write the statuses to a spreadsheet.
    ExportExcel,
    /// Open the settings.
    Settings,
    /// Sign out.
    SignOut,
    /// Put the cursor into the search field.
    Find,
    /// Select everything that matches.
    SelectAll,
    /// Load everything anew.
    Refresh,
    /// Take all filters off.
    ClearFilters,
    /// Choose columns.
    Columns,
    /// Choose a saved view, or save one.
    Views,
    /// Open the activity panel.
    Activity,
    /// Open the administration, or go back to the stores.
    Administration,
    /// Retrieve logs of the selected stores.
    RetrieveLogs,
    /// Reset the selected store's database.
    ResetDatabase,
    /// Put the selected store's previous database back.
    RestoreDatabase,
    /// Ask the selected store for an exchange.
    ExchangeNow,
    /// Find out what is wrong with the selected store.
    Diagnose,
    /// Restart the selected store's POS server.
    RestartPos,
    /// Say what this app is.
    About,
}

/// What the core tells the webview by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AppEvent {
    /// Rows, order, selection or counts changed; at most one in 50 ms.
    Grid {
        /// What holds now.
        summary: GridSummary,
        /// What became of the rows that were asked for last; null when none were.
        changes: Option<GridChanges>,
        /// Where the store is that the keyboard is at.
        cursor: Option<Cursor>,
    },
    /// The cloud's clock turned out to be another than this computer's, or the same again.
    Clock {
        /// By how many seconds it is ahead of this computer's, behind if negative; zero when they agree.
        ahead_seconds: i32,
    },
    /// The connection to the cloud changed.
    Connection {
        /// What holds now.
        connection: Connection,
    },
    /// One of the user's jobs changed.
    Job {
        /// What holds now.
        job: Job,
    },
    /// A download went on.
    Download {
        /// What holds now.
        download: Download,
    },
    /// An archive that is looked into went on.
    Viewer {
        /// What holds now.
        viewer: Viewer,
    },
    /// The session changed.
    Session {
        /// What holds now.
        session: Session,
    },
    /// Something went wrong that no command asked about, such as `cache_damaged`.
    Notice {
        /// What it was.
        error: AppError,
    },
    /// The user chose something in the native menu.
    Menu {
        /// What.
        action: MenuAction,
    },
}
