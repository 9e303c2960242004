//! Archives go out: whole or a range, streamed from the pieces that they came in.

use std::ops::Range;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sea_orm::ConnectionTrait;
use serde_json::json;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ArchiveId, SessionId};
use tillwatch_protocol::rest::session::Permission;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::archive::{Selection, content_disposition, select};
use crate::domain::audit::{Actor, Entry};
use crate::domain::permission::Viewer;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Path};
use crate::state::AppState;
use crate::store;
use crate::store::entity::{archives, pos_servers, upload_pieces};

/// How much of an archive is in memory for one download.
const CHUNK_BYTES: u64 = 256 * 1024;
/// How often a download looks whether it may go on,
const CHECK: Duration = Duration::from_secs(1);
/// and after how many bytes at the latest.
const CHECK_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(content))
}

/// The bytes of a zip.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "a name for the document")]
struct Zip(Vec<u8>);

/// Downloads an archive: the zip, or a range of it.
#[utoipa::path(
    get, path = "/archives/{id}/content", operation_id = "download_archive", tag = "archives",
    params(
        ("id" = ArchiveId, Path, description = "The archive"),
        ("Range" = Option<String>, Header, description = "One range of bytes; anything else gives the whole", example = "bytes=0-1023"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` of the content that the range belongs to; of another content the whole is given"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that the client has"),
    ),
    responses(
        (status = 200, description = "The whole zip", body = Zip, content_type = "application/zip", headers(
            ("ETag" = String, description = "SHA-256 of the content, in quotes"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Content-Disposition" = String, description = "The name to save it by"),
        )),
        (status = 206, description = "The range that was asked for", body = Zip, content_type = "application/zip", headers(
            ("ETag" = String, description = "SHA-256 of the whole content, in quotes"),
            ("Content-Range" = String, description = "Which bytes these are, of how many"),
            ("Content-Disposition" = String, description = "The name to save it by"),
        )),
        (status = 304, description = "The client has it", headers(("ETag" = String, description = "SHA-256 of the content, in quotes"))),
        (status = 416, headers(("Content-Range" = String, description = "`bytes */` and the size"))),
    ),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::ArchiveExpired, ErrorCode::RangeNotSatisfiable])))
)]
async fn content(
    method: Method,
    State(state): State<AppState>,
    user: CurrentUser,
    Path(id): Path<ArchiveId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let db = state.store.read().await?;
    let (archive, pos_server) = allowed(&db, user.viewer(), id).await?;
    let etag = format!("\"{}\"", archive.sha256);
    let given = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let size = archive.size_bytes.cast_unsigned();
    // A range of another content than the client began with would be of no use to it.
    let range = given(RANGE).filter(|_| given(IF_RANGE).is_none_or(|tag| tag == etag));
    let selection = select(range, size);
    let common = [(ETAG, header(&etag)?), (ACCEPT_RANGES, HeaderValue::from_static("bytes"))];
    let unchanged = given(IF_NONE_MATCH)
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == "*" || tag.trim() == etag));
    if unchanged {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let (status, range) = match selection {
        Selection::Whole => (StatusCode::OK, 0..size),
        Selection::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Selection::Unsatisfiable => {
            let error =
                ApiError::new(ErrorCode::RangeNotSatisfiable, format!("The archive has {size} bytes."));
            return Ok(([(CONTENT_RANGE, header(&format!("bytes */{size}"))?)], error).into_response());
        }
    };
    let pieces = store::archive::pieces(&db, id).await?;
    drop(db);
    if method != Method::HEAD {
        let target = format!("pos_server:{}", pos_server.id);
        let entry = Entry::new(Utc::now(), Actor::User(user.user.id), "archive.downloaded", target)
            .with("archive_id", json!(id))
            .with("from_byte", range.start)
            .with("to_byte", range.end);
        // Written before the first byte leaves.
        let tx = state.store.write().await?;
        store::audit::append(&tx, entry).await?;
        tx.commit().await?;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(common);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CONTENT_DISPOSITION, header(&content_disposition(&archive.file_name))?);
    headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        headers.insert(CONTENT_RANGE, header(&text)?);
    }
    let download =
        Download { state, session: user.session_id, archive: id, looked_at: Instant::now(), since: 0 };
    *response.body_mut() = body(download, pieces, range).await?;
    Ok(response)
}

/// An archive that may be downloaded, and whose it is.
async fn allowed(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: ArchiveId,
) -> ApiResult<(archives::Model, pos_servers::Model)> {
    let (archive, pos_server) =
        store::archive::find(db, viewer, id).await?.ok_or_else(ApiError::not_found)?;
    let (chain, outlet) = (pos_server.chain_id.into(), pos_server.outlet_id.into());
    if !store::grant::may(db, viewer, Permission::RetrieveLogs, chain, outlet).await? {
        return Err(ApiError::new(ErrorCode::PermissionDenied, "This needs the permission retrieve_logs."));
    }
    if archive.deleted_at.is_some() || archive.expires_at <= Utc::now() {
        let detail = "Archives are kept for 7 days. Retrieve the logs again.";
        return Err(
            ApiError::new(ErrorCode::ArchiveExpired, detail).with("expires_at", json!(archive.expires_at))
        );
    }
    Ok((archive, pos_server))
}

/// A download under way.
struct Download {
    state: AppState,
    session: SessionId,
    archive: ArchiveId,
    /// When it was last looked whether it may go on,
    looked_at: Instant,
    /// and how many bytes left since.
    since: u64,
}

impl Download {
    /// Looks now and then whether the session goes on and its user still may have the archive: what began before
    /// a sign-out or the end of a grant must not go on for as long as a client cares to read slowly.
    async fn go_on(&mut self) -> ApiResult<()> {
        if self.looked_at.elapsed() < CHECK && self.since < CHECK_BYTES {
            return Ok(());
        }
        let db = self.state.store.read().await?;
        let user = store::session::user(&db, self.session, Utc::now()).await?;
        let user = user.ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "The session has ended."))?;
        let viewer = Viewer { user_id: user.id, admin: user.admin };
        allowed(&db, viewer, self.archive).await?;
        (self.looked_at, self.since) = (Instant::now(), 0);
        Ok(())
    }
}

fn header(text: &str) -> ApiResult<HeaderValue> {
    HeaderValue::try_from(text).map_err(ApiError::internal)
}

/// The bytes of this range, read from the pieces as the client takes them. The first are read before anything is
/// answered: when they can't be had, the client is told so.
async fn body(
    mut download: Download,
    pieces: Vec<upload_pieces::Model>,
    range: Range<u64>,
) -> ApiResult<Body> {
    let mut chunks = Box::pin(typed(async_stream::try_stream! {
        for piece in pieces {
            let first = piece.offset.cast_unsigned();
            let end = (first + piece.length.cast_unsigned()).min(range.end);
            let mut next = first.max(range.start);
            while next < end {
                let until = end.min(next + CHUNK_BYTES);
                download.go_on().await?;
                let part = next - first..until - first;
                let chunk = download.state.blobs.get(&piece.blob, part).await.inspect_err(|error| {
                    tracing::error!(%error, blob = piece.blob, "a piece of an archive can't be read");
                })?;
                download.since += until - next;
                next = until;
                yield chunk;
            }
        }
    }));
    let Some(first) = chunks.next().await.transpose()? else { return Ok(Body::empty()) };
    // It breaks off; the client learns why when it asks for the rest.
    let broken = |error: ApiError| std::io::Error::other(error.code().as_str());
    Ok(Body::from_stream(stream::iter([Ok(first)]).chain(chunks).map_err(broken)))
}

/// Says what the errors of the stream are, which the macro can't.
fn typed<S: Stream<Item = ApiResult<Bytes>>>(stream: S) -> S {
    stream
}
