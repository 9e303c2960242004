//! Where archives are kept when not in the data dir.

use std::path::PathBuf;

use object_store::aws::AmazonS3ConfigKey;

/// A place for archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archives {
    /// A directory; with several nodes, one that all of them see.
    Directory(PathBuf),
    /// A bucket.
    S3(Bucket),
}

/// A bucket of S3, or of something that speaks like it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    pub(crate) name: String,
    /// What the names of our objects begin with; may be empty.
    pub(crate) prefix: String,
    /// Keys, region, endpoint and the like.
    pub(crate) settings: Vec<(AmazonS3ConfigKey, String)>,
}

/// Why an address of archives is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArchives {
    /// Of another kind.
    #[error("the address of the archives must be s3://BUCKET/PREFIX or file:///DIRECTORY")]
    Unknown,
    /// Credentials do not belong there.
    #[error("keys for S3 go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not into the address")]
    Credentials,
}

impl Archives {
    /// Reads an address. Of the environment the variables count that AWS's own programs know, such as
    /// `AWS_ACCESS_KEY_ID`, `AWS_REGION` and `AWS_ENDPOINT_URL`.
    pub fn at(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BadArchives> {
        if let Some(path) = url.strip_prefix("file://") {
            return if path.starts_with('/') {
                Ok(Self::Directory(path.into()))
            } else {
                Err(BadArchives::Unknown)
            };
        }
        let place = url.strip_prefix("s3://").ok_or(BadArchives::Unknown)?;
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        if name.contains('@') {
            return Err(BadArchives::Credentials);
        }
        if name.is_empty() || place.contains(['?', '#']) {
            return Err(BadArchives::Unknown);
        }
        let settings = environment.into_iter().filter(|(key, _)| key.starts_with("AWS_"));
        let settings = settings.filter_map(|(key, value)| Some((key.to_lowercase().parse().ok()?, value)));
        Ok(Self::S3(Bucket {
            name: name.into(),
            prefix: prefix.trim_matches('/').into(),
            settings: settings.collect(),
        }))
    }
}

/// As an operator would write it; the settings hold a secret.
impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_secrets_are_not_shown() {
        let environment =
            || [("AWS_SECRET_ACCESS_KEY", "hush"), ("PATH", "/")].map(|(k, v)| (k.into(), v.into()));
        let at = |url: &str| Archives::at(url, environment());
        assert_eq!(at("file:///srv/archives"), Ok(Archives::Directory("/srv/archives".into())));
        let Ok(Archives::S3(bucket)) = at("s3://tillwatch/cloud/archives/") else { panic!() };
        assert_eq!((bucket.name.as_str(), bucket.prefix.as_str()), ("tillwatch", "cloud/archives"));
        assert_eq!(bucket.settings, [(AmazonS3ConfigKey::SecretAccessKey, "hush".to_owned())]);
        assert_eq!(format!("{bucket:?}"), "s3://tillwatch/cloud/archives");
        for bad in ["", "archives", "file://srv", "s3://", "s3:///x", "http://x/y", "s3://b/p?q"] {
            assert_eq!(at(bad), Err(BadArchives::Unknown), "{bad}");
        }
        assert_eq!(at("s3://key:secret@bucket/x"), Err(BadArchives::Credentials));
    }
}
