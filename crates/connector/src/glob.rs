//! Patterns of paths: `*` and `?` within a name, `[a-z]` and `[!a-z]` for a character, `**` for any folders.
//!
//! `\` separates folders as `/` does, so that what is written for Windows can be read anywhere. On Windows case does
//! not matter.

use std::path::Path;

use glob::{MatchOptions, Pattern};

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A pattern that paths are held against.
pub(crate) struct Glob(Pattern);

impl Glob {
    /// A pattern of whole paths. The error says in English what is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.contains(['{', '}']) {
            return Err("braces are not understood: give each alternative a pattern of its own".into());
        }
        Pattern::new(&slashed(&folded(pattern))).map(Self).map_err(|error| error.msg.to_owned())
    }

    /// A pattern that is relative to a folder, unless it is absolute.
    pub(crate) fn below(base: &Path, pattern: &str) -> Result<Self, String> {
        // Looked at alone: the folder may hold what a pattern may not.
        let given = Self::new(pattern)?;
        if Path::new(pattern).is_absolute() {
            return Ok(given);
        }
        let base = Pattern::escape(&folded(&base.to_string_lossy()));
        let whole =
            format!("{}/{}", base.trim_end_matches(std::path::is_separator), slashed(&folded(pattern)));
        Pattern::new(&whole).map(Self).map_err(|error| error.msg.to_owned())
    }

    /// Whether it is the pattern of this path.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        self.0.matches_with(&folded(&path.to_string_lossy()), OPTIONS)
    }
}

/// Whether a part of a path is a pattern, and not a plain name.
pub(crate) fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// A pattern with `/` alone.
pub(crate) fn slashed(pattern: &str) -> String {
    pattern.replace('\\', "/")
}

fn folded(text: &str) -> String {
    if cfg!(windows) { text.to_lowercase() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(Path::new(path))
    }

    #[test]
    fn stars_stay_within_a_name_and_two_go_through_folders() {
        assert!(matches("logs/*.log*", "logs/pos.log.1.gz"));
        assert!(!matches("logs/*.log", "logs/old/pos.log"));
        assert!(matches("logs/**/*.log", "logs/pos.log"));
        assert!(matches("logs/**/*.log", "logs/2026/11/.pos.log"));
        assert!(matches("pos-[0-9]?.log", "pos-7a.log"));
        assert!(!matches("pos-[!0-9].log", "pos-7.log"));
        assert!(matches("журнал-*.log", "журнал-касса.log"));
        assert!(matches(r"logs\**\*.log", "logs/old/pos.log"));
    }

    #[test]
    fn the_folder_of_a_relative_one_is_no_pattern() {
        let base = std::env::temp_dir().join("a{b}[c]*");
        let glob = Glob::below(&base, "logs/*.log").unwrap();
        assert!(glob.matches(&base.join("logs/pos.log")));
        assert!(!glob.matches(&std::env::temp_dir().join("a{b}cx/logs/pos.log")));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        assert!(Glob::new("logs/[a").is_err_and(|reason| reason.contains("range")));
        assert!(Glob::new("logs/**.log").is_err_and(|reason| reason.contains("component")));
        assert!(Glob::below(Path::new("base"), "*.{log,txt}").is_err_and(|reason| reason.contains("braces")));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_unicode_is_a_name() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"logs/\xE6\xF3\xF0.log");
        assert!(Glob::new("logs/*.log").unwrap().matches(Path::new(name)));
    }

    #[cfg(windows)]
    #[test]
    fn on_windows_case_does_not_matter() {
        assert!(matches(r"D:\Логи\**\*.LOG", "d:/логи/2026/pos.log"));
    }
}
