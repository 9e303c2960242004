//! Uploading to a tus server over a line that is cut, with pieces that arrive damaged, and a server that forgets.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic, in its helpers too")]
#![expect(clippy::result_large_err, reason = "handlers answer with responses, whatever their size")]

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{head, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tillwatch_connector::cloud_client::{CloudClient, Transport};
use tillwatch_connector::upload::{PartUpload, UploadError, upload};
use tillwatch_protocol::device::{DeviceKey, verify};
use tillwatch_protocol::error::{ErrorCode, Problem};
use tillwatch_protocol::ids::{ArchiveId, CloudId, DeviceId, JobId, PosServerId};
use tillwatch_protocol::rest::enroll::Enrolled;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const MIB: usize = 1 << 20;

/// What the server is to do wrong.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Every so many pieces, counted from the first, arrive damaged.
    damage_every: Option<usize>,
    /// After this many pieces the upload is forgotten, once.
    forget_after: Option<usize>,
    /// After this many pieces it takes one without answering that it did.
    lose_answer_after: Option<usize>,
    /// It believes that its clock is this many seconds ahead.
    clock_ahead: i64,
    /// It finds the whole to be another one than was announced, and throws it away.
    deny_whole: bool,
    /// It refuses everything.
    refuse: Option<ErrorCode>,
}

/// A tus server that keeps uploads in memory, as strict as the cloud is.
struct Server {
    faults: Faults,
    cloud_id: CloudId,
    public_key: String,
    uploads: HashMap<ArchiveId, Upload>,
    created: usize,
    pieces: usize,
    /// Bytes of all pieces that came whole.
    received: usize,
}

struct Upload {
    length: usize,
    metadata: HashMap<String, String>,
    offset: usize,
    digest: Sha256,
}

type Shared = Arc<Mutex<Server>>;

fn problem(code: ErrorCode) -> Response {
    let problem = Problem {
        code,
        title: code.title().into(),
        detail: code.title().into(),
        status: code.status(),
        request_id: "1".into(),
        extra: serde_json::Map::from_iter([("server_time".into(), "2027-01-01T00:00:00Z".into())]),
    };
    (StatusCode::from_u16(code.status()).unwrap(), axum::Json(problem)).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("{name} is missing")).to_str().unwrap()
}

impl Server {
    fn check(&self, headers: &HeaderMap) -> Result<(), Response> {
        assert_eq!(header(headers, "Tus-Resumable"), "1.0.0");
        if let Some(code) = self.faults.refuse {
            return Err(problem(code));
        }
        let ahead = self.faults.clock_ahead;
        let now = if ahead == 0 { chrono::Utc::now() } else { "2027-01-01T00:00:00Z".parse().unwrap() };
        let token = header(headers, "Authorization").strip_prefix("Bearer ").unwrap();
        verify(token, &self.public_key, self.cloud_id, now).map_err(|_| problem(ErrorCode::ClockSkewed))?;
        Ok(())
    }
}

async fn create(State(server): State<Shared>, headers: HeaderMap) -> Result<Response, Response> {
    let mut server = server.lock().unwrap();
    server.check(&headers)?;
    let pair = |pair: &str| {
        let (key, value) = pair.split_once(' ').unwrap();
        (key.to_owned(), String::from_utf8(STANDARD.decode(value).unwrap()).unwrap())
    };
    let metadata = header(&headers, "Upload-Metadata").split(',').map(pair).collect();
    let length = header(&headers, "Upload-Length").parse().unwrap();
    let id = ArchiveId::new();
    server.created += 1;
    server.uploads.insert(id, Upload { length, metadata, offset: 0, digest: Sha256::new() });
    Ok((StatusCode::CREATED, [("Location", format!("/api/v1/uploads/{id}"))]).into_response())
}

async fn ask(
    State(server): State<Shared>,
    axum::extract::Path(id): axum::extract::Path<ArchiveId>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let server = server.lock().unwrap();
    server.check(&headers)?;
    let upload = server.uploads.get(&id).ok_or_else(|| problem(ErrorCode::NotFound))?;
    let lengths = [("Upload-Offset", upload.offset), ("Upload-Length", upload.length)];
    Ok(lengths.map(|(name, value)| (name, value.to_string())).into_response())
}

async fn take(
    State(server): State<Shared>,
    axum::extract::Path(id): axum::extract::Path<ArchiveId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let mut server = server.lock().unwrap();
    server.check(&headers)?;
    assert!(body.len() <= 4 * MIB, "{} in a piece", body.len());
    assert_eq!(header(&headers, "Content-Type"), "application/offset+octet-stream");
    server.pieces += 1;
    server.received += body.len();
    if server.faults.forget_after.is_some_and(|after| server.pieces > after) {
        server.faults.forget_after = None;
        server.uploads.clear();
    }
    let mut body = body.to_vec();
    if server.faults.damage_every.is_some_and(|every| server.pieces % every == 1) {
        body[0] ^= 1;
    }
    let pieces = server.pieces;
    let lose = server.faults.lose_answer_after.is_some_and(|after| pieces > after);
    let upload = server.uploads.get_mut(&id).ok_or_else(|| problem(ErrorCode::NotFound))?;
    let offset: usize = header(&headers, "Upload-Offset").parse().unwrap();
    if offset != upload.offset {
        return Err(problem(ErrorCode::UploadOffsetMismatch));
    }
    if header(&headers, "Upload-Checksum") != format!("sha256 {}", STANDARD.encode(Sha256::digest(&body))) {
        return Err(problem(ErrorCode::UploadChecksumMismatch));
    }
    upload.digest.update(&body);
    upload.offset += body.len();
    if upload.offset == upload.length && server.faults.deny_whole {
        server.uploads.clear();
        return Err(problem(ErrorCode::UploadChecksumMismatch));
    }
    let upload = &server.uploads[&id];
    let offset = upload.offset.to_string();
    if lose {
        server.faults.lose_answer_after = None;
        return Err(StatusCode::BAD_GATEWAY.into_response());
    }
    Ok((StatusCode::NO_CONTENT, [("Upload-Offset", offset)]).into_response())
}

/// A server, a client of it, and a part to upload.
struct Scene {
    server: Shared,
    client: CloudClient,
    part: tempfile::NamedTempFile,
    sha256: String,
    job_id: JobId,
    locations: Vec<String>,
    progress: Vec<u64>,
}

impl Scene {
    /// With a line that is cut after each of these numbers of bytes, one connection after the other.
    async fn new(size: usize, faults: Faults, cuts: Vec<usize>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = DeviceKey::generate();
        let cloud_id = CloudId::new();
        let server = Arc::new(Mutex::new(Server {
            faults,
            cloud_id,
            public_key: key.public_key(),
            uploads: HashMap::new(),
            created: 0,
            pieces: 0,
            received: 0,
        }));
        let router = Router::new()
            .route("/api/v1/uploads", post(create))
            .route("/api/v1/uploads/{id}", head(ask).patch(take))
            .layer(DefaultBodyLimit::max(8 * MIB))
            .with_state(server.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let address = cut_line(address, cuts).await;
        let identity = key.into_identity(
            format!("http://{address}").parse().unwrap(),
            Enrolled {
                device_id: DeviceId::new(),
                cloud_id,
                pos_server_id: PosServerId::new(),
                outlet: "Riga Centrs".into(),
                time_zone: "Europe/Riga".into(),
            },
        );
        let mut part = tempfile::NamedTempFile::new().unwrap();
        let mut digest = Sha256::new();
        for start in (0..size).step_by(MIB) {
            let end = size.min(start + MIB);
            let content: Vec<u8> = (start..end).map(|n| (n * 31 + n / 997) as u8).collect();
            part.write_all(&content).unwrap();
            digest.update(&content);
        }
        let sha256 = hex(digest);
        let client = CloudClient::new(&identity, Transport::new(None, None).unwrap()).unwrap();
        Self {
            server,
            client,
            part,
            sha256,
            job_id: JobId::new(),
            locations: Vec::new(),
            progress: Vec::new(),
        }
    }

    async fn upload(
        &mut self,
        resume: Option<String>,
        cancel: CancellationToken,
    ) -> Result<ArchiveId, UploadError> {
        let part = PartUpload {
            job_id: self.job_id,
            part: 1,
            parts: 2,
            from: "2026-11-21T08:00:00Z".parse().unwrap(),
            to: "2026-11-21T09:00:00.5Z".parse().unwrap(),
            file: self.part.path(),
            sha256: &self.sha256,
        };
        let on_location = |location: &str| self.locations.push(location.to_owned());
        upload(&self.client, part, resume, on_location, |done| self.progress.push(done), cancel).await
    }

    /// Uploads and checks that what arrived is the part.
    async fn arrives(&mut self, resume: Option<String>) -> ArchiveId {
        let id = self.upload(resume, CancellationToken::new()).await.unwrap();
        let server = self.server.lock().unwrap();
        let upload = &server.uploads[&id];
        assert_eq!(hex(upload.digest.clone()), self.sha256, "the part arrived as it is");
        assert_eq!(self.progress.last(), Some(&(upload.length as u64)));
        for (key, value) in [
            ("job_id", self.job_id.to_string().as_str()),
            ("sha256", &self.sha256),
            ("from", "2026-11-21T08:00:00Z"),
            ("to", "2026-11-21T09:00:00.500Z"),
            ("part", "1"),
            ("parts", "2"),
        ] {
            assert_eq!(upload.metadata[key], value);
        }
        id
    }
}

fn hex(digest: Sha256) -> String {
    digest
        .finalize()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// A proxy whose connections break, one after the other, after so many bytes from the client; the rest hold.
async fn cut_line(server: SocketAddr, cuts: Vec<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.unwrap();
            tokio::spawn(carry(client, server, cuts.next()));
        }
    });
    address
}

async fn carry(mut client: TcpStream, mut server: TcpStream, cut: Option<usize>) {
    let Some(cut) = cut else {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = async {
        let mut left = cut;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = left.min(buffer.len());
            let Ok(read @ 1..) = from_client.read(&mut buffer[..most]).await else { break };
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
            left -= read;
        }
    };
    tokio::select! {
        () = there => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

#[tokio::test]
async fn a_part_arrives_in_pieces() {
    let mut scene = Scene::new(9 * MIB + 7, Faults::default(), Vec::new()).await;
    let id = scene.arrives(None).await;
    assert_eq!(scene.locations, [format!("/api/v1/uploads/{id}")]);
    assert_eq!(scene.progress, [4 * MIB as u64, 8 * MIB as u64, 9 * MIB as u64 + 7]);
    assert_eq!(scene.server.lock().unwrap().pieces, 3);
}

#[tokio::test]
async fn cut_connections_cost_at_most_a_piece_each() {
    let cuts: Vec<usize> = (0..12).map(|n| n * 700_001 + 100).collect();
    let mut scene = Scene::new(17 * MIB, Faults::default(), cuts).await;
    scene.arrives(None).await;
    let server = scene.server.lock().unwrap();
    assert!(
        server.received <= 17 * MIB + 4 * MIB,
        "whole pieces are sent again at most once: {}",
        server.received
    );
}

/// What quality promises of transfers under `npm run soak`, and a fortieth of it otherwise.
#[tokio::test]
async fn a_part_arrives_over_a_line_that_is_cut_and_damages_pieces() {
    let (size, cut_times, damage_every) =
        if std::env::var_os("TILLWATCH_SOAK").is_some() { (1024 * MIB, 100, 100) } else { (25 * MIB, 10, 7) };
    let cuts: Vec<usize> = (0..cut_times).map(|n| n * 7_700_003 % (9 * MIB) + 50).collect();
    let faults = Faults { damage_every: Some(damage_every), ..Faults::default() };
    let mut scene = Scene::new(size, faults, cuts).await;
    scene.arrives(None).await;
    let server = scene.server.lock().unwrap();
    assert_eq!(server.created, 1);
    let damaged = server.pieces / damage_every + 1;
    assert!(server.received <= size + damaged * 4 * MIB, "only what was damaged came twice as a whole");
    let (sent, damaged) = (server.received / MIB, server.pieces / damage_every);
    println!("counted: {cut_times} cuts, {damaged} pieces damaged, {sent} MiB sent for {} MiB", size / MIB);
}

#[tokio::test]
async fn damaged_pieces_are_sent_again() {
    let faults = Faults { damage_every: Some(3), ..Faults::default() };
    let mut scene = Scene::new(13 * MIB, faults, Vec::new()).await;
    scene.arrives(None).await;
    assert_eq!(scene.server.lock().unwrap().created, 1);
}

#[tokio::test]
async fn a_piece_whose_answer_was_lost_is_not_sent_again() {
    let faults = Faults { lose_answer_after: Some(1), ..Faults::default() };
    let mut scene = Scene::new(12 * MIB, faults, Vec::new()).await;
    scene.arrives(None).await;
    assert_eq!(scene.server.lock().unwrap().received, 12 * MIB);
}

#[tokio::test]
async fn a_forgotten_upload_starts_anew() {
    let faults = Faults { forget_after: Some(2), ..Faults::default() };
    let mut scene = Scene::new(12 * MIB, faults, Vec::new()).await;
    scene.arrives(None).await;
    assert_eq!((scene.locations.len(), scene.server.lock().unwrap().created), (2, 2));
}

#[tokio::test]
async fn a_whole_that_is_never_right_is_given_up() {
    let faults = Faults { deny_whole: true, ..Faults::default() };
    let mut scene = Scene::new(5 * MIB, faults, Vec::new()).await;
    let refused = scene.upload(None, CancellationToken::new()).await.unwrap_err();
    assert!(refused.code().is_none_or(|code| code == ErrorCode::UploadChecksumMismatch), "{refused}");
    assert!((2..=8).contains(&scene.server.lock().unwrap().created));
}

#[tokio::test]
async fn an_earlier_upload_goes_on_where_it_stopped() {
    let mut scene = Scene::new(12 * MIB, Faults::default(), Vec::new()).await;
    let cancel = CancellationToken::new();
    // Stops after the first piece, as a process does that is killed.
    let stop = cancel.clone();
    let part = PartUpload {
        job_id: scene.job_id,
        part: 1,
        parts: 2,
        from: "2026-11-21T08:00:00Z".parse().unwrap(),
        to: "2026-11-21T09:00:00.5Z".parse().unwrap(),
        file: scene.part.path(),
        sha256: &scene.sha256,
    };
    let mut location = None;
    let stopped = upload(
        &scene.client,
        part,
        None,
        |at| location = Some(at.to_owned()),
        move |_| stop.cancel(),
        cancel,
    )
    .await;
    assert!(matches!(stopped, Err(UploadError::Canceled)));
    scene.arrives(location).await;
    let server = scene.server.lock().unwrap();
    assert_eq!(server.created, 1);
    assert!(server.received <= 16 * MIB, "{}", server.received);
}

#[tokio::test]
async fn a_location_that_is_out_of_date_is_no_trouble() {
    let mut scene = Scene::new(MIB, Faults::default(), Vec::new()).await;
    scene.arrives(Some(format!("https://elsewhere.example/files/{}", ArchiveId::new()))).await;
    scene.arrives(Some("nonsense".into())).await;
    let location = scene.locations.last().cloned();
    scene.arrives(location).await;
    assert_eq!(scene.server.lock().unwrap().created, 2, "the last was complete already");
}

#[tokio::test]
async fn a_clock_that_is_off_is_learned() {
    let mut scene = Scene::new(5 * MIB, Faults { clock_ahead: 1, ..Faults::default() }, Vec::new()).await;
    scene.arrives(None).await;
}

#[tokio::test]
async fn a_refusal_for_good_tells_its_code() {
    for code in [
        ErrorCode::PermissionDenied,
        ErrorCode::CredentialsRevoked,
        ErrorCode::PayloadTooLarge,
        ErrorCode::JobEnded,
    ] {
        let mut scene = Scene::new(MIB, Faults { refuse: Some(code), ..Faults::default() }, Vec::new()).await;
        let refused = scene.upload(None, CancellationToken::new()).await.unwrap_err();
        assert_eq!(refused.code(), Some(code));
    }
}

#[tokio::test]
async fn cancel_ends_the_tries_and_a_missing_part_is_told() {
    let mut scene =
        Scene::new(MIB, Faults { refuse: Some(ErrorCode::Unavailable), ..Faults::default() }, Vec::new())
            .await;
    let cancel = CancellationToken::new();
    let server = scene.server.clone();
    let stop = cancel.clone();
    let (result, ()) = tokio::join!(scene.upload(None, cancel), async move {
        // Whatever it is at: waiting or asking.
        tokio::task::yield_now().await;
        drop(server);
        stop.cancel();
    });
    assert!(matches!(result, Err(UploadError::Canceled)));

    let part = PartUpload {
        job_id: scene.job_id,
        part: 1,
        parts: 1,
        from: chrono::Utc::now(),
        to: chrono::Utc::now(),
        file: Path::new("/nowhere/part.zip"),
        sha256: "",
    };
    let missing = upload(&scene.client, part, None, |_| {}, |_| {}, CancellationToken::new()).await;
    assert!(matches!(missing, Err(UploadError::File { .. })));
}
