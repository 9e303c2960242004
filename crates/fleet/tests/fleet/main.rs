//! A fleet with a small cloud: real connectors over real sockets.

#[cfg(test)]
mod cloud;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tillwatch_fleet::enrollments::Enrollment;
    use tillwatch_fleet::scenario::Troubles;
    use tillwatch_fleet::{Options, RunError, run};
    use tillwatch_protocol::ids::PosServerId;
    use tillwatch_protocol::link::frame::StoreReport;
    use tillwatch_protocol::rest::job::{JobSpec, JobState};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    use super::cloud::Cloud;

    struct Fleet {
        running: JoinHandle<Result<(), RunError>>,
        up: oneshot::Receiver<usize>,
        shutdown: CancellationToken,
    }

    impl Fleet {
        fn start(
            cloud: &Cloud,
            enrollments: &[Enrollment],
            troubles: Troubles,
            data_dir: Option<PathBuf>,
        ) -> Self {
            let options = Options {
                cloud: cloud.address.clone(),
                enrollments: enrollments.to_vec(),
                ca: None,
                data_dir,
                troubles,
                log_days: 1,
            };
            let shutdown = CancellationToken::new();
            let (tell, up) = oneshot::channel();
            let running = tokio::spawn(run(options, |stores| tell.send(stores).unwrap(), shutdown.clone()));
            Self { running, up, shutdown }
        }

        async fn stop(self) {
            self.shutdown.cancel();
            self.running.await.unwrap().unwrap();
        }
    }

    fn enrollments(count: usize) -> Vec<Enrollment> {
        let enrollment = |number: usize| Enrollment {
            pos_server_id: PosServerId::new(),
            outlet: format!("Outlet {number}"),
            enrollment_code: format!("code-{number}"),
        };
        (0..count).map(enrollment).collect()
    }

    fn error_code(known: &super::cloud::Known) -> Option<String> {
        known.report.as_ref()?.report.exchange.error.as_ref().map(|error| error.code.clone())
    }

    #[tokio::test]
    async fn the_demo_fleet_comes_up_with_its_troubles_and_goes_with_a_goodbye() {
        let cloud = Cloud::start().await;
        let mut fleet = Fleet::start(&cloud, &enrollments(6), Troubles::Demo, None);
        assert_eq!((&mut fleet.up).await.unwrap(), 6);

        // Who left has said goodbye before the fleet is called running.
        let left = cloud.known("code-2");
        assert!(left.said_bye);
        cloud.wait_for("code-2", |known| !known.online).await;
        let inconsistent = |known: &_| error_code(known).as_deref() == Some("database_inconsistent");
        cloud.wait_for("code-0", inconsistent).await;
        cloud.wait_for("code-1", |known| error_code(known).as_deref() == Some("disk_full")).await;
        for code in ["code-3", "code-4", "code-5"] {
            let well = |known: &super::cloud::Known| {
                known.online
                    && known
                        .report
                        .as_ref()
                        .is_some_and(|report| report.report.exchange.last_success_at.is_some())
            };
            let known = cloud.wait_for(code, well).await;
            let old = known.report.unwrap().report.pos_version.as_deref() == Some("34.2.0");
            assert_eq!(old, code == "code-3");
        }
        fleet.stop().await;
        for code in ["code-0", "code-1", "code-3", "code-4", "code-5"] {
            cloud.wait_for(code, |known| known.said_bye && !known.online).await;
        }
    }

    #[tokio::test]
    async fn a_reset_ordered_by_the_cloud_heals_the_inconsistent_store() {
        let cloud = Cloud::start().await;
        let dir = tempfile::tempdir().unwrap();
        let fleet = Fleet::start(&cloud, &enrollments(1), Troubles::Demo, Some(dir.path().to_owned()));
        let ill = |known: &_| error_code(known).as_deref() == Some("database_inconsistent");
        let before = cloud.wait_for("code-0", ill).await.report.unwrap();
        cloud.order(
            "code-0",
            JobSpec::ResetDatabase {
                confirm: "Outlet 0".into(),
                expected_generation: before.report.database.generation.unwrap(),
                collect_logs: false,
                discard_unsent: false,
            },
        );
        let finished = cloud.wait_for("code-0", |known| known.finished.is_some()).await.finished.unwrap();
        assert_eq!(finished.state, JobState::Succeeded, "{finished:?}");
        let healed = cloud.wait_for("code-0", |known| error_code(known).is_none()).await.report.unwrap();
        let generation = |report: &StoreReport| report.report.database.generation.unwrap();
        assert_eq!(generation(&healed), generation(&before) + 1);
        assert!(healed.report.database.created_at > before.report.database.created_at);
        fleet.stop().await;
    }

    #[tokio::test]
    async fn stores_that_are_kept_are_not_enrolled_again() {
        let cloud = Cloud::start().await;
        let dir = tempfile::tempdir().unwrap();
        let enrollments = enrollments(3);
        for _ in 0..2 {
            let mut fleet = Fleet::start(&cloud, &enrollments, Troubles::None, Some(dir.path().to_owned()));
            assert_eq!((&mut fleet.up).await.unwrap(), 3);
            fleet.stop().await;
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        for code in ["code-0", "code-1", "code-2"] {
            assert_eq!(cloud.known(code).enrollments, 1);
        }
    }

    #[tokio::test]
    async fn a_cloud_that_is_not_there_ends_the_fleet_with_the_outlets_name() {
        let mut cloud = Cloud::start().await;
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        cloud.address = format!("http://{nobody}");
        let fleet = Fleet::start(&cloud, &enrollments(1), Troubles::None, None);
        let failed = fleet.running.await.unwrap().unwrap_err();
        assert!(failed.to_string().contains("Outlet 0"), "{failed}");
    }
}
