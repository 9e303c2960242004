//! What stores tell of themselves: links, reports, signs of life. Each write names the session epoch that it
//! belongs to, so that what an old session still says never overwrites what a newer one said.

mod begin;
#[cfg(test)]
mod fencing;
mod listed;
mod reports;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, Value};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Set,
};
use serde_json::json;
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::pos_server::{Link, LinkState, OfflineCause, PosState};
use uuid::Uuid;

use crate::domain::pos_server::version_key;
use crate::domain::presence::{self, Presence};
use crate::store::entity::{nodes, pos_servers};
use crate::store::timeline::Following;
use crate::store::{StoreError, from_text, to_text};

pub(crate) use begin::{Arrival, Begun, begin};
pub(crate) use reports::{Told, reports};

/// The longest text of a store's that is kept as it came, in characters.
const MAX_TEXT: usize = 2000;
/// The longest code or version of a store's, in characters.
const MAX_WORD: usize = 64;
/// How many ids one statement names.
const CHUNK: usize = 500;

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending<'a> {
    /// Whose.
    pub id: PosServerId,
    /// Which session.
    pub epoch: i64,
    /// What the link is since.
    pub presence: &'a Presence,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// When the connector was last heard.
    pub heard_at: DateTime<Utc>,
}

/// Writes how sessions of different stores ended, but for those that newer ones have followed.
pub(crate) async fn end<C: ConnectionTrait>(
    tx: &C,
    endings: &[Ending<'_>],
    revision: i64,
) -> Result<(), StoreError> {
    use pos_servers::Column;
    let columns = [
        Column::LinkState,
        Column::Cause,
        Column::Confidence,
        Column::Evidence,
        Column::LinkSince,
        Column::LastSeenAt,
    ];
    let row = |&Ending { id, epoch, presence, at, heard_at }: &Ending<'_>| {
        listed::row(id, epoch, link_values(presence).into_iter().chain([at.into(), heard_at.into()]))
    };
    let rows = endings.iter().map(row).collect();
    listed::update(tx, rows, (&[], &columns), revision, |update| {
        update
            .value(Column::NodeId, None::<Uuid>)
            // Nobody is there to ask it.
            .value(Column::PosState, to_text(&PosState::Unknown))
            .and_where(Expr::col((pos_servers::Entity, Column::LinkState)).eq(to_text(&LinkState::Online)));
    })
    .await?;
    Ok(())
}

/// Writes that the identity of a POS server was revoked, where it is not here to be told. The end of a link
/// that is up says so by itself.
pub(crate) async fn revoked<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    let Some(presence) = presence::after(&presence::End::Revoked, now) else { return Ok(()) };
    let following = Following::begin(tx, vec![id]).await?;
    let mut row = link_columns(&presence);
    row.revision = Set(revision);
    pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::LinkState.eq(to_text(&LinkState::Offline)))
        .exec(tx)
        .await?;
    following.end(tx, now).await
}

/// Of these stores those whose POS server is in another state once [`alive`] is written.
pub(crate) async fn changed_by_alive<C: ConnectionTrait>(
    tx: &C,
    ids: &[PosServerId],
    pos_answers: bool,
) -> Result<Vec<PosServerId>, StoreError> {
    let as_told =
        if pos_answers { vec![PosState::Running] } else { vec![PosState::NotResponding, PosState::Stopped] };
    let mut changed = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let ids: Vec<Uuid> = pos_servers::Entity::find()
            .select_only()
            .column(pos_servers::Column::Id)
            .filter(pos_servers::Column::Id.is_in(chunk.iter().map(|id| id.0)))
            .filter(pos_servers::Column::PosState.is_not_in(as_told.iter().map(to_text)))
            .into_tuple()
            .all(tx)
            .await?;
        changed.extend(ids.into_iter().map(PosServerId));
    }
    Ok(changed)
}

/// Writes signs of life: of stores whose POS server answers, or of such where it does not.
pub(crate) async fn alive<C: ConnectionTrait>(
    tx: &C,
    ids: &[PosServerId],
    pos_answers: bool,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    for chunk in ids.chunks(CHUNK) {
        let ids: Vec<Uuid> = chunk.iter().map(|id| id.0).collect();
        let mut row = pos_servers::ActiveModel {
            last_seen_at: Set(Some(now)),
            revision: Set(revision),
            ..Default::default()
        };
        if pos_answers {
            row.last_report_at = Set(Some(now));
            row.pos_state = Set(to_text(&PosState::Running));
        }
        let online = pos_servers::Column::LinkState.eq(to_text(&LinkState::Online));
        pos_servers::Entity::update_many()
            .set(row)
            .filter(pos_servers::Column::Id.is_in(ids.clone()))
            .filter(online.clone())
            .exec(tx)
            .await?;
        if !pos_answers {
            // One that is known to be stopped stays so: that says more.
            pos_servers::Entity::update_many()
                .col_expr(pos_servers::Column::PosState, Expr::value(to_text(&PosState::NotResponding)))
                .filter(pos_servers::Column::Id.is_in(ids))
                .filter(online)
                .filter(pos_servers::Column::PosState.ne(to_text(&PosState::Stopped)))
                .exec(tx)
                .await?;
        }
    }
    Ok(())
}

/// What was online on a node that is no more is unknown until it comes back.
pub(crate) async fn forget_online<C: ConnectionTrait>(
    tx: &C,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64, StoreError> {
    let alive = nodes::Entity::find().select_only().column(nodes::Column::Id).into_query();
    let held_by_nobody = Condition::any()
        .add(pos_servers::Column::NodeId.is_null())
        .add(pos_servers::Column::NodeId.not_in_subquery(alive));
    let gone = Condition::all()
        .add(pos_servers::Column::LinkState.eq(to_text(&LinkState::Online)))
        .add(held_by_nobody);
    change_all(tx, gone, &Presence::unknown(), now, revision).await
}

/// Whether stores have been unknown since this time or longer.
pub(crate) async fn has_unknown<C: ConnectionTrait>(
    conn: &C,
    since: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let one: Option<Uuid> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(unknown_since(since))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(one.is_some())
}

/// Stores that had time to come back, as they have been unknown since then or longer, are offline.
pub(crate) async fn give_up_unknown<C: ConnectionTrait>(
    tx: &C,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64, StoreError> {
    change_all(tx, unknown_since(since), &Presence::not_back_after_restart(now), now, revision).await
}

fn unknown_since(since: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(pos_servers::Column::LinkState.eq(to_text(&LinkState::Unknown)))
        .add(pos_servers::Column::LinkSince.lte(since))
}

async fn change_all<C: ConnectionTrait>(
    tx: &C,
    which: Condition,
    presence: &Presence,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(which.clone())
        .into_tuple()
        .all(tx)
        .await?;
    let count = ids.len() as u64;
    let following = Following::begin(tx, ids.into_iter().map(PosServerId).collect()).await?;
    let mut row = link_columns(presence);
    row.node_id = Set(None);
    row.link_since = Set(Some(now));
    row.pos_state = Set(to_text(&PosState::Unknown));
    row.revision = Set(revision);
    pos_servers::Entity::update_many().set(row).filter(which).exec(tx).await?;
    following.end(tx, now).await?;
    Ok(count)
}

/// The sessions that a node holds, with their epochs.
pub(crate) async fn held_by<C: ConnectionTrait>(
    conn: &C,
    node: Uuid,
) -> Result<HashMap<PosServerId, i64>, StoreError> {
    let rows: Vec<(Uuid, i64)> = pos_servers::Entity::find()
        .select_only()
        .columns([pos_servers::Column::Id, pos_servers::Column::SessionEpoch])
        .filter(pos_servers::Column::NodeId.eq(node))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, epoch)| (id.into(), epoch)).collect())
}

/// The node that holds a POS server's session.
pub(crate) async fn node_of<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Option<Uuid>, StoreError> {
    let row = pos_servers::Entity::find_by_id(id.0).one(conn).await?;
    Ok(row.and_then(|row| row.node_id))
}

/// The epoch of a POS server's last session; none when the POS server is gone.
pub(crate) async fn newest_epoch<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Option<i64>, StoreError> {
    let row = pos_servers::Entity::find_by_id(id.0).one(conn).await?;
    Ok(row.map(|row| row.session_epoch))
}

/// Writes that a store was heard over HTTPS. A link that is down all the same is probably blocked.
pub(crate) async fn heartbeat<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    connector_version: &str,
    pos_answers: bool,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    let Some(before) = pos_servers::Entity::find_by_id(id.0).one(tx).await? else { return Ok(()) };
    let connector_version = clip(connector_version, MAX_WORD);
    let mut row = pos_servers::ActiveModel {
        last_seen_at: Set(Some(now)),
        connector_version_key: Set(version_key(&connector_version)),
        connector_version: Set(Some(connector_version)),
        revision: Set(revision),
        ..Default::default()
    };
    let known = [OfflineCause::VersionUnsupported, OfflineCause::CredentialsRevoked]
        .map(|cause| Some(to_text(&cause)));
    let never = before.link_state == to_text(&LinkState::NeverConnected);
    if never || before.link_state == to_text(&LinkState::Offline) {
        // What can't be read any more is not worth more than what is heard now.
        let evidence: Vec<_> = serde_json::from_value(before.evidence).unwrap_or_default();
        let blocked = presence::is_blocked(before.link_since, &evidence, now);
        let params = json!({ "pos_answers": pos_answers });
        let heard = presence::evidence(presence::HTTPS_HEARTBEAT, now, params);
        row.evidence = Set(json!(presence::with_evidence(&evidence, heard)));
        if blocked && !known.contains(&before.cause) {
            let blocked = Presence::websocket_blocked();
            if never {
                row.link_state = Set(to_text(&blocked.state));
                row.link_since = Set(Some(now));
            }
            row.cause = Set(blocked.cause.map(|word| to_text(&word)));
            row.confidence = Set(blocked.confidence.map(|word| to_text(&word)));
        }
    }
    pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::SessionEpoch.eq(before.session_epoch))
        .exec(tx)
        .await?;
    Ok(())
}

/// The link of a POS server as REST tells it.
pub(crate) fn link(row: &pos_servers::Model) -> Result<Link, StoreError> {
    Ok(Link {
        state: from_text(&row.link_state)?,
        since: row.link_since,
        last_seen_at: row.last_seen_at,
        connector_version: row.connector_version.clone(),
        cause: row.cause.as_deref().map(from_text).transpose()?,
        confidence: row.confidence.as_deref().map(from_text).transpose()?,
        evidence: serde_json::from_value(row.evidence.clone())
            .map_err(|_| StoreError::Damaged(format!("evidence of {}", row.id)))?,
    })
}

fn link_columns(presence: &Presence) -> pos_servers::ActiveModel {
    pos_servers::ActiveModel {
        link_state: Set(to_text(&presence.state)),
        cause: Set(presence.cause.map(|word| to_text(&word))),
        confidence: Set(presence.confidence.map(|word| to_text(&word))),
        evidence: Set(json!(presence.evidence)),
        ..Default::default()
    }
}

/// What a presence says for the state of a link, its cause, how sure that is, and what speaks for it.
fn link_values(presence: &Presence) -> [Value; 4] {
    [
        to_text(&presence.state).into(),
        presence.cause.map(|word| to_text(&word)).into(),
        presence.confidence.map(|word| to_text(&word)).into(),
        json!(presence.evidence).into(),
    ]
}

fn clip(text: &str, max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max).collect()
}
