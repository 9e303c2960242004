//! What `npm run bench -- logs` measures of uploads: a store that sends parts to a cloud, as its job would.
//!
//! Prints its figures as one line of JSON.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tillwatch_connector::cloud_client::{CloudClient, Transport};
use tillwatch_connector::identity;
use tillwatch_connector::upload::{PartUpload, upload};
use tillwatch_protocol::ids::JobId;
use tokio_util::sync::CancellationToken;
use url::Url;

/// The most that the archives of a job may have.
const MOST_BYTES: u64 = 2 << 30;

/// How a zip begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// On a line of 1 Gbit/s a piece takes 30 ms.
const IN_A_PIECE: Duration = Duration::from_millis(15);

#[derive(Parser)]
enum Command {
    /// Enrolls a store and starts a job for it, as an admin whose password is in `TILLWATCH_BENCH_PASSWORD`. Its
    /// connector never comes, so that the job waits and its archives are taken.
    Prepare {
        #[arg(long)]
        cloud: Url,
        #[arg(long)]
        ca: PathBuf,
        #[arg(long)]
        code: String,
        #[arg(long)]
        email: String,
        data_dir: PathBuf,
    },
    /// Writes a part that does not compress.
    Write { file: PathBuf, bytes: usize },
    /// Uploads a part.
    Send {
        #[command(flatten)]
        store: Store,
        file: PathBuf,
        /// Gives up halfway, as a process does that is killed, and begins again with what it had written down.
        #[arg(long)]
        killed: bool,
    },
}

#[derive(clap::Args)]
struct Store {
    #[arg(long)]
    ca: PathBuf,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    job: JobId,
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let figures = match Command::parse() {
        Command::Prepare { cloud, ca, code, email, data_dir } => {
            prepare(&cloud, &ca, &code, &email, &data_dir).await?
        }
        Command::Write { file, bytes } => write(&file, bytes)?,
        Command::Send { store, file, killed } => send(&store, &file, killed).await?,
    };
    println!("{figures}");
    Ok(())
}

async fn prepare(cloud: &Url, ca: &Path, code: &str, email: &str, data_dir: &Path) -> anyhow::Result<Value> {
    identity::enroll(cloud.as_str(), code, Some(ca), None, data_dir).await?;
    let identity = identity::load(data_dir)?;
    let http = Transport::new(Some(ca), None)?.http;
    let password = std::env::var("TILLWATCH_BENCH_PASSWORD").context("there is no password")?;
    let post = async |call: &str, token: Option<&str>, body: Value| {
        let mut request = http.post(cloud.join(&format!("/api/v1/{call}"))?).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        anyhow::Ok(request.send().await?.error_for_status()?.json::<Value>().await?)
    };
    let session = post("sessions", None, json!({ "email": email, "password": password })).await?;
    let now = Utc::now();
    let job = json!({
        "kind": "retrieve_logs",
        "from": now - TimeDelta::days(1),
        "to": now,
        "max_bytes": MOST_BYTES,
        "when_offline": "queue",
    });
    let call = format!("pos-servers/{}/jobs", identity.pos_server_id);
    let job = post(&call, session["access_token"].as_str(), job).await?;
    Ok(json!({ "job_id": job["id"] }))
}

fn write(file: &Path, bytes: usize) -> anyhow::Result<Value> {
    let mut noise = vec![0; bytes];
    StdRng::seed_from_u64(5).fill_bytes(&mut noise);
    // The cloud takes nothing that does not begin as a zip.
    noise[..ZIP.len()].copy_from_slice(ZIP);
    let mut file = fs::File::create(file)?;
    file.write_all(&noise)?;
    file.sync_all()?;
    Ok(json!({ "bytes": bytes }))
}

async fn send(store: &Store, file: &Path, killed: bool) -> anyhow::Result<Value> {
    let client = CloudClient::new(&identity::load(&store.data_dir)?, Transport::new(Some(&store.ca), None)?)?;
    let content = fs::read(file)?;
    let half = content.len() as u64 / 2;
    // A job's parts are hashed when they are written.
    let sha256 = format!("{:x}", Sha256::digest(&content));
    drop(content);
    let part = PartUpload {
        job_id: store.job,
        part: 1,
        parts: 1,
        from: Utc::now() - TimeDelta::days(1),
        to: Utc::now(),
        file,
        sha256: &sha256,
    };
    let sent_before = sent_bytes();
    let location = Cell::new(None);
    let written_down = |at: &str| location.set(Some(at.to_owned()));
    if killed {
        let stop = CancellationToken::new();
        let at_half = stop.clone();
        let kill = move |done: u64| {
            if done >= half {
                // While the next piece is on its way.
                let killed = at_half.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(IN_A_PIECE).await;
                    killed.cancel();
                });
            }
        };
        upload(&client, part, None, written_down, kill, stop).await.err().context("it was not killed")?;
    }
    let started = Instant::now();
    let resume = location.take();
    upload(&client, part, resume, written_down, |_| {}, CancellationToken::new()).await?;
    Ok(json!({ "seconds": started.elapsed().as_secs_f64(), "sent_bytes": sent_bytes() - sent_before }))
}

/// What went over loopback, by the kernel's count: both directions, headers and handshakes included.
fn sent_bytes() -> u64 {
    let devices = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let loopback = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let column = loopback.and_then(|line| line.split_whitespace().nth(8));
    column.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
