//! Spreadsheets, opened again.

use std::fs::File;
use std::io::{Cursor, Read, SeekFrom};

use serde_json::json;

use super::*;
use crate::ipc::ExportColumn;
use crate::rows::tests::status;

fn sheet(query: &GridQuery) -> Sheet {
    let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
    let failed = json!({"highlight": "error", "outlet": {"name": "=HYPERLINK(\"http://x\")", "crm_id": "00042"},
        "exchange": {"error": {"code": "database_inconsistent", "message": "Checksums <differ> & more",
        "since": now, "consecutive_failures": 2}}});
    let offline =
        json!({"link": {"state": "offline", "since": "2026-07-01T10:00:00Z", "cause": "connection_lost"}});
    let long = json!({"highlight": "update_required", "pos": {"version": "34.5.2", "update_required": true},
        "outlet": {"address": "ж".repeat(40_000)}});
    let mut fleet = Fleet::default();
    fleet.replace(vec![status(1, failed), status(2, offline), status(3, long), status(4, json!({}))], now);
    fleet.set_query(query, now).unwrap();
    let keys = [
        "link",
        "organization",
        "crm_id",
        "address",
        "pos_version",
        "last_success_at",
        "error",
        "behind",
        "offline",
        "database",
        "unsent_transactions",
        "active_job",
        "nonsense",
    ];
    let request = ExportRequest {
        dialog_title: "Export statuses".into(),
        file_name: "statuses".into(),
        columns: keys.map(|key| ExportColumn { key: key.into(), title: format!("T {key}") }).into(),
        words: [("link.offline".to_owned(), "нет связи".to_owned())].into(),
        locale: "ru".into(),
        time_zone: "Europe/Riga".into(),
    };
    let session = Session {
        name: Some("Anna".into()),
        email: Some("anna@example.com".into()),
        ..Session::signed_out()
    };
    let connection = Connection { state: ConnectionState::CloudUnreachable, since: None };
    Sheet::new(&mut fleet, request, session, connection, now)
}

/// One file of the workbook.
fn part(path: &Path, name: &str) -> String {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap_or_else(|_| panic!("{name}")).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_sheet_holds_what_the_grid_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statuses.xlsx");
    write(&sheet(&GridQuery::default()), &path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let statuses = part(&path, "xl/worksheets/sheet1.xml");
    assert!(statuses.contains("state=\"frozen\""), "the header stays");
    assert!(statuses.contains("<autoFilter ref=\"A1:P5\""), "all columns can be filtered");
    assert!(!statuses.contains("<f>"), "text from a store is no formula");
    assert!(statuses.contains("=HYPERLINK"), "it is text");
    assert!(statuses.contains("00042"), "leading zeros count");
    assert!(statuses.contains("нет связи"), "the window's words");
    // 2026-07-01 10:00 UTC is 13:00 in Riga: day 46204 and 13/24.
    assert!(statuses.contains("<v>46204.54166666"), "real dates in the zone that was asked for");
    assert!(
        statuses.contains(&format!(">{}…<", "ж".repeat(cells::LONGEST_TEXT - 1))),
        "as much as a cell takes"
    );

    let summary = part(&path, "xl/sharedStrings.xml");
    for text in
        ["Записано без связи с облаком", "Anna (anna@example.com)", "Europe/Riga", "Ошибка синхронизации"]
    {
        assert!(summary.contains(text), "{text}");
    }
    assert!(part(&path, "xl/charts/chart1.xml").contains("pieChart"));
    assert!(part(&path, "docProps/core.xml").contains("<dc:creator>Anna</dc:creator>"));
}

#[test]
fn only_what_matches_is_written_and_the_filter_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statuses.xlsx");
    let query = GridQuery { problems_only: true, search: "pica".into(), ..GridQuery::default() };
    write(&sheet(&query), &path).unwrap();
    let statuses = part(&path, "xl/worksheets/sheet1.xml");
    assert_eq!(statuses.matches(" ref=\"A1:P4\"").count(), 2, "the size and the filter's range");
    assert!(part(&path, "docProps/core.xml").contains("“pica”"));
}

#[test]
fn a_file_without_rows_has_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statuses.xlsx");
    let query = GridQuery { search: "no such store".into(), ..GridQuery::default() };
    write(&sheet(&query), &path).unwrap();
    let statuses = part(&path, "xl/worksheets/sheet1.xml");
    assert_eq!(statuses.matches("<row ").count(), 1);
    assert!(part(&path, "xl/sharedStrings.xml").contains("T organization"));
}

#[test]
fn a_file_that_can_not_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("statuses.xlsx");
    assert_eq!(write(&sheet(&GridQuery::default()), &path).unwrap_err().code, "file_unwritable");
    // A folder has the name already.
    let taken = folder.path().join("taken.xlsx");
    std::fs::create_dir_all(taken.join("x")).unwrap();
    assert_eq!(write(&sheet(&GridQuery::default()), &taken).unwrap_err().code, "file_unwritable");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_file_that_was_there_stays_until_the_new_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statuses.xlsx");
    std::fs::write(&path, "yesterday's").unwrap();
    write(&sheet(&GridQuery::default()), &path).unwrap();
    assert!(part(&path, "xl/workbook.xml").contains("workbook"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A disk with so much room.
struct Disk {
    file: Cursor<Vec<u8>>,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.position() as usize + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[test]
fn a_disk_that_fills_up_at_any_byte_is_an_error_that_says_so() {
    let sheet = sheet(&GridQuery::default());
    let write = |room| write_to(&sheet, Disk { file: Cursor::default(), room });
    let whole = write(usize::MAX).unwrap().file.into_inner().len();
    assert!(write(whole).is_ok());
    for room in (0..whole).step_by(97) {
        let error = write(room).err().unwrap_or_else(|| panic!("{room} of {whole} bytes sufficed"));
        assert_eq!(failure(&error, Path::new("x")).code, "disk_full", "{room}");
    }
}
