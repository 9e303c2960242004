//! How the database can fail, and what that means for who waits for it.

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DbErr, RuntimeErr};

/// The database could not do what was asked. None of these is a user's mistake.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("the database failed")]
    Database(#[from] DbErr),
    /// A stored text is none of those it may be.
    #[error("`{0}` in the database can't be read")]
    Damaged(String),
    /// The folder for the database can't be made.
    #[error("the folder for the database can't be made")]
    Folder(#[source] std::io::Error),
    /// The address of the database is of a kind that this version does not know.
    #[error("the database address must begin with sqlite: or postgres://")]
    UnknownAddress,
    /// The address of the database can't be read.
    #[error("the database address can't be read: {0}")]
    BadAddress(String),
    /// What was to be written together with other changes was not; the log says why.
    #[error("the change could not be written")]
    NotWritten,
    /// A database in memory would not be the same for those who read and those who write.
    #[error("the database must be a file")]
    InMemory,
    /// The database is not there or lets nobody in. The address is without its password.
    #[error("the database {address} can't be opened: {reason}")]
    Closed {
        /// Where it should be.
        address: String,
        /// What came back.
        reason: String,
    },
}

/// A failure that is no bug of ours: it passes, or somebody can end it without a restart of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It does not answer: it restarts, or the line to it is cut.
    Away,
    /// It took too long, or too many wait.
    Busy,
    /// It has no room left.
    Full,
    /// It takes no text with the character U+0000, which SQLite does.
    Nul,
}

impl StoreError {
    /// What is wrong when it is nothing that is wrong with the statement.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let error = match self {
            Self::Database(error) => error,
            Self::NotWritten => return Some(Trouble::Away),
            _ => return None,
        };
        match error {
            DbErr::ConnectionAcquire(_) => Some(Trouble::Away),
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => trouble(error),
            _ => None,
        }
    }
}

fn trouble(error: &SqlxError) -> Option<Trouble> {
    match error {
        SqlxError::Io(_)
        | SqlxError::Tls(_)
        | SqlxError::Protocol(_)
        | SqlxError::PoolTimedOut
        | SqlxError::PoolClosed
        | SqlxError::WorkerCrashed => Some(Trouble::Away),
        SqlxError::Database(error) => {
            let code = error.code()?;
            if error.try_downcast_ref::<SqliteError>().is_some() {
                sqlite_trouble(code.parse().ok()?)
            } else {
                postgres_trouble(&code)
            }
        }
        _ => None,
    }
}

/// By SQLite's result codes; the lowest byte is the primary one.
fn sqlite_trouble(code: u32) -> Option<Trouble> {
    match code & 0xff {
        5 | 6 => Some(Trouble::Busy),
        13 => Some(Trouble::Full),
        // Not to be read, written or opened.
        8 | 10 | 14 => Some(Trouble::Away),
        _ => None,
    }
}

/// By the classes of SQLSTATE that Postgres documents in its appendix A.
fn postgres_trouble(code: &str) -> Option<Trouble> {
    match code {
        "53100" => Some(Trouble::Full),
        "22021" | "22P05" => Some(Trouble::Nul),
        // A lock, a statement or a transaction took too long; the server's own serialisation failures.
        "55P03" | "57014" | "25P03" | "25P04" | "40001" | "40P01" | "53200" | "53300" | "53400" => {
            Some(Trouble::Busy)
        }
        // Read-only is what a standby is after a failover took the connection elsewhere.
        "25006" => Some(Trouble::Away),
        _ if code.starts_with("08") || code.starts_with("57P") || code.starts_with("58") => {
            Some(Trouble::Away)
        }
        _ => None,
    }
}

/// Why a database could not be opened, in one line.
pub(super) fn reason(error: &SqlxError) -> String {
    match error {
        SqlxError::Database(error) => DatabaseError::message(&**error).to_owned(),
        SqlxError::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_is_wrong() {
        for (code, expected) in [
            ("53100", Some(Trouble::Full)),
            ("55P03", Some(Trouble::Busy)),
            ("57P01", Some(Trouble::Away)),
            ("08006", Some(Trouble::Away)),
            ("22021", Some(Trouble::Nul)),
            ("23505", None),
            ("42P01", None),
        ] {
            assert_eq!(postgres_trouble(code), expected, "{code}");
        }
        // SQLITE_BUSY_SNAPSHOT, SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_CONSTRAINT_UNIQUE.
        for (code, expected) in
            [(517, Some(Trouble::Busy)), (13, Some(Trouble::Full)), (778, Some(Trouble::Away)), (2067, None)]
        {
            assert_eq!(sqlite_trouble(code), expected, "{code}");
        }
    }
}
