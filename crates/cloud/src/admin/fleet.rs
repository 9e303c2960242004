//! Importing a fleet, all of it or nothing.

use chrono::{DateTime, Utc};
use tillwatch_protocol::fleet::{self, BadLine, Numbered};
use tillwatch_protocol::rest::admin::Imported;

use super::{AdminError, CODE_LIFE};
use crate::domain::audit::{Actor, Entry};
use crate::domain::permission::Reach;
use crate::store::fleet::{Addition, known};
use crate::store::{WriteTx, audit};
use crate::tokens;

/// Reads a file: every bad line is named.
pub(crate) fn parse(file: &[u8]) -> Result<Vec<Numbered>, AdminError> {
    fleet::parse(file).map_err(AdminError::BadLines)
}

/// Imports lines. With a reach, only into chains that it holds.
pub(crate) async fn import(
    tx: &mut WriteTx,
    actor: Actor,
    reach: Option<&Reach>,
    lines: Vec<Numbered>,
    now: DateTime<Utc>,
) -> Result<Vec<Imported>, AdminError> {
    let mut known = known(&**tx, lines.iter().map(|numbered| &numbered.line)).await?;
    let mut addition = Addition::begin(tx, now, now + CODE_LIFE).await?;
    let (mut imported, mut conflicts) = (Vec::with_capacity(lines.len()), Vec::new());
    for Numbered { number, line } in lines {
        let enrollment_code = tokens::new_enrollment_code();
        let code_hash = tokens::hash_enrollment_code(&enrollment_code);
        match addition.add(&mut known, &line, code_hash, reach) {
            Ok(pos_server_id) => {
                imported.push(Imported { pos_server_id, outlet: line.outlet, enrollment_code });
            }
            Err(fault) => conflicts.push(BadLine { number, fault }),
        }
    }
    if !conflicts.is_empty() {
        return Err(AdminError::BadLines(conflicts));
    }
    let by_chain = std::mem::take(&mut addition.by_chain);
    addition.write(tx).await?;
    for (chain, pos_servers) in by_chain {
        let entry = Entry::new(now, actor, "fleet.imported", format!("chain:{chain}"));
        audit::append(tx, entry.with("pos_servers", pos_servers)).await?;
    }
    Ok(imported)
}
