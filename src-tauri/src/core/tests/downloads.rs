//! Downloads: whole and right, or not there.

use std::path::Path;

use super::cloud::FakeCloud;
use super::session::{profile, stored};
use super::*;
use crate::ipc::{Archive, Download, DownloadState};

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Downloads into a folder of its own; what came of it, and the folder.
async fn download(cloud: &FakeCloud, archive: Archive) -> (Download, TempDir) {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let desk = Desk::signed_in(&home, cloud).await;
    let path = folder.path().join("logs.zip");
    (desk.core.download(archive, path).await.unwrap(), folder)
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let cloud = FakeCloud::start(vec![]).await;
    let content = bytes(50_000);
    let archive = cloud.serve(content.clone(), &[20_000, 10_000]);
    let (done, folder) = download(&cloud, archive).await;
    assert_eq!(done.state, DownloadState::Done, "{done:?}");
    assert_eq!(std::fs::read(folder.path().join("logs.zip")).unwrap(), content);
    assert_eq!(files(folder.path()), ["logs.zip"]);
    let ranges = cloud.state.archive.lock().unwrap().ranges.clone();
    assert_eq!(ranges.len(), 3);
    assert!(ranges[0].is_none() && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
}

#[tokio::test]
async fn what_is_not_what_was_announced_does_not_land() {
    let cloud = FakeCloud::start(vec![]).await;
    let content = bytes(5_000);
    let wrong_hash = Archive { sha256: "00".repeat(32), ..cloud.serve(content.clone(), &[]) };
    let too_long = Archive { size_bytes: 4_000, ..wrong_hash.clone() };
    for archive in [wrong_hash, too_long] {
        let (failed, folder) = download(&cloud, archive).await;
        assert_eq!(failed.state, DownloadState::Failed);
        assert_eq!(failed.error.unwrap().code, "checksum_mismatch");
        assert_eq!(files(folder.path()), [""; 0]);
    }
}

#[tokio::test]
async fn an_expired_archive_and_a_line_that_stays_cut_are_told() {
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(5_000), &[0; 20]);
    let (failed, folder) = download(&cloud, archive.clone()).await;
    assert_eq!(failed.error.unwrap().code, "download_interrupted");
    assert_eq!(files(folder.path()), [""; 0]);
    cloud.state.archive.lock().unwrap().expired = true;
    let (failed, folder) = download(&cloud, archive).await;
    assert_eq!(failed.error.unwrap().code, "archive_expired");
    assert_eq!(files(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_canceled_download_leaves_nothing() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(5_000), &[]);
    cloud.state.archive.lock().unwrap().hangs = true;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let core = Arc::clone(&desk.core);
    let path = folder.path().join("logs.zip");
    let running = tokio::spawn({
        let archive = archive.clone();
        async move { core.download(archive, path).await }
    });
    desk.hears(|event| event["download"]["state"] == "running").await;
    desk.core.cancel_download(&archive.id);
    assert_eq!(running.await.unwrap().unwrap().state, DownloadState::Canceled);
    desk.hears(|event| event["download"]["state"] == "canceled").await;
    assert_eq!(files(folder.path()), [""; 0]);
}

/// Starts a download that comes slowly, and ends the app in the middle of it.
async fn killed(cloud: &FakeCloud, home: &TempDir, secrets: &Secrets, archive: &Archive, path: &Path) {
    let mut desk = Desk::start(home, Stored::default(), secrets.clone());
    desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
    desk.hears(|event| event["connection"]["state"] == "live").await;
    let (core, wanted, path) = (Arc::clone(&desk.core), archive.clone(), path.to_owned());
    let running = tokio::spawn(async move { core.download(wanted, path).await });
    desk.hears(|event| event["download"]["done"].as_u64().is_some_and(|done| done > 0)).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
}

/// The next run of the app, with the sign-in that the last one kept.
fn next_run(cloud: &FakeCloud, home: &TempDir, secrets: Secrets) -> Desk {
    Desk::start(home, stored(cloud), secrets)
}

#[tokio::test]
async fn a_download_goes_on_after_the_app_was_closed() {
    let (home, folder, secrets) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Secrets::memory());
    let cloud = FakeCloud::start(vec![]).await;
    let content = bytes(2_000_000);
    let archive = cloud.serve(content.clone(), &[]);
    // What arrives is told a tenth of a second after the first bytes at the earliest, so it comes slowly.
    cloud.state.archive.lock().unwrap().drips = true;
    let path = folder.path().join("logs.zip");
    killed(&cloud, &home, &secrets, &archive, &path).await;
    assert_eq!(files(folder.path()), ["logs.zip.part"]);
    cloud.state.archive.lock().unwrap().drips = false;

    let mut desk = next_run(&cloud, &home, secrets);
    let done = desk.hears(|event| event["download"]["state"] == "done").await;
    assert_eq!(done["download"]["path"], path.display().to_string());
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(files(folder.path()), ["logs.zip"]);
    let ranges = cloud.state.archive.lock().unwrap().ranges.clone();
    assert!(ranges.last().unwrap().is_some(), "only the rest was sent: {ranges:?}");
    assert!(desk.core.has_saved(&path));
    assert!(!home.path().join("downloads.json").exists());
}

#[tokio::test]
async fn signing_out_forgets_what_an_earlier_run_left() {
    let (home, folder, secrets) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Secrets::memory());
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(2_000_000), &[]);
    cloud.state.archive.lock().unwrap().drips = true;
    killed(&cloud, &home, &secrets, &archive, &folder.path().join("logs.zip")).await;

    // Another user of this computer does not get it, nor takes it away.
    let other = FakeCloud::start(vec![]).await;
    let desk = Desk::signed_in(&home, &other).await;
    assert!(desk.core.running_download(&archive.id).is_none());
    desk.core.sign_out().await.unwrap();
    assert_eq!(files(folder.path()), ["logs.zip.part"]);
    drop(desk);
    let desk = next_run(&cloud, &home, Secrets::memory());
    desk.core.sign_out().await.unwrap();
    assert_eq!(files(folder.path()), [""; 0]);
    assert!(!home.path().join("downloads.json").exists());
}

#[tokio::test]
async fn a_download_waits_while_another_profile_is_shown() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (FakeCloud::start(vec![]).await, FakeCloud::start(vec![]).await);
    let content = bytes(2_000_000);
    let archive = first.serve(content.clone(), &[]);
    first.state.archive.lock().unwrap().drips = true;
    let mut desk = Desk::start(&home, Stored::default(), Secrets::memory());
    for cloud in [&second, &first] {
        desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
        desk.hears(|event| event["connection"]["state"] == "live").await;
    }
    let (core, into) = (Arc::clone(&desk.core), folder.path().to_owned());
    // The second of them has not begun when the profile is left.
    let archives = vec![archive.clone(), Archive { file_name: "jelgava.zip".into(), ..archive.clone() }];
    let running = tokio::spawn(async move { core.download_all(archives, &into).await });
    desk.hears(|event| event["download"]["done"].as_u64().is_some_and(|done| done > 0)).await;

    desk.core.switch_profile(&profile(&second).id).await.unwrap();
    assert!(running.await.unwrap().is_empty(), "none has ended");
    assert!(desk.core.downloads.all_running().is_empty());
    desk.hears(|event| event["connection"]["state"] == "live").await;
    let mut left = files(folder.path());
    left.sort();
    assert_eq!(left, ["jelgava.zip.part", "riga.zip.part"]);
    let sent = std::fs::metadata(folder.path().join("riga.zip.part")).unwrap().len();
    assert!((1..2_000_000).contains(&sent), "{sent}");
    assert!(second.state.archive.lock().unwrap().ranges.is_empty());

    first.state.archive.lock().unwrap().drips = false;
    desk.core.switch_profile(&profile(&first).id).await.unwrap();
    for name in ["riga.zip", "jelgava.zip"] {
        let done = desk.hears(|event| event["download"]["state"] == "done").await;
        assert_eq!(done["download"]["path"], folder.path().join(name).display().to_string());
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), content);
    }
    let ranges = first.state.archive.lock().unwrap().ranges.clone();
    assert_eq!(ranges[1], Some(format!("bytes={sent}-")), "only the rest was sent: {ranges:?}");
}

#[tokio::test]
async fn a_damaged_list_of_downloads_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("downloads.json"), "{half").unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(5_000), &[]);
    let desk = Desk::signed_in(&home, &cloud).await;
    let done = desk.core.download(archive, home.path().join("logs.zip")).await.unwrap();
    assert_eq!(done.state, DownloadState::Done);
}

#[tokio::test]
async fn several_archives_get_names_that_are_free() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(3_000), &[]);
    let desk = Desk::signed_in(&home, &cloud).await;
    std::fs::write(folder.path().join("riga.zip"), "mine").unwrap();
    let bad = Archive { file_name: "../../evil".into(), sha256: "00".repeat(32), ..archive.clone() };
    let saved = desk.core.download_all(vec![archive.clone(), bad, archive], folder.path()).await;
    let states: Vec<_> = saved.iter().map(|download| download.state).collect();
    assert_eq!(states, [DownloadState::Done, DownloadState::Failed, DownloadState::Done]);
    let mut names = files(folder.path());
    names.sort();
    assert_eq!(names, ["riga (2).zip", "riga (3).zip", "riga.zip"]);
    assert_eq!(std::fs::read(folder.path().join("riga.zip")).unwrap(), b"mine");
    assert!(desk.core.has_saved(&folder.path().join("riga (2).zip")));
    assert!(!desk.core.has_saved(&folder.path().join("riga.zip")));
}

/// A folder with room for 64 KiB. None, with the reason, where one can't be made.
#[cfg(target_os = "linux")]
struct SmallDisk(TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .output()
            .map_err(|error| error.to_string())?;
        if mounted.status.success() {
            Ok(Self(folder))
        } else {
            Err(String::from_utf8_lossy(&mounted.stderr).into())
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_and_left_clean() {
    let disk = match SmallDisk::new() {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: no small disk can be made here: {reason}");
            return;
        }
    };
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(500_000), &[]);
    let desk = Desk::signed_in(&home, &cloud).await;
    let failed = desk.core.download(archive, disk.0.path().join("logs.zip")).await.unwrap();
    assert_eq!(failed.error.unwrap().code, "disk_full");
    assert_eq!(files(disk.0.path()), [""; 0]);

    // Once there is room, the same works.
    let small = cloud.serve(bytes(1_000), &[]);
    let done = desk.core.download(small, disk.0.path().join("logs.zip")).await.unwrap();
    assert_eq!(done.state, DownloadState::Done);
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_is_told() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(bytes(1_000), &[]);
    let desk = Desk::signed_in(&home, &cloud).await;
    let failed = desk.core.download(archive, home.path().join("no/such/folder/logs.zip")).await.unwrap();
    let error = failed.error.unwrap();
    assert_eq!(error.code, "file_unwritable");
    assert!(error.params["path"].contains("no/such/folder"));
}
