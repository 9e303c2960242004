//! Archives on their way. The offset of an upload moves by a conditional write, together with the piece that
//! moved it, so that any node can take the next piece.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Set,
};
use tillwatch_protocol::ids::{ArchiveId, JobId, PosServerId};
use uuid::Uuid;

use crate::domain::archive;
use crate::store::StoreError;
use crate::store::entity::{archives, outlets, pos_servers, upload_pieces, uploads};

/// An upload as its creation announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewUpload {
    /// The job that it belongs to.
    pub job_id: JobId,
    /// How long it will be, in bytes.
    pub length: u64,
    /// SHA-256 of the whole, in lower-case hexadecimal.
    pub sha256: String,
    /// Start of the period it was made for.
    pub from: DateTime<Utc>,
    /// End of that period.
    pub to: DateTime<Utc>,
    /// Which part it is, from 1.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
}

/// Begins an upload; nothing when the job's uploads would be larger than `limit` altogether.
pub(crate) async fn create<C: ConnectionTrait>(
    tx: &C,
    pos_server: PosServerId,
    new: &NewUpload,
    limit: u64,
    now: DateTime<Utc>,
) -> Result<Option<ArchiveId>, StoreError> {
    let lengths: Vec<i64> = uploads::Entity::find()
        .select_only()
        .column(uploads::Column::Length)
        .filter(uploads::Column::JobId.eq(new.job_id.0))
        .into_tuple()
        .all(tx)
        .await?;
    let announced: u64 = lengths.into_iter().map(i64::cast_unsigned).sum();
    if announced.saturating_add(new.length) > limit {
        return Ok(None);
    }
    let id = ArchiveId::new();
    let row = uploads::ActiveModel {
        id: Set(id.0),
        job_id: Set(new.job_id.0),
        pos_server_id: Set(pos_server.0),
        length: Set(new.length.cast_signed()),
        offset: Set(0),
        sha256: Set(new.sha256.clone()),
        from_at: Set(new.from),
        to_at: Set(new.to),
        part: Set(new.part.cast_signed()),
        parts: Set(new.parts.cast_signed()),
        created_at: Set(now),
        finished_at: Set(None),
    };
    row.insert(tx).await?;
    Ok(Some(id))
}

/// An upload of this POS server.
pub(crate) async fn find<C: ConnectionTrait>(
    conn: &C,
    id: ArchiveId,
    pos_server: PosServerId,
) -> Result<Option<uploads::Model>, StoreError> {
    Ok(uploads::Entity::find_by_id(id.0)
        .filter(uploads::Column::PosServerId.eq(pos_server.0))
        .one(conn)
        .await?)
}

/// Adds a piece that begins at `offset`. Not done when the upload stands elsewhere by now.
pub(crate) async fn advance<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    offset: i64,
    length: i64,
    blob: &str,
) -> Result<bool, StoreError> {
    let moved = uploads::Entity::update_many()
        .col_expr(uploads::Column::Offset, Expr::col(uploads::Column::Offset).add(length))
        .filter(uploads::Column::Id.eq(id))
        .filter(uploads::Column::Offset.eq(offset))
        .filter(uploads::Column::FinishedAt.is_null())
        .exec(tx)
        .await?;
    if moved.rows_affected != 1 {
        return Ok(false);
    }
    let piece = upload_pieces::ActiveModel {
        upload_id: Set(id),
        offset: Set(offset),
        length: Set(length),
        blob: Set(blob.to_owned()),
    };
    piece.insert(tx).await?;
    Ok(true)
}

/// Makes an archive of an upload that is whole.
pub(crate) async fn finish<C: ConnectionTrait>(
    tx: &C,
    upload: &uploads::Model,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let pos_server = pos_servers::Entity::find_by_id(upload.pos_server_id).one(tx).await?;
    let outlet = match pos_server {
        Some(pos_server) => outlets::Entity::find_by_id(pos_server.outlet_id).one(tx).await?,
        None => None,
    };
    let name = outlet.map(|outlet| outlet.name).unwrap_or_default();
    let (part, parts) = (upload.part.cast_unsigned(), upload.parts.cast_unsigned());
    uploads::Entity::update_many()
        .col_expr(uploads::Column::FinishedAt, Expr::value(now))
        .filter(uploads::Column::Id.eq(upload.id))
        .exec(tx)
        .await?;
    let row = archives::ActiveModel {
        id: Set(upload.id),
        job_id: Set(upload.job_id),
        pos_server_id: Set(upload.pos_server_id),
        file_name: Set(archive::file_name(&name, upload.from_at, upload.to_at, part, parts)),
        size_bytes: Set(upload.length),
        sha256: Set(upload.sha256.clone()),
        from_at: Set(upload.from_at),
        to_at: Set(upload.to_at),
        part: Set(upload.part),
        created_at: Set(now),
        expires_at: Set(now + archive::KEPT),
        deleted_at: Set(None),
    };
    row.insert(tx).await?;
    Ok(())
}

/// The pieces of an upload in order.
pub(crate) async fn pieces<C: ConnectionTrait>(
    conn: &C,
    id: Uuid,
) -> Result<Vec<upload_pieces::Model>, StoreError> {
    Ok(upload_pieces::Entity::find()
        .filter(upload_pieces::Column::UploadId.eq(id))
        .order_by_asc(upload_pieces::Column::Offset)
        .all(conn)
        .await?)
}

/// Forgets the pieces of an upload; their blobs are deleted before.
pub(super) async fn forget_pieces<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<(), StoreError> {
    upload_pieces::Entity::delete_many().filter(upload_pieces::Column::UploadId.eq(id)).exec(tx).await?;
    Ok(())
}

/// Forgets an upload that is not finished, with its pieces.
pub(crate) async fn discard<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<(), StoreError> {
    let gone = uploads::Entity::delete_many()
        .filter(uploads::Column::Id.eq(id))
        .filter(uploads::Column::FinishedAt.is_null())
        .exec(tx)
        .await?;
    if gone.rows_affected == 1 {
        forget_pieces(tx, id).await?;
    }
    Ok(())
}

/// Uploads that began before this time, or whose POS server is gone, and that never became whole.
pub(crate) async fn abandoned<C: ConnectionTrait>(
    conn: &C,
    before: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let there = pos_servers::Entity::find().select_only().column(pos_servers::Column::Id).into_query();
    Ok(uploads::Entity::find()
        .select_only()
        .column(uploads::Column::Id)
        .filter(uploads::Column::CreatedAt.lt(before).or(uploads::Column::PosServerId.not_in_subquery(there)))
        .filter(uploads::Column::FinishedAt.is_null())
        .into_tuple()
        .all(conn)
        .await?)
}
