//! What the loss of a link is put down to beyond what its own socket shows: many others that went at the same
//! time, or another connector with the same identity. A few statements for any number of losses.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Set};
use serde_json::{Value, json};
use tillwatch_protocol::ids::{BootId, ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::pos_server::{Evidence, LinkState, OfflineCause};
use uuid::Uuid;

use crate::domain::hindsight::Boots;
use crate::domain::outage::{self, LEAST, Loss, WINDOW, in_wave, waves};
use crate::domain::presence::{self, NOT_BACK, Presence};
use crate::store::entity::boots;
use crate::store::entity::pos_servers::{self, Column};
use crate::store::timeline::Following;
use crate::store::{StoreError, to_text};

/// How many ids one statement names.
const CHUNK: usize = 500;

/// A link whose end is about to be written.
pub(crate) struct Ending<'a> {
    /// Whose.
    pub id: PosServerId,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What its end says by itself; put right when more is known.
    pub presence: &'a mut Presence,
}

/// A store whose outage is put down to something else by now.
#[derive(Debug)]
pub(crate) struct Correction {
    /// Which.
    pub id: PosServerId,
    /// When it was lost.
    since: Option<DateTime<Utc>>,
    /// What is known by now.
    presence: Presence,
}

/// Puts right what the ends of sessions say, before they are written. Gives those written earlier that turn
/// out to be parts of the same.
pub(crate) async fn judge<C: ConnectionTrait>(
    tx: &C,
    mut endings: Vec<Ending<'_>>,
    now: DateTime<Utc>,
) -> Result<Vec<Correction>, StoreError> {
    use OfflineCause::{ConnectionLost, OutageNearby, Unknown};
    endings.retain(|ending| matches!(ending.presence.cause, Some(ConnectionLost | OutageNearby | Unknown)));
    if endings.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = endings.iter().map(|ending| ending.id.0).collect();
    let twice = used_twice(tx, &ids, now).await?;
    for ending in &mut endings {
        if let Some((boots, present)) = twice.get(&ending.id.0)
            && let Some(evidence) = boots.evidence(*present, now)
        {
            let evidence = presence::with_evidence(&ending.presence.evidence, evidence);
            *ending.presence =
                Presence::because(OfflineCause::DuplicateIdentity, boots.confidence(), evidence);
        }
    }
    endings.retain(|ending| matches!(ending.presence.cause, Some(ConnectionLost | OutageNearby)));
    match endings.iter().map(|ending| ending.at).max() {
        Some(latest) => in_common(tx, endings, latest).await,
        None => Ok(Vec::new()),
    }
}

/// What is to be put right of losses that are written: other nodes may have written parts of the same meanwhile.
pub(crate) async fn review<C: ConnectionTrait>(
    db: &C,
    now: DateTime<Utc>,
) -> Result<Vec<Correction>, StoreError> {
    in_common(db, Vec::new(), now).await
}

/// What losses of the last minute, and endings, have in common.
async fn in_common<C: ConnectionTrait>(
    tx: &C,
    endings: Vec<Ending<'_>>,
    now: DateTime<Utc>,
) -> Result<Vec<Correction>, StoreError> {
    let earlier = lost_since(tx, now - WINDOW).await?;
    if earlier.len() + endings.len() < LEAST {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = endings.iter().map(|ending| ending.id.0).collect();
    let places = places(tx, &ids).await?;
    let mut losses: Vec<Loss> = earlier.iter().map(|lost| lost.loss(now)).collect();
    losses.extend(endings.iter().filter_map(|ending| {
        let (chain, outlet) = *places.get(&ending.id.0)?;
        Some(Loss { id: ending.id, chain, outlet, at: ending.at })
    }));
    let lost: HashSet<OutletId> = losses.iter().map(|loss| loss.outlet).collect();
    let waves = waves(&losses, &online_besides(tx, &lost).await?, now);

    for ending in endings {
        if let Some(wave) = waves.get(&ending.id) {
            *ending.presence = in_wave(&ending.presence.evidence, *wave, now);
        }
    }
    let corrections = earlier.into_iter().filter_map(|lost| {
        let wave = *waves.get(&PosServerId(lost.id))?;
        let evidence = lost.evidence();
        outage::is_outgrown(&evidence, wave).then(|| Correction {
            id: PosServerId(lost.id),
            since: lost.link_since,
            presence: in_wave(&evidence, wave, now),
        })
    });
    Ok(corrections.collect())
}

/// Writes corrections, of outages that still last.
pub(crate) async fn correct<C: ConnectionTrait>(
    tx: &C,
    corrections: &[Correction],
    revision: i64,
) -> Result<(), StoreError> {
    for Correction { id, since, presence } in corrections {
        let row = pos_servers::ActiveModel {
            cause: Set(presence.cause.map(|cause| to_text(&cause))),
            confidence: Set(presence.confidence.map(|confidence| to_text(&confidence))),
            evidence: Set(json!(presence.evidence)),
            revision: Set(revision),
            ..Default::default()
        };
        pos_servers::Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(id.0))
            .filter(Column::LinkState.eq(to_text(&LinkState::Offline)))
            .filter(Column::LinkSince.eq(*since))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// A store whose link was lost a moment ago.
#[derive(Debug, FromQueryResult)]
struct Lost {
    id: Uuid,
    chain_id: Uuid,
    outlet_id: Uuid,
    link_since: Option<DateTime<Utc>>,
    evidence: Value,
}

impl Lost {
    fn evidence(&self) -> Vec<Evidence> {
        serde_json::from_value(self.evidence.clone()).unwrap_or_default()
    }

    fn loss(&self, now: DateTime<Utc>) -> Loss {
        Loss {
            id: self.id.into(),
            chain: self.chain_id.into(),
            outlet: self.outlet_id.into(),
            at: self.link_since.unwrap_or(now),
        }
    }
}

/// Stores that fell silent at `since` or later and are still away. Those that did not come back after the
/// cloud itself was away are none.
async fn lost_since<C: ConnectionTrait>(tx: &C, since: DateTime<Utc>) -> Result<Vec<Lost>, StoreError> {
    let causes = [OfflineCause::ConnectionLost, OfflineCause::OutageNearby];
    let mut lost = pos_servers::Entity::find()
        .select_only()
        .columns([Column::Id, Column::ChainId, Column::OutletId, Column::LinkSince, Column::Evidence])
        .filter(Column::LinkState.eq(to_text(&LinkState::Offline)))
        .filter(Column::LinkSince.gte(since))
        .filter(Column::Cause.is_in(causes.map(|cause| to_text(&cause))))
        .into_model::<Lost>()
        .all(tx)
        .await?;
    lost.retain(|lost| !lost.evidence().iter().any(|known| known.code == NOT_BACK));
    Ok(lost)
}

async fn places<C: ConnectionTrait>(
    tx: &C,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (ChainId, OutletId)>, StoreError> {
    let mut places = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let rows: Vec<(Uuid, Uuid, Uuid)> = pos_servers::Entity::find()
            .select_only()
            .columns([Column::Id, Column::ChainId, Column::OutletId])
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .into_tuple()
            .all(tx)
            .await?;
        places.extend(rows.into_iter().map(|(id, chain, outlet)| (id, (chain.into(), outlet.into()))));
    }
    Ok(places)
}

/// How many outlets of each chain are online, those lost aside.
async fn online_besides<C: ConnectionTrait>(
    tx: &C,
    lost: &HashSet<OutletId>,
) -> Result<HashMap<ChainId, usize>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = pos_servers::Entity::find()
        .select_only()
        .columns([Column::ChainId, Column::OutletId])
        .filter(Column::LinkState.eq(to_text(&LinkState::Online)))
        .distinct()
        .into_tuple()
        .all(tx)
        .await?;
    let mut online = HashMap::new();
    for (chain, _) in rows.into_iter().filter(|(_, outlet)| !lost.contains(&OutletId(*outlet))) {
        *online.entry(ChainId(chain)).or_default() += 1;
    }
    Ok(online)
}

/// Of these stores those whose identity is used by two boots, with the boot that was connected last.
async fn used_twice<C: ConnectionTrait>(
    tx: &C,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, (Boots, BootId)>, StoreError> {
    let mut twice = HashMap::new();
    for chunk in ids.chunks(CHUNK) {
        let rows = boots::Entity::find()
            .filter(boots::Column::PosServerId.is_in(chunk.iter().copied()))
            .filter(boots::Column::ReturnedAt.is_not_null())
            .all(tx)
            .await?;
        for row in rows {
            let boots = boots_of(&row);
            let store = pos_servers::Entity::find_by_id(row.pos_server_id).one(tx).await?;
            if boots.is_fresh(now)
                && let Some(present) = store.and_then(|store| store.boot_id)
            {
                twice.insert(row.pos_server_id, (boots, BootId(present)));
            }
        }
    }
    Ok(twice)
}

fn boots_of(row: &boots::Model) -> Boots {
    Boots {
        replaced: row.replaced_boot_id.map(BootId),
        returns: row.returns.try_into().unwrap_or(0),
        returned_at: row.returned_at,
    }
}

/// What is known of stores' boots.
pub(crate) async fn known_boots<C: ConnectionTrait>(
    tx: &C,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, boots::Model>, StoreError> {
    let rows = boots::Entity::find().filter(boots::Column::PosServerId.is_in(ids)).all(tx).await?;
    Ok(rows.into_iter().map(|row| (row.pos_server_id, row)).collect())
}

/// Notes that one boot follows another, and gives what that shows. `known` is what was known of the store's before.
pub(crate) async fn follow_boots<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    present: Option<Uuid>,
    next: BootId,
    known: Option<&boots::Model>,
    now: DateTime<Utc>,
) -> Result<Boots, StoreError> {
    let Some(present) = present.map(BootId) else { return Ok(Boots::default()) };
    let before = known.map(boots_of).unwrap_or_default();
    let after = before.follow(present, next, now);
    if after == before {
        return Ok(after);
    }
    let row = boots::ActiveModel {
        pos_server_id: Set(id.0),
        replaced_boot_id: Set(after.replaced.map(|boot| boot.0)),
        returns: Set(after.returns.into()),
        returned_at: Set(after.returned_at),
    };
    if known.is_some() {
        boots::Entity::update(row).exec(tx).await?;
    } else {
        boots::Entity::insert(row).exec_without_returning(tx).await?;
    }
    Ok(after)
}

/// Causes that only the passing of time puts right.
#[derive(Debug, Default)]
pub(crate) struct Outdated {
    /// Stores that were heard over HTTPS and are no longer.
    silent: Vec<Correction>,
    /// Stores with an identity of which nothing says any more that two use it.
    used_once: Vec<PosServerId>,
}

/// Finds stores that were heard over HTTPS until `heard_before` and not since, and those of which no replaced
/// boot came back since `returned_before`.
pub(crate) async fn outdated<C: ConnectionTrait>(
    db: &C,
    heard_before: DateTime<Utc>,
    returned_before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Outdated, StoreError> {
    let blocked = pos_servers::Entity::find()
        .select_only()
        .columns([Column::Id, Column::ChainId, Column::OutletId, Column::LinkSince, Column::Evidence])
        .filter(Column::LinkState.eq(to_text(&LinkState::Offline)))
        .filter(Column::Cause.eq(to_text(&OfflineCause::WebsocketBlocked)))
        .filter(Column::LastSeenAt.lt(heard_before))
        .into_model::<Lost>()
        .all(db)
        .await?;
    let silent = blocked.into_iter().map(|lost| Correction {
        id: lost.id.into(),
        since: lost.link_since,
        presence: presence::fell_silent_over_https(&lost.evidence(), now),
    });
    let used_once: Vec<Uuid> = boots::Entity::find()
        .select_only()
        .column(boots::Column::PosServerId)
        .filter(boots::Column::ReturnedAt.lt(returned_before))
        .into_tuple()
        .all(db)
        .await?;
    Ok(Outdated { silent: silent.collect(), used_once: used_once.into_iter().map(PosServerId).collect() })
}

impl Outdated {
    /// Whether all is right.
    pub(crate) fn is_empty(&self) -> bool {
        self.silent.is_empty() && self.used_once.is_empty()
    }

    /// Puts it right.
    pub(crate) async fn write<C: ConnectionTrait>(
        &self,
        tx: &C,
        now: DateTime<Utc>,
        revision: i64,
    ) -> Result<(), StoreError> {
        let ids = self.silent.iter().map(|correction| correction.id).collect();
        let following = Following::begin(tx, ids).await?;
        correct(tx, &self.silent, revision).await?;
        for chunk in self.used_once.chunks(CHUNK) {
            let ids: Vec<Uuid> = chunk.iter().map(|id| id.0).collect();
            boots::Entity::update_many()
                .col_expr(boots::Column::ReturnedAt, Expr::value(None::<DateTime<Utc>>))
                .col_expr(boots::Column::Returns, Expr::value(0_i64))
                .filter(boots::Column::PosServerId.is_in(ids.clone()))
                .exec(tx)
                .await?;
            pos_servers::Entity::update_many()
                .col_expr(Column::Evidence, Expr::value(json!([])))
                .col_expr(Column::Revision, Expr::value(revision))
                .filter(Column::Id.is_in(ids))
                .filter(Column::LinkState.eq(to_text(&LinkState::Online)))
                .exec(tx)
                .await?;
        }
        following.end(tx, now).await
    }
}
