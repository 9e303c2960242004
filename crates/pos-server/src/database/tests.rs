use tillwatch_protocol::exchange::{self, Guest, Program, Row};

use super::*;

fn program(name: &str) -> Row {
    Row::Programs(Program {
        id: Uuid::from_u128(7),
        name: name.into(),
        bonus_basis_points: 500,
        active: true,
    })
}

fn guest(id: u128) -> Row {
    Row::Guests(Guest {
        id: Uuid::from_u128(id),
        name: "Anna".into(),
        phone: Some("+371 2".into()),
        card: None,
    })
}

fn upsert(row: &Row) -> Change {
    Change { id: Uuid::new_v4(), row: RowChange::Upsert { row: row.clone() } }
}

fn apply(open: &mut OpenDatabase, changes: &[Change]) {
    let Position { database_id, cursor, .. } = open.position().unwrap();
    open.apply(&Applied {
        database_id: &database_id,
        from_cursor: cursor,
        to_cursor: cursor + changes.len() as i64,
        changes,
        sent: &[],
    })
    .unwrap();
}

#[test]
fn a_database_is_made_when_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::at(dir.path().join("pos.sqlite3"));
    assert_eq!(database.facts(), DatabaseReport::default(), "a report makes nothing");
    let before = Utc::now();
    assert!(database.open().unwrap().is_new());
    assert!(!database.open().unwrap().is_new());
    let facts = database.facts();
    assert!(facts.created_at.unwrap() >= before);
    assert_eq!(facts.unsent_transactions, Some(0));
    // Closed, it is one file.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_checksum_is_over_the_rows_as_the_protocol_orders_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = Database::at(dir.path().join("pos.sqlite3")).open().unwrap();
    let (first, second) = (guest(1), guest(0xffff_0000_0000_0000_0000_0000_0000_0001));
    apply(&mut open, &[upsert(&second), upsert(&program("Bonus")), upsert(&first)]);
    assert_eq!(open.checksum().unwrap(), exchange::checksum([&program("Bonus"), &first, &second]));
    let gone = RowChange::Delete { table: Table::Guests, row_id: second.id() };
    apply(&mut open, &[Change { id: Uuid::new_v4(), row: gone }]);
    assert_eq!(open.checksum().unwrap(), exchange::checksum([&program("Bonus"), &first]));
}

#[test]
fn a_change_applies_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = Database::at(dir.path().join("pos.sqlite3")).open().unwrap();
    let (old, new) = (upsert(&program("Old")), upsert(&program("New")));
    apply(&mut open, &[old.clone(), new]);
    apply(&mut open, &[old]);
    assert_eq!(open.checksum().unwrap(), exchange::checksum([&program("New")]));
}

#[test]
fn changes_for_another_database_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pos.sqlite3");
    let database = Database::at(path.clone());
    let position = database.open().unwrap().position().unwrap();
    std::fs::rename(&path, dir.path().join("backup")).unwrap();
    let refused = database.open().unwrap().apply(&Applied {
        database_id: &position.database_id,
        from_cursor: 0,
        to_cursor: 1,
        changes: &[upsert(&program("Bonus"))],
        sent: &[],
    });
    assert!(matches!(refused, Err(DatabaseError::Replaced)), "{refused:?}");
}

#[test]
fn what_is_wrong_with_a_file_has_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pos.sqlite3");
    let open = |content: Option<&[u8]>| {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        Database::at(path.clone()).open().map(|_| ()).unwrap_err()
    };
    assert_eq!(open(Some(&[b'x'; 9000])).sync_error(), SyncError::DatabaseCorrupt);
    // It is left as it is.
    assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 9000]);
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE strange (x)").unwrap();
    assert_eq!(open(None).sync_error(), SyncError::DatabaseCorrupt);
}

#[test]
fn a_full_disk_is_told_apart_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = Database::at(dir.path().join("pos.sqlite3")).open().unwrap();
    let (position, checksum) = (open.position().unwrap(), open.checksum().unwrap());
    // As many pages as it has: the next one finds no room, as on a full disk.
    let pages: i64 = open.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    open.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let changes: Vec<_> = (1..400).map(|id| upsert(&guest(id))).collect();
    let failed = open.apply(&Applied {
        database_id: &position.database_id,
        from_cursor: 0,
        to_cursor: 400,
        changes: &changes,
        sent: &[],
    });
    assert_eq!(failed.unwrap_err().sync_error(), SyncError::DiskFull);
    assert_eq!(open.checksum().unwrap(), checksum);
    assert_eq!(open.position().unwrap().cursor, 0);
}
