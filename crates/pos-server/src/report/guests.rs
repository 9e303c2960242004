//! `GET /guest-accounts/{id}` and `GET /guests`: what third parties ask through the cloud, answered from the
//! POS database alone. Whether they may ask is the connector's to decide.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use uuid::Uuid;

use super::{Refused, Reporter};
use crate::database::guests::{AccountView, GuestKey, GuestView};
use crate::database::{Database, DatabaseError, OpenDatabase};

/// A guest account, by its id.
pub(super) async fn account(
    State(reporter): State<Reporter>,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, Refused> {
    let missing = || Refused::new(ErrorCode::NotFound, "There is no such guest account.");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    look(reporter.database, move |open| open.account(id)).await?.map(Json).ok_or_else(missing)
}

/// `GET /guests`: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuestQuery {
    card: Option<String>,
    phone: Option<String>,
}

/// A guest with all accounts, by card or phone.
pub(super) async fn guest(
    State(reporter): State<Reporter>,
    query: Result<Query<GuestQuery>, QueryRejection>,
) -> Result<Json<GuestView>, Refused> {
    let one = || Refused::new(ErrorCode::InvalidRequest, "Ask with either ?card= or ?phone=.");
    let Query(query) = query.map_err(|_| one())?;
    let key = match (query.card, query.phone) {
        (Some(card), None) => GuestKey::Card(card),
        (None, Some(phone)) => GuestKey::Phone(phone),
        _ => return Err(one()),
    };
    let mut found = look(reporter.database, move |open| open.guests(&key)).await?;
    // Nobody gets to see another guest's balance because of a phone that two have.
    if found.len() > 1 {
        return Err(Refused::new(ErrorCode::InvalidRequest, "Several guests have this; ask in another way."));
    }
    found.pop().map(Json).ok_or_else(|| Refused::new(ErrorCode::NotFound, "There is no such guest."))
}

/// Reads the database away from the tasks that must not wait.
async fn look<T: Send + 'static>(
    database: Database,
    read: impl FnOnce(&mut OpenDatabase) -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(move || read(&mut database.open()?))
        .await
        .map_err(|_| Refused::new(ErrorCode::Internal, "The database could not be read."))?
        .map_err(|error| {
            Refused::new(ErrorCode::Unavailable, format!("The database can't be read: {}", error.chain()))
        })
}
