//! ISO 8601 durations as the interface takes them: days, hours, minutes and seconds, such as `PT5H`.

use std::time::Duration;

/// What [`parse_duration`] reads, as a regular expression. It allows fewer digits, so that no text that fits is
/// longer than the longest duration.
pub const DURATION_PATTERN: &str =
    r"^P(?=.)([0-9]{1,4}D)?(T(?=[0-9])([0-9]{1,5}H)?([0-9]{1,7}M)?([0-9]{1,9}S)?)?$";

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 8601 duration of days, hours, minutes and seconds, such as PT5H or P1DT12H")]
pub struct DurationError(String);

/// Reads `P[nD][T[nH][nM][nS]]` with whole numbers; at least one part must be there.
///
/// Years and months are refused, as their length depends on the calendar. The longest accepted span is
/// 36,600 days, so that adding one to any time of interest does not overflow.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let fail = || DurationError(text.chars().take(40).collect());
    let rest = text.strip_prefix('P').ok_or_else(fail)?;
    let (days, clock) = match rest.split_once('T') {
        Some((_, "")) => return Err(fail()),
        Some((days, clock)) => (days, clock),
        None => (rest, ""),
    };
    if days.is_empty() && clock.is_empty() {
        return Err(fail());
    }
    let mut seconds = take_parts(days, &[('D', 86_400)]).ok_or_else(fail)?;
    seconds = take_parts(clock, &[('H', 3_600), ('M', 60), ('S', 1)])
        .and_then(|clock| seconds.checked_add(clock))
        .ok_or_else(fail)?;
    if seconds > 36_600 * 86_400 {
        return Err(fail());
    }
    Ok(Duration::from_secs(seconds))
}

/// Writes a duration in the form that [`parse_duration`] reads; parts of a second are dropped.
pub fn format_duration(duration: Duration) -> String {
    let total = duration.as_secs();
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3_600 % 24, total / 60 % 60, total % 60);
    let part = |n: u64, unit: char| if n == 0 { String::new() } else { format!("{n}{unit}") };
    let clock = part(hours, 'H') + &part(minutes, 'M') + &part(seconds, 'S');
    match (days, clock.is_empty()) {
        (0, true) => "PT0S".into(),
        (_, true) => format!("P{days}D"),
        _ => format!("P{}T{clock}", part(days, 'D')),
    }
}

/// Sums `<number><unit>` parts whose units come in the given order, each at most once.
fn take_parts(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut units = units.iter();
    let mut sum = 0_u64;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let unit = text[digits..].chars().next()?;
        let (_, seconds) = units.find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(text[..digits].parse::<u64>().ok()?.checked_mul(*seconds)?)?;
        text = &text[digits + unit.len_utf8()..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds) in [
            ("PT5H", 18_000),
            ("P1D", 86_400),
            ("P1DT12H", 129_600),
            ("PT90M", 5_400),
            ("PT1H30M5S", 5_405),
            ("PT0S", 0),
        ] {
            let read = parse_duration(text).unwrap();
            assert_eq!(read.as_secs(), seconds, "{text}");
            assert_eq!(parse_duration(&format_duration(read)), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "P",
            "PT",
            "5H",
            "PT5",
            "P1M",
            "P1Y",
            "PT1M1H",
            "PT1H1H",
            "PT-1H",
            "PT1.5H",
            "P1DT",
            "pt5h",
            "PT99999999999999999999H",
            "P40000D",
            "PTéH",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
