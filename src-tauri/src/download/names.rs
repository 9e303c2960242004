//! Names for files, from names that others made.

use std::path::{Path, PathBuf};

/// How long a name may be, in characters; every system of ours takes that many with the extension.
const LONGEST: usize = 120;

/// A name that is no path, that every system takes, and that ends in `extension`.
pub(crate) fn safe_file_name(name: &str, extension: &str) -> String {
    let ending = format!(".{extension}");
    let stem = if name.to_lowercase().ends_with(&ending) {
        name.get(..name.len() - ending.len()).unwrap_or(name)
    } else {
        name
    };
    let stem: String = stem
        .chars()
        .map(|c| if c.is_control() || is_invisible(c) || r#"/\:*?"<>|"#.contains(c) { '_' } else { c })
        .take(LONGEST)
        .collect();
    // Windows drops dots and spaces at the end; a dot at the beginning hides the file.
    let stem = stem.trim_end_matches(['.', ' ']).trim_start_matches(['.', ' ']);
    let stem = match stem {
        "" => "archive".to_owned(),
        stem if is_reserved(stem) => format!("_{stem}"),
        stem => stem.to_owned(),
    };
    stem + &ending
}

/// `path`, or the first of `name (2)`, `name (3)`, … that nothing has yet.
pub(crate) fn free_path(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let ending =
        path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    let mut free = path.to_owned();
    let mut number = 1;
    while free.symlink_metadata().is_ok() {
        number += 1;
        free = path.with_file_name(format!("{stem} ({number}){ending}"));
    }
    free
}

/// Marks that turn text around or have no shape, by which `gpj.exe` can look like a picture.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Names that Windows keeps for devices, whatever follows a dot.
fn is_reserved(stem: &str) -> bool {
    let device = stem.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_numbered = |prefix: &str| {
        device.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && matches!(n.as_bytes()[0], b'1'..=b'9'))
    };
    matches!(device.as_str(), "CON" | "PRN" | "AUX" | "NUL") || is_numbered("COM") || is_numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_safe() {
        for (name, safe) in [
            ("riga-2026-11-21.zip", "riga-2026-11-21.zip"),
            ("../../etc/passwd", "_.._etc_passwd.zip"),
            (r"C:\logs\a.ZIP", "C__logs_a.zip"),
            ("a\u{202e}piz.exe", "a_piz.exe.zip"),
            ("con.zip", "_con.zip"),
            ("LPT1.2026.zip", "_LPT1.2026.zip"),
            ("...", "archive.zip"),
            ("name. .zip", "name.zip"),
            ("Пицца Рига.zip", "Пицца Рига.zip"),
            ("a\nb.zip", "a_b.zip"),
        ] {
            assert_eq!(safe_file_name(name, "zip"), safe, "{name:?}");
        }
        assert_eq!(safe_file_name(&"ж".repeat(500), "zip").chars().count(), 124);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        assert_eq!(free_path(&path), path);
        std::fs::write(&path, "").unwrap();
        std::fs::write(folder.path().join("a (2).zip"), "").unwrap();
        assert_eq!(free_path(&path), folder.path().join("a (3).zip"));
    }
}
