//! Which rows match: the same as the filters of `GET /pos-servers`, and the tiles besides.

use chrono::{DateTime, TimeDelta, Utc};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::time::parse_duration;
use uuid::Uuid;

use super::entry::{Entry, fold};
use super::order::Order;
use crate::error::AppError;
use crate::ipc::{GridQuery, Highlight, LinkState, Only, PosState};

/// What was asked of the rows, made ready.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Query {
    chain_id: Option<Uuid>,
    outlet_id: Option<Uuid>,
    within: Option<TimeDelta>,
    problems_only: bool,
    words: Vec<String>,
    only: Option<Only>,
    pub(super) order: Order,
}

impl Query {
    /// Fails with `invalid_request` when an id or the duration is none.
    pub(super) fn new(query: &GridQuery) -> Result<Self, AppError> {
        let id = |text: &Option<String>, field: &str| {
            text.as_deref()
                .map(|text| text.parse::<Uuid>().map_err(|error| invalid(field, &error)))
                .transpose()
        };
        let within = |text: &str| {
            let duration = parse_duration(text).map_err(|error| invalid("within", &error))?;
            TimeDelta::from_std(duration).map_err(|error| invalid("within", &error))
        };
        Ok(Self {
            chain_id: id(&query.chain_id, "chain_id")?,
            outlet_id: id(&query.outlet_id, "outlet_id")?,
            within: query.within.as_deref().map(within).transpose()?,
            problems_only: query.problems_only,
            words: fold(&query.search).split_whitespace().map(ToOwned::to_owned).collect(),
            only: query.only,
            order: Order::new(&query.sort),
        })
    }

    /// The earliest last report that matches; none if any does.
    pub(super) fn reported_since(&self, as_of: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.within.map(|within| as_of - within)
    }

    pub(super) fn matches(&self, entry: &Entry, reported_since: Option<DateTime<Utc>>) -> bool {
        self.chain_id.is_none_or(|id| entry.chain_id == id)
            && self.outlet_id.is_none_or(|id| entry.outlet_id == id)
            && reported_since.is_none_or(|since| entry.last_report_at.is_some_and(|at| at >= since))
            && !(self.problems_only && is_well(entry))
            && self.only.is_none_or(|only| is_counted(entry, only))
            && self.words.iter().all(|word| entry.folded().contains(word.as_str()))
    }
}

/// Whether a tile counts the row.
pub(super) fn is_counted(entry: &Entry, tile: Only) -> bool {
    match tile {
        Only::Error => entry.highlight == Highlight::Error,
        Only::UpdateRequired => entry.update_required,
        Only::Offline => entry.link_state == LinkState::Offline,
        Only::Unknown => entry.link_state == LinkState::Unknown,
    }
}

fn is_well(entry: &Entry) -> bool {
    entry.highlight == Highlight::None
        && entry.link_state == LinkState::Online
        && entry.pos_state == PosState::Running
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> AppError {
    AppError::from(ErrorCode::InvalidRequest).detail(error).param("field", field)
}
