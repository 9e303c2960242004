//! The times of a log, in whatever way somebody's program writes them. The first bytes say in which zone the store is and
//! when the file was written last.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use tillwatch_log_times::Survey;

/// Among them one with a fold at a half hour, one that skipped a day, and one without rules.
const ZONES: [&str; 5] = ["Europe/Riga", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "UTC"];
/// 1601, where the clock of Windows begins, in seconds since 1970.
const FIRST_WRITTEN: i64 = -11_644_473_600;

fuzz_target!(|input: (u8, u32, &[u8])| {
    let (zone, written, text) = input;
    let zone = TimeZone::get(ZONES[usize::from(zone) % ZONES.len()]).expect("a zone of the list");
    // Up to the year 9999.
    let modified = (FIRST_WRITTEN + i64::from(written) * 61) * 1_000_000;
    let lines = || text.split(|byte| *byte == b'\n');
    let mut survey = Survey::default();
    lines().for_each(|line| survey.observe(line));
    let Some(mut times) = survey.conclude(&zone, modified) else { return };
    if times.is_yearless() {
        times.start_counting_years();
        for line in lines() {
            times.read(line);
        }
        times.finish_counting_years();
    }
    for line in lines() {
        if let Some(stamp) = times.read(line) {
            assert!(stamp.earliest <= stamp.latest, "{stamp:?}");
            assert!(times.jump_near(stamp.earliest) >= 0);
        }
    }
});
