//! POS versions compare by number: 34.10 is newer than 34.9.

use std::cmp::Ordering;
use std::str::FromStr;

/// The system receives data only from POS servers of this major version and later.
pub const MINIMUM_POS_MAJOR: u64 = 34;

/// A dotted version such as `34.5.2`. Missing parts count as zero; what follows the numbers is ignored.
#[derive(Clone, Debug)]
pub struct PosVersion(Vec<u64>);

/// The text does not begin with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version must be numbers with dots between them, such as 34.5.2")]
pub struct VersionError;

impl FromStr for PosVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        let numbers = text.split_once(['-', '+', ' ']).map_or(text, |(numbers, _)| numbers);
        if numbers.len() > 64 {
            return Err(VersionError);
        }
        numbers
            .split('.')
            .map(|part| part.parse().map_err(|_| VersionError))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl PosVersion {
    /// Whether the cloud accepts data from it.
    pub fn is_supported(&self) -> bool {
        self.part(0) >= MINIMUM_POS_MAJOR
    }

    fn part(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

impl Ord for PosVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        (0..self.0.len().max(other.0.len()))
            .map(|index| self.part(index).cmp(&other.part(index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for PosVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PosVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PosVersion {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> PosVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version("34.10") > version("34.9.7"));
        assert!(version("34.5.2") < version("34.6.0"));
        assert_eq!(version("34.5"), version("34.5.0"));
        assert_eq!(version("34.5.2-beta1"), version("34.5.2"));
    }

    #[test]
    fn only_34_and_later_are_supported() {
        assert!(version("34.0").is_supported());
        assert!(version("100").is_supported());
        assert!(!version("33.9.9").is_supported());
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "v34", "34..2", "34.x", "-1", "34,5"] {
            assert!(text.parse::<PosVersion>().is_err(), "{text}");
        }
    }
}
