//! Uploading a part to the cloud by tus 1.0 (creation, checksum), going on where it stopped.
//!
//! What happens on the way is expected: connections are cut, pieces arrive damaged, the cloud restarts or has
//! forgotten the upload. [`upload`] goes on until the part is there, the cloud refuses for good, or the caller
//! cancels; deadlines are the caller's.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, Response};
use sha2::{Digest, Sha256};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ArchiveId, JobId};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_tungstenite::tungstenite::Bytes;
use tokio_util::sync::CancellationToken;

use crate::cloud_client::{CallError, CloudClient};

/// How much is sent at a time. What a cut connection costs is at most this.
const PIECE: u64 = 4 << 20;
/// On a line too slow for a whole piece within the time that a request may take, pieces shrink down to this.
const SMALLEST_PIECE: u64 = 128 << 10;
/// Waits before the next try are random, up to twice as long each time, from and to these.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often in a row the cloud may refuse pieces that are right as far as we know.
const MOST_REFUSALS: u32 = 12;
const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");

/// A part and what the cloud has to know of it.
#[derive(Clone, Copy, Debug)]
pub struct PartUpload<'a> {
    /// The job that made it.
    pub job_id: JobId,
    /// Its number, from 1.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// Start of the period.
    pub from: DateTime<Utc>,
    /// End of the period.
    pub to: DateTime<Utc>,
    /// The part.
    pub file: &'a Path,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: &'a str,
}

/// Why a part is not in the cloud.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The caller wanted it so.
    #[error("the upload was canceled")]
    Canceled,
    /// The part can't be read.
    #[error("the part {path} can't be read")]
    File {
        /// The part.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The cloud refuses it for good.
    #[error("the cloud refuses the upload: {0}")]
    Refused(CallError),
}

impl UploadError {
    /// The cloud's code, when it refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => error.code(),
            Self::Canceled | Self::File { .. } => None,
        }
    }
}

/// Uploads a part and gives the id of the archive that it became.
///
/// `resume` is the location that an earlier try told to `on_location`; it may be out of date. `on_progress`
/// gets the bytes that the cloud has.
pub async fn upload(
    client: &CloudClient,
    upload: PartUpload<'_>,
    resume: Option<String>,
    on_location: impl FnMut(&str),
    on_progress: impl FnMut(u64),
    cancel: CancellationToken,
) -> Result<ArchiveId, UploadError> {
    let unreadable = |source| UploadError::File { path: upload.file.to_path_buf(), source };
    let file = tokio::fs::File::open(upload.file).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let mut transfer = Transfer {
        client,
        upload,
        file,
        length,
        id: resume.as_deref().and_then(id_of),
        offset: None,
        best: 0,
        piece: PIECE,
        failures: 0,
        refusals: 0,
        on_location,
        on_progress,
    };
    cancel.run_until_cancelled(transfer.run()).await.unwrap_or(Err(UploadError::Canceled))
}

struct Transfer<'a, L, P> {
    client: &'a CloudClient,
    upload: PartUpload<'a>,
    file: tokio::fs::File,
    length: u64,
    /// The upload in the cloud, once it was created.
    id: Option<ArchiveId>,
    /// How much the cloud has, as far as that is certain.
    offset: Option<u64>,
    /// The most that it ever had.
    best: u64,
    piece: u64,
    /// Tries in a row that got nowhere, and those of them that the cloud refused.
    failures: u32,
    refusals: u32,
    on_location: L,
    on_progress: P,
}

/// A piece of the part, ready to be sent.
struct Piece {
    offset: u64,
    content: Bytes,
    checksum: String,
}

impl<L: FnMut(&str), P: FnMut(u64)> Transfer<'_, L, P> {
    async fn run(&mut self) -> Result<ArchiveId, UploadError> {
        let mut ready: Option<Piece> = None;
        loop {
            let (id, offset) = match (self.id, self.offset) {
                (Some(id), Some(offset)) if offset >= self.length => return Ok(id),
                (Some(id), Some(offset)) => (id, offset),
                (Some(id), None) => {
                    let asked = self.ask(id).await;
                    self.settle(asked).await?;
                    continue;
                }
                (None, _) => {
                    let created = self.create().await;
                    self.settle(created).await?;
                    continue;
                }
            };
            let piece = match ready.take() {
                Some(piece) if piece.offset == offset => piece,
                _ => self.read(offset).await?,
            };
            // The next piece is read and hashed while this one is on its way.
            let next = offset + piece.content.len() as u64;
            let (file, size) = (&mut self.file, self.piece.min(self.length - next));
            let (sent, read) = tokio::join!(send(self.client, id, &piece), read_piece(file, next, size));
            ready = read.ok();
            let sent = sent.map(|confirmed| self.confirm(confirmed));
            self.settle(sent).await?;
        }
    }

    /// Asks the cloud for a new upload.
    async fn create(&mut self) -> Result<(), CallError> {
        let PartUpload { job_id, part, parts, from, to, sha256, .. } = self.upload;
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let metadata = [
            ("job_id", job_id.to_string()),
            ("sha256", sha256.to_owned()),
            ("from", time(from)),
            ("to", time(to)),
            ("part", part.to_string()),
            ("parts", parts.to_string()),
        ]
        .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
        .join(",");
        let length = self.length;
        let answer = self
            .client
            .send(|http| {
                http.post(self.client.url("uploads"))
                    .header(TUS.0, TUS.1)
                    .header("Upload-Length", length)
                    .header("Upload-Metadata", &metadata)
                    .timeout(PIECE_TIME)
            })
            .await?;
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let Some((location, id)) = location.and_then(|location| Some((location, id_of(location)?))) else {
            return Err(CallError::NotACloud(answer.status()));
        };
        (self.on_location)(location);
        self.id = Some(id);
        self.offset = Some(0);
        Ok(())
    }

    /// Asks how much the cloud has.
    async fn ask(&mut self, id: ArchiveId) -> Result<(), CallError> {
        let answer = self
            .client
            .send(|http| {
                http.request(Method::HEAD, self.client.url(&format!("uploads/{id}")))
                    .header(TUS.0, TUS.1)
                    .timeout(PIECE_TIME)
            })
            .await?;
        let length = number(answer.headers(), "Upload-Length");
        let Some(offset) = number(answer.headers(), "Upload-Offset") else {
            return Err(CallError::NotACloud(answer.status()));
        };
        if length.is_some_and(|length| length != self.length) || offset > self.length {
            // The part was made anew since.
            self.id = None;
            return Ok(());
        }
        self.confirm(offset);
        Ok(())
    }

    fn confirm(&mut self, offset: u64) {
        if offset > self.best {
            self.best = offset;
            (self.failures, self.refusals) = (0, 0);
            self.piece = (self.piece * 2).min(PIECE);
        }
        self.offset = Some(offset);
        (self.on_progress)(offset);
    }

    async fn read(&mut self, offset: u64) -> Result<Piece, UploadError> {
        let size = self.piece.min(self.length - offset);
        read_piece(&mut self.file, offset, size)
            .await
            .map_err(|source| UploadError::File { path: self.upload.file.to_path_buf(), source })
    }

    /// Decides how to go on after a call; waits if it failed.
    async fn settle(&mut self, result: Result<(), CallError>) -> Result<(), UploadError> {
        let Err(error) = result else { return Ok(()) };
        self.failures += 1;
        let mut wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(12)).min(LONGEST_WAIT);
        wait = wait.mul_f64(rand::random());
        let known = self.id.is_some();
        // Whatever happened, the cloud knows best how much it has.
        self.offset = None;
        match (status(&error), &error) {
            (None, _) => self.piece = (self.piece / 2).max(SMALLEST_PIECE),
            (Some(404 | 410), _) if known => {
                self.id = None;
                self.refusals += 1;
                wait = wait.min(FIRST_WAIT);
            }
            // Elsewhere than the cloud has it; other conflicts, such as a job that has ended, are for good.
            (Some(409), _)
                if known && error.code().is_none_or(|code| code == ErrorCode::UploadOffsetMismatch) =>
            {
                self.refusals += 1;
                wait = Duration::ZERO;
            }
            (Some(460), _) => {
                self.refusals += 1;
                wait = wait.min(FIRST_WAIT);
            }
            (Some(408 | 425 | 429 | 500..), CallError::Refused { retry_after, .. }) => {
                wait = wait.max(retry_after.unwrap_or_default());
            }
            // A proxy's answer while the cloud is away, or the cloud's to a HEAD, which has no body.
            (Some(408 | 425 | 429 | 500..), _) => {}
            (Some(400), _) if error.code() == Some(ErrorCode::MalformedBody) => self.refusals += 1,
            // Clocks and tokens: the client has tried again by itself, but a jump of the clock may be under way.
            (Some(401), _) if error.code() != Some(ErrorCode::CredentialsRevoked) => self.refusals += 1,
            _ => return Err(UploadError::Refused(error)),
        }
        if self.refusals > MOST_REFUSALS {
            return Err(UploadError::Refused(error));
        }
        tracing::debug!(job = %self.upload.job_id, part = self.upload.part, %error, ?wait, "upload interrupted");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// The most that one request may take; see [`SMALLEST_PIECE`].
const PIECE_TIME: Duration = Duration::from_mins(5);

/// Sends a piece. Gives what the cloud has then.
async fn send(client: &CloudClient, id: ArchiveId, piece: &Piece) -> Result<u64, CallError> {
    let answer: Response = client
        .send(|http| {
            http.patch(client.url(&format!("uploads/{id}")))
                .header(TUS.0, TUS.1)
                .header(CONTENT_TYPE, "application/offset+octet-stream")
                .header("Upload-Offset", piece.offset)
                .header("Upload-Checksum", &piece.checksum)
                .timeout(PIECE_TIME)
                .body(piece.content.clone())
        })
        .await?;
    number(answer.headers(), "Upload-Offset").ok_or(CallError::NotACloud(answer.status()))
}

async fn read_piece(file: &mut tokio::fs::File, offset: u64, size: u64) -> io::Result<Piece> {
    file.seek(io::SeekFrom::Start(offset)).await?;
    let mut content = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact(&mut content).await?;
    let hashed = tokio::task::spawn_blocking(move || {
        let checksum = format!("sha256 {}", STANDARD.encode(Sha256::digest(&content)));
        Piece { offset, content: content.into(), checksum }
    });
    hashed.await.map_err(io::Error::other)
}

/// The HTTP status of an answer; nothing if there was no answer.
fn status(error: &CallError) -> Option<u16> {
    match error {
        CallError::Unreachable(_) => None,
        CallError::NotACloud(status) => Some(status.as_u16()),
        CallError::Refused { problem, .. } => Some(problem.status),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The id at the end of a location. Nothing else of it is used: tokens go to the cloud that was enrolled with.
fn id_of(location: &str) -> Option<ArchiveId> {
    location.trim_end_matches('/').rsplit('/').next()?.parse().ok()
}
