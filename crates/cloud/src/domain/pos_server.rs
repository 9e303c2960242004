//! Rules about the status of a POS server: versions, colours, and how text compares.

use tillwatch_protocol::link::version::PosVersion;
use tillwatch_protocol::rest::pos_server::Highlight;

/// Digits that hold any number of a version.
const PART_WIDTH: usize = 20;

/// Folds text for searching and sorting, the same for every language: `LOWER` in SQLite knows ASCII only.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// A key whose order as text is the order of versions by number; none for what is no version.
///
/// Equal versions have equal keys: zeros at the end don't count.
pub fn version_key(version: &str) -> Option<String> {
    version.parse::<PosVersion>().ok()?;
    let version = version.trim();
    let numbers = version.split_once(['-', '+', ' ']).map_or(version, |(numbers, _)| numbers);
    let mut parts: Vec<&str> = numbers.split('.').map(|part| part.trim_start_matches(['0', '+'])).collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    Some(parts.iter().map(|part| format!("{part:0>PART_WIDTH$}")).collect::<Vec<_>>().join("."))
}

/// Whether a POS server needs an update. One whose version is unknown is not said to.
pub fn update_required(version_key: Option<&str>, required_version_key: Option<&str>) -> bool {
    matches!((version_key, required_version_key), (Some(version), Some(required)) if version < required)
}

/// The row's colour: an exchange that failed outweighs a missing update.
pub fn highlight(exchange_failed: bool, update_required: bool) -> Highlight {
    match (exchange_failed, update_required) {
        (true, _) => Highlight::Error,
        (false, true) => Highlight::UpdateRequired,
        (false, false) => Highlight::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_versions_do() {
        let rising = ["9.9", "34", "34.5.2", "34.6", "34.10", "100.0.1"];
        for pair in rising.windows(2) {
            assert!(version_key(pair[0]).unwrap() < version_key(pair[1]).unwrap(), "{pair:?}");
        }
        assert_eq!(version_key("34.5"), version_key("34.05.0.0"));
        assert_eq!(version_key("34.5.2-beta1"), version_key(" 34.5.2"));
        assert_eq!(version_key("0.0"), version_key("0"));
        assert_eq!(version_key("next"), None);
    }

    #[test]
    fn text_folds_beyond_ascii() {
        assert_eq!(fold("Rīgas ŠĶŪNIS Пицца"), "rīgas šķūnis пицца");
    }

    #[test]
    fn an_update_is_required_below_the_required_version() {
        let key = |text: &str| version_key(text).unwrap();
        for (version, required, expected) in
            [("34.5.2", "34.6.0", true), ("34.6", "34.6.0", false), ("35", "34.6", false)]
        {
            assert_eq!(update_required(Some(&key(version)), Some(&key(required))), expected, "{version}");
        }
        assert!(!update_required(None, Some(&key("34"))));
        assert!(!update_required(Some(&key("34")), None));
    }
}
