//! The rule of the epochs, tried in ten thousand steps.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tillwatch_protocol::ids::BootId;
use tillwatch_protocol::link::frame::Hello;

use super::*;
use crate::domain::presence::End;
use crate::store::{Store, device, node};
use crate::{admin, tokens};

/// What the row has to say of a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Online { epoch: i64, node: Uuid },
    Offline,
    Unknown,
}

/// Sessions of one store begin on any node, end whenever they like, more than once and long after newer
/// ones began, and nodes die: after each step the newest session's word holds.
#[tokio::test]
async fn the_newest_session_decides_whatever_the_order() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path(), None).await.unwrap();
    let file = b"chain,outlet,crm_id,address,time_zone,pos_server\nPizza,Riga,1,,Europe/Riga,Main\n";
    let now = Utc::now();
    let imported = admin::import_fleet(&store, file, now).await.unwrap();
    let code = tokens::hash_enrollment_code(&imported[0].enrollment_code);
    let mut tx = store.write().await.unwrap();
    let revision = tx.next_revision().await.unwrap();
    let enrolled = device::enroll(&*tx, &code, "a key", now).await.unwrap().unwrap();
    let (id, device) = (enrolled.pos_server_id, enrolled.device_id);
    let nodes = [1, 2, 3].map(Uuid::from_u128);
    for id in nodes {
        node::enter(&*tx, id, "a node", now, now).await.unwrap();
    }
    let hello = Hello {
        connector_version: "1.0".into(),
        boot_id: BootId::new(),
        started_at: now,
        report: None,
        unfinished_jobs: Vec::new(),
        drops: 0,
    };
    let gone = presence::after(&End::Broken, now).unwrap();
    let mut random = StdRng::seed_from_u64(6);
    let mut begun = Vec::new();
    let mut standing = Standing::Offline;
    for step in 0..10_000 {
        let on = nodes[random.random_range(0..3)];
        match random.random_range(0..6) {
            0..2 => {
                let presence = &Presence::online();
                let arrival = Arrival { node: on, device, id, hello: &hello, presence, at: now };
                let mut session = begin(&*tx, &[arrival], revision).await.unwrap();
                let epoch = session.remove(0).unwrap().epoch;
                begun.push(epoch);
                standing = Standing::Online { epoch, node: on };
            }
            2..5 if !begun.is_empty() => {
                let recent = begun.len().saturating_sub(4);
                let ends = begun[random.random_range(recent..begun.len())];
                let ending = Ending { id, epoch: ends, presence: &gone, at: now, heard_at: now };
                end(&*tx, &[ending], revision).await.unwrap();
                if matches!(standing, Standing::Online { epoch, .. } if epoch == ends) {
                    standing = Standing::Offline;
                }
            }
            _ => {
                node::leave(&*tx, on).await.unwrap();
                forget_online(&*tx, now, revision).await.unwrap();
                node::enter(&*tx, on, "a node", now, now).await.unwrap();
                if matches!(standing, Standing::Online { node, .. } if node == on) {
                    standing = Standing::Unknown;
                }
            }
        }
        let row = pos_servers::Entity::find_by_id(id.0).one(&*tx).await.unwrap().unwrap();
        let told = match (from_text(&row.link_state).unwrap(), row.node_id) {
            (LinkState::Online, Some(node)) => Standing::Online { epoch: row.session_epoch, node },
            (LinkState::Unknown, None) => Standing::Unknown,
            (LinkState::Offline | LinkState::NeverConnected, None) => Standing::Offline,
            other => panic!("{other:?} at step {step}"),
        };
        assert_eq!(told, standing, "step {step}");
    }
}
