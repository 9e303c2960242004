//! A way to Postgres on which its answers take their time.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::sleep;

/// An address of the same database, from which each answer is this long on its way.
pub(crate) async fn far(database: &str, away: Duration) -> String {
    let mut url: Url = database.parse().unwrap();
    let (_, folder) = url.query_pairs().find(|(name, _)| name == "host").unwrap();
    let socket = Path::new(&*folder).join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(carry(near, far, away));
        }
    });
    url.set_query(None);
    url.set_ip_host(address.ip()).unwrap();
    url.set_port(Some(address.port())).unwrap();
    url.into()
}

async fn carry(mut near: TcpStream, mut far: UnixStream, away: Duration) {
    let ((mut questions, mut told), (mut answers, mut asked)) = (near.split(), far.split());
    let there = async { drop(copy(&mut questions, &mut asked).await) };
    let back = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = answers.read(&mut bytes).await {
            sleep(away).await;
            if told.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}
