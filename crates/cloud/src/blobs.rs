//! Where the bytes of archives are: pieces of uploads, each an object of its own.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;

/// An object store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Blobs(Arc<dyn ObjectStore>);

impl Blobs {
    /// Objects as files under a directory, which is made when it is missing.
    pub(crate) fn directory(root: &FilePath) -> Result<Self, object_store::Error> {
        std::fs::create_dir_all(root).map_err(|source| object_store::Error::Generic {
            store: "directory",
            source: Box::new(source),
        })?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true).with_fsync(true);
        Ok(Self(Arc::new(store)))
    }

    /// A name that no object has yet, for a piece of this upload.
    pub(crate) fn new_name(upload: Uuid) -> String {
        format!("uploads/{upload}/{}", Uuid::now_v7())
    }

    /// Writes an object; when this returns it is on the disk.
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), object_store::Error> {
        self.0.put(&Path::from(name), bytes.into()).await.map(drop)
    }

    /// Reads these bytes of an object.
    pub(crate) async fn get(
        &self,
        name: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, object_store::Error> {
        self.0.get_range(&Path::from(name), range).await
    }

    /// Deletes an object; one that is not there is fine.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), object_store::Error> {
        match self.0.delete(&Path::from(name)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn objects_are_written_read_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::directory(&dir.path().join("blobs")).unwrap();
        let name = Blobs::new_name(Uuid::now_v7());
        blobs.put(&name, Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(blobs.get(&name, 2..5).await.unwrap(), "234");
        blobs.delete(&name).await.unwrap();
        blobs.delete(&name).await.unwrap();
        assert!(blobs.get(&name, 0..1).await.is_err());
    }
}
