//! What stands in for S3 in the tests of the whole: `serve_s3 DIRECTORY` serves the directories in it as buckets, to
//! whoever has the key that the variables name by which AWS's own programs know it.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of the tests, which read its address and see it fail"
)]

use std::env;
use std::path::PathBuf;

use tokio::net::TcpListener;

#[path = "../tests/shared/s3.rs"]
mod s3;

#[tokio::main]
async fn main() {
    let directory = PathBuf::from(env::args_os().nth(1).unwrap());
    let [key, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| env::var(name).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listening on http://{}", listener.local_addr().unwrap());
    s3::serve(listener, &directory, &key, &secret).await;
}
