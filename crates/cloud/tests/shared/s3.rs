//! A server that speaks S3 over a directory.

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves the buckets that are directories of `root` to whoever has the key. It ends, with its connections, when this
/// is dropped.
pub(crate) async fn serve(listener: TcpListener, root: &Path, key: &str, secret: &str) {
    let mut service = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single(key, secret));
    let service = service.build();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service.clone();
        connections.spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // Clients come and go.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
