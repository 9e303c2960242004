//! Clients that take their time: their connections end, and nobody else notices.

use std::time::Duration;

use tillwatch_cloud::config::Patience;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Cloud, SOON, hasty};

/// Sends this, and then a byte at a time, until the cloud ends the connection; gives what it said.
async fn dribble(cloud: &Cloud, head: &str) -> String {
    let address = cloud.base.strip_prefix("http://").unwrap();
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    write.write_all(head.as_bytes()).await.unwrap();
    let dribbling = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            // The cloud may have ended it already: then there is nobody to write to.
            if write.write_all(b" ").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut said = Vec::new();
    let ended = async {
        tokio::select! {
            ended = read.read_to_end(&mut said) => ended.map(|_| ()),
            () = dribbling => Ok(()),
        }
    };
    // A connection that is reset while bytes were under way has ended as well.
    let _ = timeout(SOON, ended).await.expect("the connection ends");
    String::from_utf8(said).unwrap()
}

async fn is_well(cloud: &Cloud) {
    let answer = reqwest::get(format!("{}/readyz", cloud.base)).await.unwrap();
    assert_eq!(answer.status(), 204);
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_the_connection() {
    let cloud = Cloud::with(Patience { head: Duration::from_millis(300), ..hasty() }).await;
    let said = dribble(&cloud, "GET /readyz HTTP/1.1\r\nhost: cloud\r\nx-slow:").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    // One that never says a word is not waited for either.
    let address = cloud.base.strip_prefix("http://").unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(SOON, silent.read_to_end(&mut said)).await.expect("the connection ends");
    is_well(&cloud).await;
}

#[tokio::test]
async fn a_body_that_does_not_end_is_refused_and_ends_the_connection() {
    let head = |path: &str| {
        format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: cloud\r\ncontent-type: application/json\r\n\
             content-length: 100000\r\n\r\n{{"
        )
    };
    // Parts come often enough, and the whole takes too long.
    let patience = Patience { body: Duration::from_millis(500), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let said = dribble(&cloud, &head("/sessions")).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    assert!(said.contains("malformed_body"), "{said}");
    is_well(&cloud).await;
    // The whole would have the time, and one part is too long under way.
    let patience = Patience { body_pause: Duration::from_millis(5), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let said = dribble(&cloud, &head("/sessions")).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    is_well(&cloud).await;
}

#[tokio::test]
async fn who_is_refused_while_still_sending_reads_why() {
    let cloud = Cloud::with(hasty()).await;
    let address = cloud.base.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    // Refused by its head: the cloud has no use for what follows.
    let head = |length: usize| {
        format!(
            "POST /api/v1/exchange HTTP/1.1\r\nhost: cloud\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    for length in [1, 2_000_000] {
        connection.write_all(head(length).as_bytes()).await.unwrap();
        // The answer comes before the body has.
        let answer = answer(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        connection.write_all(&vec![b' '; length]).await.unwrap();
    }
    // And the connection is as good as before.
    connection.write_all(b"GET /readyz HTTP/1.1\r\nhost: cloud\r\n\r\n").await.unwrap();
    let answer = answer(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

/// The next answer on a connection, with its body.
async fn answer(connection: &mut TcpStream) -> String {
    let mut said = String::new();
    let complete = |said: &str| {
        let (head, body) = said.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        Some(body.len() >= length.map_or(0, |length| length.parse().unwrap()))
    };
    while complete(&said) != Some(true) {
        let mut some = [0; 4096];
        let count = timeout(SOON, connection.read(&mut some)).await.expect("an answer").unwrap();
        assert_ne!(count, 0, "the connection was cut after: {said}");
        said += std::str::from_utf8(&some[..count]).unwrap();
    }
    said
}
