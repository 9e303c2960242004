//! The fleet that an import adds: what is there is read first, what is new is written in large statements, so
//! that a hundred thousand lines hold up other writes for seconds and not for minutes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use tillwatch_protocol::fleet::Fault;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::admin::FleetLine;
use uuid::Uuid;

use super::entity::{chains, enrollment_codes, outlets, pos_servers};
use super::pos_server::{keep, texts};
use super::{StoreError, WriteTx, chain, device, outlet};
use crate::domain::permission::Reach;

/// How many rows or names one statement holds.
const CHUNK: usize = 500;

/// What is there of the chains that an import names.
#[derive(Debug, Default)]
pub(crate) struct Known {
    chains: HashMap<String, ChainId>,
    outlets: HashMap<(ChainId, String), (OutletId, outlet::Texts)>,
    pos_servers: HashSet<(OutletId, String)>,
}

/// Reads what is there of the chains of these lines.
pub(crate) async fn known<'a>(
    db: &impl ConnectionTrait,
    lines: impl Iterator<Item = &'a FleetLine>,
) -> Result<Known, StoreError> {
    let names: BTreeSet<&str> = lines.map(|line| line.chain.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut known = Known::default();
    for names in names.chunks(CHUNK) {
        let found =
            chains::Entity::find().filter(chains::Column::Name.is_in(names.iter().copied())).all(db).await?;
        for chain in found {
            let id = ChainId::from(chain.id);
            known.chains.insert(chain.name, id);
            for row in outlets::Entity::find().filter(outlets::Column::ChainId.eq(id.0)).all(db).await? {
                let texts = outlet::Texts {
                    name: row.name.clone(),
                    crm_id: row.crm_id,
                    address: row.address,
                    time_zone: row.time_zone,
                };
                known.outlets.insert((id, row.name), (row.id.into(), texts));
            }
            let taken: Vec<(Uuid, String)> = pos_servers::Entity::find()
                .select_only()
                .columns([pos_servers::Column::OutletId, pos_servers::Column::Name])
                .filter(pos_servers::Column::ChainId.eq(id.0))
                .into_tuple()
                .all(db)
                .await?;
            known.pos_servers.extend(taken.into_iter().map(|(outlet, name)| (outlet.into(), name)));
        }
    }
    Ok(known)
}

/// What an import will write.
pub(crate) struct Addition {
    chains: Vec<chains::ActiveModel>,
    outlets: Vec<outlets::ActiveModel>,
    pos_servers: Vec<pos_servers::ActiveModel>,
    codes: Vec<enrollment_codes::ActiveModel>,
    /// How many POS servers each chain gets.
    pub(crate) by_chain: BTreeMap<ChainId, u64>,
    revision: i64,
    now: DateTime<Utc>,
    code_expires_at: DateTime<Utc>,
}

impl Addition {
    /// Nothing yet. Everything will have one revision.
    pub(crate) async fn begin(
        tx: &mut WriteTx,
        now: DateTime<Utc>,
        code_expires_at: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            chains: Vec::new(),
            outlets: Vec::new(),
            pos_servers: Vec::new(),
            codes: Vec::new(),
            by_chain: BTreeMap::new(),
            revision: tx.next_revision().await?,
            now,
            code_expires_at,
        })
    }

    /// Adds a POS server with its code, and its chain and outlet where they are not there yet. Whoever does
    /// not administer everything adds to chains within reach only.
    pub(crate) fn add(
        &mut self,
        known: &mut Known,
        line: &FleetLine,
        code_hash: String,
        reach: Option<&Reach>,
    ) -> Result<PosServerId, Fault> {
        let chain_id = match known.chains.get(&line.chain) {
            Some(id) if reach.is_none_or(|reach| reach.holds(*id)) => *id,
            None if reach.is_none_or(Reach::is_everything) => {
                let id = ChainId::new();
                self.chains.push(chain::new_row(id, &line.chain, self.now));
                known.chains.insert(line.chain.clone(), id);
                id
            }
            _ => return Err(Fault::ChainUnknown { chain: line.chain.clone() }),
        };
        let texts = outlet::Texts {
            name: line.outlet.clone(),
            crm_id: line.crm_id.clone(),
            address: line.address.clone(),
            time_zone: line.time_zone.clone(),
        };
        let key = (chain_id, line.outlet.clone());
        let outlet_id = if let Some((id, there)) = known.outlets.get(&key) {
            if let Some(field) = difference(there, &texts) {
                return Err(Fault::OutletTaken { outlet: line.outlet.clone(), column: field.to_owned() });
            }
            *id
        } else {
            let id = OutletId::new();
            self.outlets.push(outlet::new_row(id, chain_id, &texts, self.now));
            known.outlets.insert(key, (id, texts));
            id
        };
        if !known.pos_servers.insert((outlet_id, line.pos_server.clone())) {
            return Err(Fault::PosServerTaken { pos_server: line.pos_server.clone() });
        }
        let id = PosServerId::new();
        let search = texts::search(
            &line.pos_server,
            &line.outlet,
            &line.chain,
            &line.crm_id,
            &line.address,
            &line.time_zone,
        );
        let place = (chain_id, outlet_id);
        self.pos_servers.push(keep::new_row(id, place, &line.pos_server, search, self.revision, self.now));
        self.codes.push(device::new_code(id, code_hash, self.now, self.code_expires_at));
        *self.by_chain.entry(chain_id).or_default() += 1;
        Ok(id)
    }

    /// Writes it.
    pub(crate) async fn write(self, tx: &WriteTx) -> Result<(), StoreError> {
        insert(tx, self.chains).await?;
        insert(tx, self.outlets).await?;
        insert(tx, self.pos_servers).await?;
        insert(tx, self.codes).await
    }
}

async fn insert<A>(tx: &WriteTx, rows: Vec<A>) -> Result<(), StoreError>
where
    A: ActiveModelTrait,
    <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
{
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<A> = rows.by_ref().take(CHUNK).collect();
        A::Entity::insert_many(chunk).exec_without_returning(&**tx).await?;
    }
    Ok(())
}

fn difference(there: &outlet::Texts, new: &outlet::Texts) -> Option<&'static str> {
    [
        ("crm_id", there.crm_id == new.crm_id),
        ("address", there.address == new.address),
        ("time_zone", there.time_zone == new.time_zone),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}
