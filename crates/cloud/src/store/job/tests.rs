//! Whatever happens to a job, in whatever order: it ends once, and stays as it ended.

use chrono::{TimeDelta, Utc};
use proptest::prelude::*;
use sea_orm::PaginatorTrait;
use serde_json::json;
use tillwatch_protocol::ids::UserId;
use tillwatch_protocol::rest::job::JobProgress;

use super::*;
use crate::admin;
use crate::store::Store;
use crate::store::entity::timeline;

fn progress() -> JobProgress {
    JobProgress { phase: "checking".into(), done: 1, total: None, unit: "checks".into() }
}

fn any_change() -> impl Strategy<Value = Change> {
    let ends =
        [JobState::Succeeded, JobState::Failed, JobState::Rejected, JobState::TimedOut, JobState::Canceled];
    prop_oneof![
        3 => Just(Change::Send { deadline: Utc::now() + TimeDelta::minutes(10) }),
        3 => Just(Change::Accept),
        3 => Just(Change::Progress(progress())),
        2 => Just(Change::AskCancel),
        1 => Just(Change::Cancel),
        2 => prop::sample::select(ends.to_vec()).prop_map(|state| Change::Finish {
            state,
            result: Some(json!({})),
            error: None,
        }),
        1 => Just(Change::Expire),
        1 => Just(Change::GiveUp),
        1 => Just(Change::TimeOut),
        1 => Just(Change::Abandon),
        1 => Just(Change::Outdate),
    ]
}

/// A database with one POS server.
async fn store(dir: &std::path::Path) -> (Store, PosServerId) {
    let store = Store::open(dir, None).await.unwrap();
    let file = "chain,outlet,crm_id,address,time_zone,pos_server\nPizza,Riga,1,,Europe/Riga,Main\n";
    let imported = admin::import_fleet(&store, file.as_bytes(), Utc::now()).await.unwrap();
    (store, imported[0].pos_server_id)
}

async fn follow(store: &Store, pos_server_id: PosServerId, changes: &[Change]) {
    let mut tx = store.write().await.unwrap();
    let id = JobId::new();
    let new = NewJob {
        id,
        pos_server_id,
        spec: JobSpec::Diagnose {},
        requested_by: UserId::new(),
        requested_at: Utc::now(),
        deadline: None,
        expires_at: None,
        generation: None,
        idempotency: None,
    };
    let revision = tx.next_revision().await.unwrap();
    insert(&*tx, new, revision).await.unwrap();
    let mut state = JobState::Queued;
    let mut ended = None;
    for step in changes {
        let revision = tx.next_revision().await.unwrap();
        let changed = change(&*tx, id, step, Utc::now(), revision).await.unwrap();
        let job = find(&*tx, id).await.unwrap().unwrap();
        match step.apply(state) {
            Some(next) => {
                assert_eq!(changed.unwrap().state, next, "{step:?} in {state:?}");
                assert_eq!(job.row.revision, revision, "whoever follows the job hears of it");
                state = next;
            }
            None => assert!(changed.is_none(), "{step:?} in {state:?}"),
        }
        assert_eq!(job.state, state);
        assert_eq!(job.row.finished_at.is_some(), state.is_terminal());
        assert!(state != JobState::Succeeded || job.row.started_at.is_some());
        if let Some(ended) = &ended {
            assert_eq!(ended, &job.row, "{step:?} changed a job that has ended");
        } else if state.is_terminal() {
            ended = Some(job.row);
        }
    }
    let listed = active(&*tx, &[pos_server_id.0]).await.unwrap().remove(&pos_server_id.0).unwrap_or_default();
    assert_eq!(listed.iter().any(|job| job.id == id), ended.is_none());
    // Its timeline tells of its beginning and of one end at most.
    let told = timeline::Entity::find().count(&*tx).await.unwrap();
    assert_eq!(told, 1 + u64::from(ended.is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_job_ends_once(runs in prop::collection::vec(prop::collection::vec(any_change(), 1..24), 16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let (store, pos_server_id) = store(dir.path()).await;
            for changes in &runs {
                // Each run is undone at its end, so that they do not meet.
                follow(&store, pos_server_id, changes).await;
            }
            store.close().await;
        });
    }
}
