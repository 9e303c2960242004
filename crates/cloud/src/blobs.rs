//! Where the bytes of archives are: pieces of uploads, each an object of its own, in a directory or in S3.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, RetryConfig};
use uuid::Uuid;

use crate::config::{Archives, Bucket};

/// How long S3 may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request to S3 may take; a piece has at most 8 MiB.
const REQUEST: Duration = Duration::from_secs(30);
/// For how long a request to S3 is tried again. Stores try again by themselves and for longer.
const RETRY: Duration = Duration::from_secs(15);

/// An object store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Blobs(Arc<dyn ObjectStore>);

impl Blobs {
    /// Opens the place that the configuration names, else a folder of the data dir, and tries it: a place that
    /// can't be written must be known before a store sends its logs.
    pub(crate) async fn open(archives: Option<&Archives>, data_dir: &FilePath) -> anyhow::Result<Self> {
        let (blobs, place) = match archives {
            None => {
                (Self::directory(&data_dir.join("archives")), data_dir.join("archives").display().to_string())
            }
            Some(Archives::Directory(directory)) => {
                (Self::directory(directory), directory.display().to_string())
            }
            Some(Archives::S3(bucket)) => (Self::s3(bucket), format!("{bucket:?}")),
        };
        let open = async || {
            let blobs = blobs?;
            blobs.try_out().await?;
            Ok::<_, Error>(blobs)
        };
        open().await.with_context(|| format!("archives can't be kept at {place}"))
    }

    /// Objects as files under a directory, which is made when it is missing.
    fn directory(root: &FilePath) -> Result<Self, Error> {
        std::fs::create_dir_all(root)
            .map_err(|source| Error::Generic { store: "directory", source: Box::new(source) })?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true).with_fsync(true);
        Ok(Self(Arc::new(store)))
    }

    fn s3(bucket: &Bucket) -> Result<Self, Error> {
        let mut builder = AmazonS3Builder::new().with_bucket_name(&bucket.name);
        for (key, value) in &bucket.settings {
            builder = builder.with_config(*key, value);
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        // Whoever writes http:// means it.
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
            max_retries: 5,
            retry_timeout: RETRY,
        };
        let client =
            ClientOptions::new().with_allow_http(plain).with_connect_timeout(CONNECT).with_timeout(REQUEST);
        // Not every server that speaks S3 deletes in bulk.
        let store = builder
            .with_client_options(client)
            .with_retry(retry)
            .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
            .build()?;
        Ok(Self(Arc::new(PrefixStore::new(store, Path::from(bucket.prefix.as_str())))))
    }

    /// Writes, reads and deletes an object.
    async fn try_out(&self) -> Result<(), Error> {
        let name = format!("tried/{}", Uuid::now_v7());
        self.put(&name, Bytes::from_static(b"can it be kept?")).await?;
        self.get(&name, 0..3).await?;
        self.delete(&name).await
    }

    /// A name that no object has yet, for a piece of this upload.
    pub(crate) fn new_name(upload: Uuid) -> String {
        format!("uploads/{upload}/{}", Uuid::now_v7())
    }

    /// Writes an object; when this returns it is kept.
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.0.put(&Path::from(name), bytes.into()).await.map(drop)
    }

    /// Reads these bytes of an object.
    pub(crate) async fn get(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        self.0.get_range(&Path::from(name), range).await
    }

    /// Deletes an object; one that is not there is fine.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        match self.0.delete(&Path::from(name)).await {
            Err(Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// Deletes every object of an upload, those among them that a crash left without a row.
    pub(crate) async fn delete_upload(&self, upload: Uuid) -> Result<(), Error> {
        let names: Vec<Path> = self
            .0
            .list(Some(&Path::from(format!("uploads/{upload}"))))
            .map_ok(|object| object.location)
            .try_collect()
            .await?;
        let mut deleted = self.0.delete_stream(futures_util::stream::iter(names).map(Ok).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn objects_are_written_read_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(None, dir.path()).await.unwrap();
        let upload = Uuid::now_v7();
        let (name, other) = (Blobs::new_name(upload), Blobs::new_name(upload));
        blobs.put(&name, Bytes::from_static(b"0123456789")).await.unwrap();
        blobs.put(&other, Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(blobs.get(&name, 2..5).await.unwrap(), "234");
        blobs.delete(&name).await.unwrap();
        blobs.delete(&name).await.unwrap();
        assert!(blobs.get(&name, 0..1).await.is_err());
        blobs.delete_upload(upload).await.unwrap();
        assert!(blobs.get(&other, 0..1).await.is_err());
        blobs.delete_upload(upload).await.unwrap();
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_told_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("archives"), "a file").unwrap();
        let error = Blobs::open(None, dir.path()).await.err().unwrap();
        assert!(format!("{error:#}").contains("archives can't be kept at"), "{error:#}");
    }
}
