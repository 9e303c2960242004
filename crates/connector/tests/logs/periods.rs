//! Which entries are of a period, in every form that logs have.

use super::support::{Store, gzipped, lines};

const MODIFIED: &str = "2026-11-21T12:00:00Z";
/// 10:00 to 11:00 in Riga.
const FROM: &str = "2026-11-21T08:00:00Z";
const TO: &str = "2026-11-21T09:00:00Z";

#[test]
fn each_form_gives_the_entries_of_the_period() {
    let store = Store::new();
    // Before, the first, the last, after.
    let forms: [(&str, [&str; 4]); 12] = [
        (
            "zoned",
            [
                "2026-11-21T07:59:59.999Z",
                "2026-11-21T08:00:00Z",
                "2026-11-21T10:59:59.999+02:00",
                "2026-11-21T09:00:00Z",
            ],
        ),
        (
            "local",
            [
                "2026-11-21 09:59:59,999",
                "2026-11-21 10:00:00,000",
                "2026-11-21 10:59:59,999",
                "2026-11-21 11:00:00,000",
            ],
        ),
        (
            "dots",
            [
                "2026-11-21T09:59:59.999",
                "2026-11-21T10:00:00.000",
                "2026-11-21T10:59:59.999",
                "2026-11-21T11:00:00.000",
            ],
        ),
        (
            "bracket",
            [
                "[2026-11-21 09:59:59]",
                "[2026-11-21 10:00:00]",
                "[2026-11-21 10:59:59]",
                "[2026-11-21 11:00:00]",
            ],
        ),
        (
            "syslog",
            ["Nov 21 09:59:59 till", "Nov 21 10:00:00 till", "Nov 21 10:59:59 till", "Nov 21 11:00:00 till"],
        ),
        (
            "rfc5424",
            [
                "<34>1 2026-11-21T07:59:59Z",
                "<34>1 2026-11-21T08:00:00Z",
                "<165>1 2026-11-21T08:59:59Z",
                "<5>1 2026-11-21T09:00:00Z",
            ],
        ),
        ("epoch", ["1795247999", "1795248000", "1795251599", "1795251600"]),
        ("millis", ["1795247999999", "1795248000000", "1795251599999", "1795251600000"]),
        (
            "audit",
            [
                "type=X msg=audit(1795247999.999:1):",
                "type=X msg=audit(1795248000.000:2):",
                "type=X msg=audit(1795251599.999:3):",
                "type=X msg=audit(1795251600.000:4):",
            ],
        ),
        (
            "apache",
            [
                "::1 - - [21/Nov/2026:09:59:59 +0200]",
                "::1 - - [21/Nov/2026:10:00:00 +0200]",
                "::1 - bob [21/Nov/2026:08:59:59 +0000]",
                "::1 - - [21/Nov/2026:11:00:00 +0200]",
            ],
        ),
        (
            "american",
            [
                "11/21/2026 9:59:59 AM",
                "11/21/2026 10:00:00 AM",
                "11/21/2026 10:59:59 AM",
                "11/21/2026 11:00:00 AM",
            ],
        ),
        (
            "german",
            ["21.11.2026 09:59:59", "21.11.2026 10:00:00", "21.11.2026 10:59:59", "21.11.2026 11:00:00"],
        ),
    ];
    for (name, stamps) in &forms {
        let text: String =
            stamps.iter().enumerate().map(|(n, stamp)| format!("{stamp} line {n}\r\n")).collect();
        store.write(&format!("logs/{name}.log"), &text, MODIFIED);
        store.write(&format!("logs/packed/{name}.log.1.gz"), gzipped(&text), MODIFIED);
    }
    let archive = store.collect(FROM, TO);
    for (name, stamps) in &forms {
        let expected = format!("{} line 1\r\n{} line 2\r\n", stamps[1], stamps[2]);
        assert_eq!(archive.text(&format!("logs/logs/{name}.log")), expected);
        assert_eq!(archive.text(&format!("logs/logs/packed/{name}.log.1")), expected);
    }
    assert_eq!(archive.collected.files, 24);
    assert!(!archive.collected.truncated);
}

#[test]
fn continuation_lines_go_with_their_entry() {
    let store = Store::new();
    let before = "2026-11-21 09:59:59,000 ERROR old\n\tat Old.java:1\n";
    let within = "2026-11-21 10:30:00,000 ERROR failed\njava.io.IOException: no route\n\tat Till.java:7\nCaused by: x\n\n\t... 3 more\n2026-11-21 10:59:59,999 INFO last\nmore of the last\n";
    let after = "2026-11-21 11:00:00,000 INFO new\n\tat New.java:1\n";
    store.write("logs/till.log", format!("{before}{within}{after}"), MODIFIED);
    assert_eq!(store.collect(FROM, TO).text("logs/logs/till.log"), within);
}

#[test]
fn lines_before_the_first_time_go_with_the_first_entry() {
    let store = Store::new();
    let text = "Till 34.5.2 on Windows 10\n====\n2026-11-21 10:30:00 started\n2026-11-21 10:31:00 up\n";
    store.write("logs/till.log", text, MODIFIED);
    assert_eq!(store.collect(FROM, TO).text("logs/logs/till.log"), text);
    assert!(
        store.collect("2026-11-21T08:31:00Z", TO).text("logs/logs/till.log").starts_with("2026-11-21 10:31")
    );
}

#[test]
fn a_file_without_times_goes_whole_if_modified_in_the_period() {
    let store = Store::new();
    let text = "starting\nlistening on port 9000\nconfig: {a: 1}\n";
    store.write("logs/in.log", text, "2026-11-21T08:30:00Z");
    store.write("logs/first.log", text, FROM);
    store.write("logs/end.log", text, TO);
    store.write("logs/before.log", text, "2026-11-21T07:59:59Z");
    store.write("logs/packed.log.gz", gzipped(text), "2026-11-21T08:30:00Z");
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.names(), ["logs/logs/first.log", "logs/logs/in.log", "logs/logs/packed.log"]);
    assert!(archive.files.values().all(|content| content == text.as_bytes()));
    assert_eq!(archive.about("logs/logs/in.log")["whole"], true);
    assert_eq!(archive.why_not("end.log"), "no_times_and_not_modified_in_period");
}

#[test]
fn times_out_of_order_are_all_found() {
    let store = Store::new();
    let text = "2026-11-21 10:10:00 a\n2026-11-21 12:00:00 b\n2026-11-21 08:00:00 c\n2026-11-21 10:05:00 d\nof d\n2026-11-22 10:05:00 e\n2026-11-21 10:59:00 f\n";
    store.write("logs/till.log", text, MODIFIED);
    assert_eq!(
        store.collect(FROM, TO).text("logs/logs/till.log"),
        "2026-11-21 10:10:00 a\n2026-11-21 10:05:00 d\nof d\n2026-11-21 10:59:00 f\n"
    );
}

#[test]
fn the_night_with_an_hour_twice_misses_nothing() {
    let store = Store::new();
    let text: String = ["02:59:59", "03:00:00", "03:59:59", "03:00:00", "03:59:59", "04:00:00"]
        .iter()
        .enumerate()
        .map(|(n, clock)| format!("2026-10-25 {clock} line {n}\n"))
        .collect();
    store.write("logs/till.log", &text, "2026-10-25T12:00:00Z");
    let collect = |from, to| {
        let archive = store.collect(from, to);
        archive
            .files
            .values()
            .next()
            .map_or(String::new(), |content| String::from_utf8(content.clone()).unwrap())
    };
    // The clock goes back after the third line, which tells the two hours apart.
    let hour = |first: usize| -> String { text.split_inclusive('\n').skip(first).take(2).collect() };
    assert_eq!(collect("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"), hour(1));
    assert_eq!(collect("2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"), hour(3));
    assert_eq!(collect("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"), text);
    assert_eq!(collect("2026-10-25T02:00:00Z", "2026-10-25T02:00:01Z"), "2026-10-25 04:00:00 line 5\n");
    assert_eq!(collect("2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z"), "2026-10-25 02:59:59 line 0\n");
}

#[test]
fn an_hour_of_which_nobody_can_tell_which_it_is_is_taken_for_both() {
    let store = Store::new();
    let once = "2026-10-25 02:10:00 a\n2026-10-25 03:30:00 b\n2026-10-25 04:10:00 c\n";
    // Two programs that write to one file, one of them late.
    let twice_back =
        "2026-10-25 03:40:00 a\n2026-10-25 03:10:00 b\n2026-10-25 03:50:00 c\n2026-10-25 03:20:00 d\n";
    for (name, text) in [("once", once), ("twice", twice_back)] {
        store.write(&format!("logs/{name}.log"), text, "2026-10-25T12:00:00Z");
    }
    for (from, to) in
        [("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"), ("2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z")]
    {
        let archive = store.collect(from, to);
        assert_eq!(archive.text("logs/logs/once.log"), "2026-10-25 03:30:00 b\n");
        assert_eq!(archive.text("logs/logs/twice.log"), twice_back);
    }
}

#[test]
fn the_night_without_an_hour_misses_nothing() {
    let store = Store::new();
    let text = "2026-03-29 02:59:59 a\n2026-03-29 03:30:00 b\n2026-03-29 04:00:00 c\n2026-03-29 05:00:00 d\n";
    store.write("logs/till.log", text, "2026-03-29T12:00:00Z");
    let archive = store.collect("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(archive.text("logs/logs/till.log"), "2026-03-29 03:30:00 b\n2026-03-29 04:00:00 c\n");
}

#[test]
fn syslog_over_new_year_has_the_right_years() {
    let store = Store::new();
    let text =
        "Dec 30 10:00:00 till a\nDec 31 23:30:00 till b\nJan  1 00:30:00 till c\nJan  2 10:00:00 till d\n";
    store.write("logs/syslog.log", text, "2026-01-02T08:00:01Z");
    store.write(
        "logs/syslog.log.1.gz",
        gzipped("Jan  1 00:30:00 till old\nDec 31 23:30:00 till older\n"),
        "2024-12-31T22:00:00Z",
    );
    let archive = store.collect("2025-12-31T21:00:00Z", "2025-12-31T23:00:00Z");
    assert_eq!(archive.names(), ["logs/logs/syslog.log"]);
    assert_eq!(archive.text("logs/logs/syslog.log"), "Dec 31 23:30:00 till b\nJan  1 00:30:00 till c\n");
    let archive = store.collect("2024-12-31T21:00:00Z", "2024-12-31T22:00:00Z");
    assert_eq!(archive.text("logs/logs/syslog.log.1"), "Dec 31 23:30:00 till older\n");
}

#[test]
fn an_open_order_of_day_and_month_is_settled_by_the_modification() {
    let store = Store::new();
    let text = "05/11/2026 10:30:00 paid\n05/11/2026 12:30:00 paid\n";
    store.write("logs/till.log", text, "2026-11-05T11:00:00Z");
    let collect = |from, to| store.collect(from, to).files.len();
    assert_eq!(collect("2026-11-05T08:00:00Z", "2026-11-05T09:00:00Z"), 1);
    assert_eq!(collect("2026-05-11T00:00:00Z", "2026-05-12T00:00:00Z"), 0);
    store.write("logs/till.log", text, "2026-05-11T11:00:00Z");
    assert_eq!(collect("2026-11-05T00:00:00Z", "2026-11-06T00:00:00Z"), 0);
    assert_eq!(collect("2026-05-11T07:00:00Z", "2026-05-11T08:00:00Z"), 1);
}

#[test]
fn utf16_is_transcoded_and_other_bytes_stay() {
    let store = Store::new();
    let text = "2026-11-21 09:00:00 до\r\n2026-11-21 10:30:00 оплата 5 €\r\n2026-11-21 12:00:00 после\r\n";
    let little =
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    store.write("logs/little.log", little, MODIFIED);
    store.write("logs/big.log", gzipped(big), MODIFIED);
    store.write("logs/bom.log", "\u{feff}2026-11-21 10:30:00 first\n2026-11-21 11:30:00 x\n", MODIFIED);
    store.write("logs/cp1251.log", b"2026-11-21 10:30:00 \xee\xef\xeb\xe0\xf2\xe0\n", MODIFIED);
    let archive = store.collect(FROM, TO);
    for name in ["logs/logs/little.log", "logs/logs/big.log"] {
        assert_eq!(archive.text(name), "2026-11-21 10:30:00 оплата 5 €\r\n");
    }
    assert_eq!(archive.about("logs/logs/little.log")["encoding"], "utf-16le");
    assert_eq!(archive.about("logs/logs/big.log")["encoding"], "utf-16be");
    assert_eq!(archive.about("logs/logs/cp1251.log")["encoding"], "bytes");
    assert_eq!(archive.text("logs/logs/bom.log"), "\u{feff}2026-11-21 10:30:00 first\n");
    assert_eq!(archive.files["logs/logs/cp1251.log"], b"2026-11-21 10:30:00 \xee\xef\xeb\xe0\xf2\xe0\n");
}

#[test]
fn rotated_and_packed_files_are_read_through() {
    let store = Store::new();
    let all = lines("2026-11-21T00:00:00Z", "2026-11-21T12:00:00Z", 1, "till served guest");
    let (older, newer) = all.split_at(all.find("2026-11-21T08:30:00Z").unwrap());
    store.write("logs/till.log", newer, MODIFIED);
    store.write(
        "logs/till.log.1.gz",
        [gzipped(&older[..40]), gzipped(&older[40..])].concat(),
        "2026-11-21T08:30:00Z",
    );
    let damaged = gzipped(older);
    store.write("logs/damaged.log.gz", &damaged[..damaged.len() - 20], "2026-11-21T08:30:00Z");
    let archive = store.collect(FROM, TO);
    let whole = archive.text("logs/logs/till.log.1") + &archive.text("logs/logs/till.log");
    assert_eq!(whole, lines(FROM, TO, 1, "till served guest"));
    assert!(archive.text("logs/logs/damaged.log").len() > 50_000, "what comes before the damage is there");
    assert!(archive.about("logs/logs/damaged.log")["trouble"].is_string());
}

#[test]
fn an_empty_period_is_refused_and_an_unlucky_one_tells_why() {
    let store = Store::new();
    store.write("logs/till.log", lines("2026-11-21T00:00:00Z", "2026-11-21T01:00:00Z", 60, "x"), MODIFIED);
    store.write("logs/empty.log", "", MODIFIED);
    assert!(store.try_collect(FROM, FROM).unwrap_err().to_string().contains("before"));
    let archive = store.collect(FROM, TO);
    assert_eq!((archive.collected.parts.len(), archive.collected.files), (1, 0));
    assert_eq!(archive.why_not("till.log"), "nothing_in_period");
    assert_eq!(archive.why_not("empty.log"), "no_times_and_not_modified_in_period");
}
