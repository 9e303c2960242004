//! The file of enrollment codes that the cloud's `fleet import` printed.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tillwatch_protocol::ids::PosServerId;

/// One store to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Enrollment {
    /// Which POS server.
    pub pos_server_id: PosServerId,
    /// The outlet's name, for messages.
    pub outlet: String,
    /// The one-time code.
    pub enrollment_code: String,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EnrollmentsError {
    /// It can't be read, or a line is not of the form.
    #[error("reading the enrollments in {}", .0.display())]
    File(PathBuf, #[source] csv::Error),
    /// Nobody is in it.
    #[error("{} holds no enrollments", .0.display())]
    Empty(PathBuf),
    /// Two lines would be one store.
    #[error("{} names the POS server {pos_server_id} twice", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// Which.
        pos_server_id: PosServerId,
    },
}

/// Reads the file: a header line `pos_server_id,outlet,enrollment_code`, then one line a store.
pub fn read(path: &Path) -> Result<Vec<Enrollment>, EnrollmentsError> {
    let failed = |error| EnrollmentsError::File(path.to_owned(), error);
    let mut lines = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(failed)?;
    let enrollments: Vec<Enrollment> = lines.deserialize().collect::<Result<_, _>>().map_err(failed)?;
    if enrollments.is_empty() {
        return Err(EnrollmentsError::Empty(path.to_owned()));
    }
    let mut seen = std::collections::HashSet::new();
    for enrollment in &enrollments {
        if !seen.insert(enrollment.pos_server_id) {
            return Err(EnrollmentsError::Twice {
                path: path.to_owned(),
                pos_server_id: enrollment.pos_server_id,
            });
        }
    }
    Ok(enrollments)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198a0e0-0000-7000-8000-000000000001";

    fn read_text(text: &str) -> Result<Vec<Enrollment>, EnrollmentsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn what_an_import_printed_is_read() {
        let read =
            read_text(&format!("pos_server_id,outlet,enrollment_code\n{ID},\"Riga, Centrs\",ABCD-1234\n"))
                .unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].outlet.as_str(), read[0].enrollment_code.as_str()),
            ("Riga, Centrs", "ABCD-1234")
        );
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let header = "pos_server_id,outlet,enrollment_code\n";
        assert!(matches!(read_text(header), Err(EnrollmentsError::Empty(_))));
        assert!(matches!(read_text(&format!("{header}x,y,z\n")), Err(EnrollmentsError::File(..))));
        assert!(matches!(read_text("outlet\nRiga\n"), Err(EnrollmentsError::File(..))));
        let twice = format!("{header}{ID},A,1\n{ID},B,2\n");
        assert!(matches!(read_text(&twice), Err(EnrollmentsError::Twice { .. })));
    }
}
