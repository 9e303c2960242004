//! Archives come in by tus 1.0 (creation, checksum). Each piece becomes a blob of its own, and the offset of
//! the upload moves by a conditional write, so that an upload resumes where it stopped, on any node.

mod digests;

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::ArchiveId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use digests::Digests;
use digests::Running;

use crate::blobs::Blobs;
use crate::domain::audit::{Actor, Entry};
use crate::domain::job::upload_limit;
use crate::error::{ApiError, ApiResult};
use crate::http::device::Device;
use crate::http::extract::Path;
use crate::metrics;
use crate::state::AppState;
use crate::store;
use crate::store::entity::uploads;
use crate::store::upload::NewUpload;

/// The only version of tus that there is.
const TUS: HeaderValue = HeaderValue::from_static("1.0.0");
/// The largest piece, in bytes.
const MAX_PIECE_BYTES: usize = 8 * 1024 * 1024;
/// The most parts that the archives of a job come in.
const MAX_PARTS: u32 = 100_000;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(options, create)).routes(routes!(offset, append))
}

/// What this server speaks.
#[utoipa::path(
    options, path = "/uploads", operation_id = "get_upload_options", tag = "store", security(()),
    responses((status = 204, description = "In the headers", headers(
        ("Tus-Resumable" = String, description = "`1.0.0`"),
        ("Tus-Version" = String, description = "`1.0.0`"),
        ("Tus-Extension" = String, description = "`creation,checksum`"),
        ("Tus-Checksum-Algorithm" = String, description = "`sha256`"),
    )))
)]
async fn options() -> Response {
    let headers = [
        (TUS_RESUMABLE, TUS),
        (TUS_VERSION, TUS),
        (TUS_EXTENSION, HeaderValue::from_static("creation,checksum")),
        (TUS_ALGORITHM, HeaderValue::from_static("sha256")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Announces an archive of a job that has not ended.
#[utoipa::path(
    post, path = "/uploads", operation_id = "create_upload", tag = "store", security(("device" = [])),
    params(
        ("Tus-Resumable" = String, Header, pattern = "^1\\.0\\.0$", description = "`1.0.0`"),
        ("Upload-Length" = i64, Header, minimum = 1, description = "The size of the archive in bytes"),
        ("Upload-Metadata" = String, Header,
            description = "As tus has it, key and base64 each: `job_id`, `sha256`, `from`, `to`, `part`, `parts`"),
    ),
    responses((status = 201, description = "The upload is announced", headers(
        ("Location" = String, description = "Where its pieces go"),
        ("Tus-Resumable" = String, description = "`1.0.0`"),
    ))),
    extensions(("x-problems" = json!([
        ErrorCode::InvalidRequest, ErrorCode::NotFound, ErrorCode::JobEnded, ErrorCode::PayloadTooLarge,
        ErrorCode::UploadVersionUnsupported,
    ])))
)]
async fn create(State(state): State<AppState>, device: Device, headers: HeaderMap) -> ApiResult<Response> {
    demand_tus(&headers)?;
    let new = announced(&headers)?;
    let tx = state.store.write().await?;
    let job = store::job::find(&*tx, new.job_id)
        .await?
        .filter(|job| job.pos_server_id() == device.pos_server_id)
        .ok_or_else(ApiError::not_found)?;
    let limit = upload_limit(&job.spec).ok_or_else(ApiError::not_found)?;
    if job.state.is_terminal() {
        return Err(ApiError::new(ErrorCode::JobEnded, "Its archives are no longer taken."));
    }
    let Some(id) = store::upload::create(&*tx, device.pos_server_id, &new, limit, Utc::now()).await? else {
        let detail = format!("The archives of this job have at most {limit} bytes.");
        return Err(ApiError::new(ErrorCode::PayloadTooLarge, detail).with("max", limit.into()));
    };
    tx.commit().await?;
    let location = HeaderValue::try_from(format!("/api/v1/uploads/{id}")).map_err(ApiError::internal)?;
    Ok((StatusCode::CREATED, [(TUS_RESUMABLE, TUS), (LOCATION, location)]).into_response())
}

/// How far an upload is.
#[utoipa::path(
    head, path = "/uploads/{id}", operation_id = "get_upload_offset", tag = "store", security(("device" = [])),
    params(
        ("id" = ArchiveId, Path, description = "The upload, which is the archive's id"),
        ("Tus-Resumable" = String, Header, pattern = "^1\\.0\\.0$", description = "`1.0.0`"),
    ),
    responses((status = 200, description = "In the headers", headers(
        ("Upload-Offset" = i64, description = "How many bytes are there"),
        ("Upload-Length" = i64, description = "How many there will be"),
        ("Tus-Resumable" = String, description = "`1.0.0`"),
    ))),
    extensions(("x-problems" = json!([ErrorCode::UploadVersionUnsupported])))
)]
async fn offset(
    State(state): State<AppState>,
    device: Device,
    Path(id): Path<ArchiveId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    demand_tus(&headers)?;
    let db = state.store.read().await?;
    let upload = store::upload::find(&db, id, device.pos_server_id).await?.ok_or_else(ApiError::not_found)?;
    let headers =
        [(TUS_RESUMABLE, TUS), (UPLOAD_OFFSET, upload.offset.into()), (UPLOAD_LENGTH, upload.length.into())];
    Ok((StatusCode::OK, headers).into_response())
}

/// Takes the next piece.
#[utoipa::path(
    patch, path = "/uploads/{id}", operation_id = "append_to_upload", tag = "store", security(("device" = [])),
    params(
        ("id" = ArchiveId, Path, description = "The upload, which is the archive's id"),
        ("Tus-Resumable" = String, Header, pattern = "^1\\.0\\.0$", description = "`1.0.0`"),
        ("Upload-Offset" = i64, Header, minimum = 0, description = "How many bytes were sent before this piece"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha256` and the digest of the piece in base64"),
    ),
    request_body(content = String, content_type = "application/offset+octet-stream",
        description = "The next piece, at most 8 MiB"),
    responses((status = 204, description = "The piece is kept", headers(
        ("Upload-Offset" = i64, description = "How many bytes are there now"),
        ("Tus-Resumable" = String, description = "`1.0.0`"),
    ))),
    extensions(("x-problems" = json!([
        ErrorCode::UploadOffsetMismatch, ErrorCode::UploadChecksumMismatch, ErrorCode::UploadVersionUnsupported,
    ])))
)]
async fn append(
    State(state): State<AppState>,
    device: Device,
    Path(id): Path<ArchiveId>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    demand_tus(&headers)?;
    if headers.get(CONTENT_TYPE).is_none_or(|value| value != "application/offset+octet-stream") {
        let detail = "A piece comes as application/offset+octet-stream.";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, detail));
    }
    let offset = number(&headers, &UPLOAD_OFFSET)?;
    let checksum = checksum(&headers)?;
    let upload = {
        let db = state.store.read().await?;
        store::upload::find(&db, id, device.pos_server_id).await?.ok_or_else(ApiError::not_found)?
    };
    if upload.finished_at.is_some() || upload.offset.cast_unsigned() != offset {
        return Err(elsewhere(upload.offset));
    }
    let left = upload.length.cast_unsigned() - offset;
    let piece = piece(body, left).await?;
    if checksum.is_some_and(|expected| Sha256::digest(&piece)[..] != expected) {
        return Err(damaged("Send this piece again."));
    }
    let end = offset + piece.len() as u64;
    if !piece.is_empty() {
        take(&state, &upload, piece).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(TUS_RESUMABLE, TUS), (UPLOAD_OFFSET, end.into())]).into_response())
}

/// Reads a piece of at most so many bytes.
async fn piece(body: Body, left: u64) -> ApiResult<Bytes> {
    let max = left.min(MAX_PIECE_BYTES as u64);
    let mut piece = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::new(ErrorCode::MalformedBody, "The piece broke off, or came too slowly.")
        })?;
        if (piece.len() + chunk.len()) as u64 > max {
            let detail = format!("This piece has at most {max} bytes.");
            return Err(ApiError::new(ErrorCode::PayloadTooLarge, detail).with("max", max.into()));
        }
        piece.extend_from_slice(&chunk);
    }
    Ok(piece.into())
}

/// Writes a piece; with the last one the upload becomes an archive, or is thrown away when the whole is not
/// what was announced.
async fn take(state: &AppState, upload: &uploads::Model, piece: Bytes) -> ApiResult<()> {
    let length = piece.len() as i64;
    let whole = upload.offset + length == upload.length;
    let mut digest = digest_so_far(state, upload).await?;
    digest.add(&piece);
    if whole && digest.finish() != upload.sha256 {
        discard(state, upload).await?;
        return Err(damaged("The whole is not what was announced. Begin a new upload."));
    }
    if whole && !digest.is_zip() {
        discard(state, upload).await?;
        let detail = "An archive is a zip, and this does not begin as one.";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, detail));
    }
    // First the bytes, then the row that names them: a crash in between leaves bytes that nobody names, and
    // never a name without bytes.
    let blob = Blobs::new_name(upload.id);
    state.blobs.put(&blob, piece).await?;
    let now = Utc::now();
    let mut tx = match state.store.write().await {
        Ok(tx) => tx,
        Err(error) => {
            // Nobody will name them: the store sends the piece again. What can't be deleted now goes with the rest.
            let _ = state.blobs.delete(&blob).await;
            return Err(error.into());
        }
    };
    if !store::upload::advance(&*tx, upload.id, upload.offset, length, &blob).await? {
        drop(tx);
        state.blobs.delete(&blob).await?;
        return Err(elsewhere(upload.offset));
    }
    if whole {
        store::upload::finish(&*tx, upload, now).await?;
        let revision = tx.next_revision().await?;
        store::job::touch(&*tx, upload.job_id.into(), revision).await?;
        let id = upload.pos_server_id.into();
        let entry = Entry::new(now, Actor::Store(id), "archive.stored", format!("pos_server:{id}"))
            .with("archive_id", upload.id.to_string())
            .with("job_id", upload.job_id.to_string())
            .with("size_bytes", upload.length)
            .with("sha256", upload.sha256.as_str());
        store::audit::append(&tx, entry).await?;
    }
    tx.commit().await?;
    metrics::uploaded(length.cast_unsigned());
    if whole {
        metrics::archive_stored();
        state.digests.forget(upload.id);
    } else {
        state.digests.put(upload.id, digest);
    }
    Ok(())
}

/// SHA-256 of the bytes that are there. What this node has not seen, it reads.
async fn digest_so_far(state: &AppState, upload: &uploads::Model) -> ApiResult<Running> {
    let bytes = upload.offset.cast_unsigned();
    let mut digest = state.digests.get(upload.id, bytes);
    if digest.bytes == bytes {
        return Ok(digest);
    }
    let pieces = {
        let db = state.store.read().await?;
        store::upload::pieces(&db, upload.id).await?
    };
    for piece in pieces {
        let first = piece.offset.cast_unsigned();
        if first >= digest.bytes && first < bytes {
            digest.add(&state.blobs.get(&piece.blob, 0..piece.length.cast_unsigned()).await?);
        }
    }
    Ok(digest)
}

async fn discard(state: &AppState, upload: &uploads::Model) -> ApiResult<()> {
    let tx = state.store.write().await?;
    store::upload::discard(&*tx, upload.id).await?;
    tx.commit().await?;
    state.digests.forget(upload.id);
    state.blobs.delete_upload(upload.id).await?;
    Ok(())
}

fn demand_tus(headers: &HeaderMap) -> ApiResult<()> {
    if headers.get(TUS_RESUMABLE) == Some(&TUS) {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::UploadVersionUnsupported, "Name `Tus-Resumable: 1.0.0`."))
    }
}

fn damaged(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::UploadChecksumMismatch, detail)
}

fn elsewhere(offset: i64) -> ApiError {
    ApiError::new(ErrorCode::UploadOffsetMismatch, "Ask by HEAD where the upload goes on.")
        .with("offset", offset.into())
}

fn number(headers: &HeaderMap, name: &HeaderName) -> ApiResult<u64> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(|| ApiError::invalid_field(name.as_str(), "must be a whole number"))
}

/// The SHA-256 that a piece comes with, if it does.
fn checksum(headers: &HeaderMap) -> ApiResult<Option<[u8; 32]>> {
    let Some(value) = headers.get(UPLOAD_CHECKSUM) else { return Ok(None) };
    let read = |value: &HeaderValue| {
        let (algorithm, digest) = value.to_str().ok()?.split_once(' ')?;
        let digest = STANDARD.decode(digest.trim()).ok()?;
        (algorithm == "sha256").then(|| digest.try_into().ok()).flatten()
    };
    let refused =
        || ApiError::invalid_field(UPLOAD_CHECKSUM.as_str(), "must be `sha256` and a digest in base64");
    read(value).map(Some).ok_or_else(refused)
}

/// What the creation of an upload says about it.
fn announced(headers: &HeaderMap) -> ApiResult<NewUpload> {
    let length = number(headers, &UPLOAD_LENGTH)?;
    if length == 0 {
        return Err(ApiError::invalid_field(UPLOAD_LENGTH.as_str(), "must not be 0"));
    }
    let members = metadata(headers);
    let refused = |key: &str, message: &str| {
        ApiError::invalid_field(format!("{}.{key}", UPLOAD_METADATA.as_str()), message)
    };
    let get = |key: &str| members.get(key).map(String::as_str).ok_or_else(|| refused(key, "is missing"));
    let time = |key: &str| {
        let time = DateTime::parse_from_rfc3339(get(key)?);
        time.map(|time| time.to_utc()).map_err(|_| refused(key, "must be an RFC 3339 time"))
    };
    let sha256 = get("sha256")?;
    if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(refused("sha256", "must be 64 lower-case hexadecimal digits"));
    }
    let part: u32 = get("part")?.parse().map_err(|_| refused("part", "must be a number from 1"))?;
    let parts: u32 = get("parts")?.parse().map_err(|_| refused("parts", "must be a number from 1"))?;
    if part == 0 || part > parts || parts > MAX_PARTS {
        return Err(refused("part", "must be between 1 and parts"));
    }
    Ok(NewUpload {
        job_id: get("job_id")?.parse().map_err(|_| ApiError::not_found())?,
        length,
        sha256: sha256.to_owned(),
        from: time("from")?,
        to: time("to")?,
        part,
        parts,
    })
}

/// The members of `Upload-Metadata`: `key base64, key base64, …`. What can't be read is as if it were missing.
fn metadata(headers: &HeaderMap) -> HashMap<String, String> {
    let text = headers.get(UPLOAD_METADATA).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',')
        .filter_map(|pair| {
            let (key, value) = pair.trim().split_once(' ')?;
            let value = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
            Some((key.to_owned(), value))
        })
        .collect()
}
