//! Archives that are whole.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tillwatch_protocol::ids::ArchiveId;
use tillwatch_protocol::rest::archive::Archive;
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use crate::domain::permission::Viewer;
use crate::store::entity::{archives, pos_servers, upload_pieces};
use crate::store::{StoreError, pos_server, upload};

/// How many ids one statement names.
const CHUNK: usize = 500;

/// The archives of these jobs, the parts in order.
pub(crate) async fn of_jobs<C: ConnectionTrait>(
    conn: &C,
    jobs: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Archive>>, StoreError> {
    let mut archives: HashMap<Uuid, Vec<Archive>> = HashMap::new();
    for chunk in jobs.chunks(CHUNK) {
        let rows = archives::Entity::find()
            .filter(archives::Column::JobId.is_in(chunk.iter().copied()))
            .order_by_asc(archives::Column::Part)
            .order_by_asc(archives::Column::Id)
            .all(conn)
            .await?;
        for row in rows {
            archives.entry(row.job_id).or_default().push(Archive {
                id: row.id.into(),
                file_name: row.file_name,
                size_bytes: row.size_bytes.cast_unsigned(),
                sha256: row.sha256,
                from: row.from_at,
                to: row.to_at,
                expires_at: row.expires_at,
            });
        }
    }
    Ok(archives)
}

/// An archive whose POS server the viewer may see, and that POS server.
pub(crate) async fn find<C: ConnectionTrait>(
    conn: &C,
    viewer: Viewer,
    id: ArchiveId,
) -> Result<Option<(archives::Model, pos_servers::Model)>, StoreError> {
    let Some(archive) = archives::Entity::find_by_id(id.0).one(conn).await? else { return Ok(None) };
    let pos_server = pos_servers::Entity::find_by_id(archive.pos_server_id)
        .filter(pos_server::visible(viewer, Permission::OutletSetup))
        .one(conn)
        .await?;
    Ok(pos_server.map(|pos_server| (archive, pos_server)))
}

/// The pieces of an archive in order.
pub(crate) async fn pieces<C: ConnectionTrait>(
    conn: &C,
    id: ArchiveId,
) -> Result<Vec<upload_pieces::Model>, StoreError> {
    upload::pieces(conn, id.0).await
}

/// Archives whose time is over and whose bytes are still there.
pub(crate) async fn expired<C: ConnectionTrait>(
    conn: &C,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(archives::Entity::find()
        .select_only()
        .column(archives::Column::Id)
        .filter(archives::Column::ExpiresAt.lte(now))
        .filter(archives::Column::DeletedAt.is_null())
        .into_tuple()
        .all(conn)
        .await?)
}

/// Notes that the bytes of an archive are gone, and forgets its pieces.
pub(crate) async fn deleted<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    upload::forget_pieces(tx, id).await?;
    archives::Entity::update_many()
        .col_expr(archives::Column::DeletedAt, Expr::value(now))
        .filter(archives::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}
