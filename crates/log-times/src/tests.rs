use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Europe::Riga;
use proptest::prelude::*;

use super::*;

fn riga() -> TimeZone {
    TimeZone::get("Europe/Riga").unwrap()
}

fn micros(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().unwrap().timestamp_micros()
}

fn shown(instant: i64) -> String {
    DateTime::from_timestamp_micros(instant).unwrap().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn times(lines: &[&str], modified: &str) -> Option<Times> {
    let mut survey = Survey::default();
    for line in lines {
        survey.observe(line.as_bytes());
    }
    survey.conclude(&riga(), micros(modified))
}

/// What each line is read as: an instant, two with a bar between, or `-` where no entry starts.
fn read(lines: &[&str], modified: &str) -> Vec<String> {
    let Some(mut times) = times(lines, modified) else { return vec!["none".into()] };
    let stamp = |line: &&str| match times.read(line.as_bytes()) {
        None => "-".to_owned(),
        Some(stamp) if stamp.earliest == stamp.latest => shown(stamp.latest),
        Some(stamp) => format!("{}|{}", shown(stamp.earliest), shown(stamp.latest)),
    };
    lines.iter().map(stamp).collect()
}

#[test]
fn each_form_is_found_out() {
    let modified = "2026-11-21T12:00:00Z";
    for (line, instant) in [
        ("2026-11-21T10:03:11Z INFO paid", "2026-11-21T10:03:11Z"),
        ("2026-11-21T10:03:11.5+02:00 INFO paid", "2026-11-21T08:03:11.500Z"),
        ("2026-11-21 10:03:11,123 INFO paid", "2026-11-21T08:03:11.123Z"),
        ("\u{1b}[2m2026-11-21T10:03:11.5Z\u{1b}[0m \u{1b}[32mINFO\u{1b}[0m paid", "2026-11-21T10:03:11.500Z"),
        ("[2026-11-21 10:03:11] INFO paid", "2026-11-21T08:03:11Z"),
        ("2026-11-21 10:03:11 status unpacked libc-bin:amd64", "2026-11-21T08:03:11Z"),
        ("update-alternatives 2026-11-21 10:03:11: run with --quiet", "2026-11-21T08:03:11Z"),
        ("Start-Date: 2026-11-21  10:03:11", "2026-11-21T08:03:11Z"),
        ("Nov 21 10:03:11 till kernel: eth0 up", "2026-11-21T08:03:11Z"),
        ("<34>Nov 21 10:03:11 till su: failed", "2026-11-21T08:03:11Z"),
        ("<165>1 2026-11-21T10:03:11.003Z till app 8710 - - up", "2026-11-21T10:03:11.003Z"),
        ("2026-11-21T10:03:11.123456+02:00 till kernel: up", "2026-11-21T08:03:11.123456Z"),
        ("10.0.0.7 - - [21/Nov/2026:10:03:11 +0200] \"GET / HTTP/1.1\" 200 5", "2026-11-21T08:03:11Z"),
        ("[Sat Nov 21 10:03:11.123 2026] [error] [client ::1] no", "2026-11-21T08:03:11.123Z"),
        ("11/21/2026 10:03:11 AM started", "2026-11-21T08:03:11Z"),
        ("21.11.2026 10:03:11 started", "2026-11-21T08:03:11Z"),
        ("1795248191 started", "2026-11-21T08:03:11Z"),
        ("[1795248191.5] started", "2026-11-21T08:03:11.500Z"),
        ("1795248191123 started", "2026-11-21T08:03:11.123Z"),
        ("type=SYSCALL msg=audit(1795248191.123:45): arch=c000003e", "2026-11-21T08:03:11.123Z"),
        ("{\"level\":\"info\",\"time\":\"2026-11-21T10:03:11Z\",\"msg\":\"x\"}", "2026-11-21T10:03:11Z"),
        ("{\"level\":30,\"time\":1795248191123,\"msg\":\"x\"}", "2026-11-21T08:03:11.123Z"),
        ("level=info ts=2026-11-21T10:03:11.5Z msg=x", "2026-11-21T10:03:11.500Z"),
        ("1234:M 21 Nov 2026 10:03:11.123 * Ready", "2026-11-21T08:03:11.123Z"),
        ("INFO  2026-11-21 10:03:11.123 [main] x", "2026-11-21T08:03:11.123Z"),
        ("2026-11-21 10:03:11.123 UTC [77] LOG:  ready", "2026-11-21T10:03:11.123Z"),
    ] {
        assert_eq!(read(&[line, line, line], modified), [instant; 3], "{line}");
    }
}

#[test]
fn an_epoch_beats_a_local_time_beside_it() {
    let modified = "2026-11-21T12:00:00Z";
    let audit = "Nov 21 03:00:00 till kernel: audit: type=1400 audit(1795248191.123:45): denied";
    assert_eq!(
        read(&[audit, "Nov 21 10:03:12 till app: up"], modified),
        ["2026-11-21T08:03:11.123Z", "2026-11-21T08:03:12Z"]
    );
    for line in [
        "2026-11-21 03:00:00 1795248191 up",
        "1795248191 2026-11-21 03:00:00 up",
        "[2026-11-21 03:00:00] (1795248191) up",
        "Nov 21 03:00:00 1795248191.0 up",
    ] {
        assert_eq!(read(&[line, line], modified), ["2026-11-21T08:03:11Z"; 2], "{line}");
    }
    // A number that means another moment is a number.
    let order = "2026-11-21 10:03:11 1234567890 ordered";
    assert_eq!(read(&[order, order], modified), ["2026-11-21T08:03:11Z"; 2]);
    for number_first in [
        "1234567890 2026-11-21 10:03:11 ordered",
        "1234567890 Nov 21 10:03:11 ordered",
        "1234567890 21.11.2026 10:03:11 ordered",
    ] {
        assert_eq!(read(&[number_first, number_first], modified), ["2026-11-21T08:03:11Z"; 2]);
    }
}

#[test]
fn continuation_lines_start_nothing() {
    let lines = [
        "2026-11-21 10:03:11,123 ERROR failed",
        "java.lang.IllegalStateException: at 2026-11-20 09:00:00",
        "\tat com.example.Till.pay(Till.java:42)",
        "  2026-11-20 09:00:00 was the last success",
        "Caused by: java.io.IOException",
        "",
        "2026-11-21 10:03:12,000 INFO up",
    ];
    let first = "2026-11-21T08:03:11.123Z";
    assert_eq!(
        read(&lines, "2026-11-21T12:00:00Z"),
        [first, "-", "-", "-", "-", "-", "2026-11-21T08:03:12Z"]
    );
}

#[test]
fn files_without_times_are_told() {
    for lines in [
        &["hello", "world"][..],
        &["Font directories:", "\t/usr/share/fonts"],
        &["1000000001 first order", "1000000002 second order"],
        &["[   12.345678] usb 1-1: new device", "[   12.445678] usb 1-1: gone"],
        &["version 1.2.3", "10.0.0.1 10.0.0.2"],
        &[],
    ] {
        assert_eq!(read(lines, "2026-11-21T12:00:00Z"), ["none"], "{lines:?}");
    }
    let mut long = vec!["no time here"; 100];
    long[3] = "2026-11-21 10:00:00 started";
    assert!(times(&long, "2026-11-21T12:00:00Z").is_none(), "one line of a hundred is no rule");
}

#[test]
fn an_open_order_is_settled_by_values_then_by_the_modification() {
    let order = |lines: &[&str], modified: &str| times(lines, modified).unwrap().describe();
    assert_eq!(
        order(&["03/04/2026 10:00:00 a", "13/04/2026 10:00:00 b"], "2026-11-21T12:00:00Z"),
        "day_month_year"
    );
    assert_eq!(
        order(&["03/04/2026 10:00:00 a", "03/14/2026 10:00:00 b"], "2026-11-21T12:00:00Z"),
        "month_day_year"
    );
    assert_eq!(order(&["05/11/2026 10:00:00 a"; 2], "2026-11-05T12:00:00Z"), "day_month_year");
    assert_eq!(order(&["05/11/2026 10:00:00 a"; 2], "2026-05-11T12:00:00Z"), "month_day_year");
    assert_eq!(order(&["05.11.2026 10:00:00 a"; 2], "2026-05-11T12:00:00Z"), "month_day_year");
    assert_eq!(order(&["10/11/12 10:00:00 a"; 2], "2012-11-10T12:00:00Z"), "day_month_year");
    assert_eq!(order(&["10/11/12 10:00:00 a"; 2], "2012-10-11T12:00:00Z"), "month_day_year");
    assert_eq!(order(&["10/11/12 10:00:00 a"; 2], "2010-11-12T12:00:00Z"), "year_month_day");
    // The last lines read the same either way; those before them are in order in one reading only.
    let lines = ["09/11/2026 10:00:00 a", "10/11/2026 10:00:00 b", "11/11/2026 10:00:00 c"];
    assert_eq!(order(&lines, "2026-11-11T12:00:00Z"), "day_month_year");
}

#[test]
fn a_missing_year_comes_from_the_modification_and_rolls_back_over_new_year() {
    let lines = ["Dec 30 10:00:00 a", "Dec 31 23:59:59 b", "Jan  1 00:00:00 c", "Jan  2 09:00:00 d"];
    let expected =
        ["2025-12-30T08:00:00Z", "2025-12-31T21:59:59Z", "2025-12-31T22:00:00Z", "2026-01-02T07:00:00Z"];
    assert_eq!(read(&lines, "2026-01-02T10:00:00Z"), expected);
    // Written on New Year's Eve in UTC, on New Year's Day in Riga.
    assert_eq!(read(&["Jan  1 01:00:00 c"; 2], "2025-12-31T23:30:00Z"), ["2025-12-31T23:00:00Z"; 2]);
    assert_eq!(read(&["Feb 29 12:00:00 leap"; 2], "2026-03-01T10:00:00Z"), ["2024-02-29T10:00:00Z"; 2]);
}

#[test]
fn years_are_counted_through_a_file_of_several() {
    let lines = [
        "Nov 20 10:00:00 a",
        "Jan 05 10:00:00 b",
        "Nov 20 10:00:00 c",
        "Dec 31 10:00:00 d",
        "Jan  1 10:00:00 e",
        "Dec 31 23:59:00 late",
        "Nov 19 10:00:00 f",
    ];
    let mut times = times(&lines, "2026-11-21T10:00:00Z").unwrap();
    times.start_counting_years();
    for line in &lines {
        let _ = times.read(line.as_bytes());
    }
    times.finish_counting_years();
    let years: Vec<String> =
        lines.iter().map(|line| shown(times.read(line.as_bytes()).unwrap().latest)[..4].to_owned()).collect();
    assert_eq!(years, ["2024", "2025", "2025", "2025", "2026", "2025", "2026"]);
}

#[test]
fn nights_when_clocks_change_miss_nothing() {
    let modified = "2026-11-21T12:00:00Z";
    // 25 October 2026: 04:00 becomes 03:00, so that 03:30 comes twice.
    assert_eq!(
        read(&["2026-10-25 02:30:00 a", "2026-10-25 03:30:00 b", "2026-10-25 04:30:00 c"], modified),
        ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z|2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]
    );
    // 29 March 2026: 03:00 becomes 04:00; what says 03:30 was written by a clock that was not put forward.
    assert_eq!(
        read(&["2026-03-29 02:59:59 a", "2026-03-29 03:30:00 b", "2026-03-29 04:30:00 c"], modified),
        ["2026-03-29T00:59:59Z", "2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z"]
    );
    let stamp = Stamp { earliest: 10, latest: 20 };
    assert_eq!(
        [stamp.within(5, 15), stamp.within(15, 25), stamp.within(5, 25), stamp.within(11, 20)],
        [Some(10), Some(20), Some(20), None]
    );
}

proptest! {
    /// Whatever a file holds, reading it ends and gives no panic.
    #[test]
    fn any_lines_are_read(lines in prop::collection::vec(prop::collection::vec(prop::sample::select(b"0123456789:-/., TZJanNov+[]\"={}\xc3\t".to_vec()), 0..60), 0..20), modified in 0_i64..4_000_000_000_000_000) {
        let mut survey = Survey::default();
        for line in &lines {
            survey.observe(line);
        }
        if let Some(mut times) = survey.conclude(&riga(), modified) {
            times.start_counting_years();
            for line in &lines {
        let _ = times.read(line);
    }
            times.finish_counting_years();
            for line in &lines {
        let _ = times.read(line);
    }
        }
    }

    /// A time that was written is read back, in every form, at any moment.
    #[test]
    fn what_is_written_is_read(second in 1_000_000_000_i64..2_000_000_000, form in 0_usize..6) {
        let instant = DateTime::from_timestamp(second, 0).unwrap();
        let local = instant.with_timezone(&Riga);
        let line = match form {
            0 => local.format("%Y-%m-%d %H:%M:%S x").to_string(),
            1 => local.format("%Y-%m-%dT%H:%M:%S%:z x").to_string(),
            2 => local.format("h - - [%d/%b/%Y:%H:%M:%S %z] x").to_string(),
            3 => local.format("%m/%d/%Y %I:%M:%S %p x").to_string(),
            4 => local.format("%b %e %H:%M:%S h x").to_string(),
            _ => local.format("%s x").to_string(),
        };
        let mut survey = Survey::default();
        survey.observe(line.as_bytes());
        let mut times = survey.conclude(&riga(), instant.timestamp_micros()).unwrap();
        let stamp = times.read(line.as_bytes()).unwrap();
        let at = instant.timestamp_micros();
        prop_assert!(stamp.earliest == at || stamp.latest == at, "{} {:?}", line, stamp);
    }
}
