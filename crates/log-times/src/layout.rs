//! How a time may be written: parsers over bytes that look at one place and never search.

/// Microseconds in a second; times in this module are whole microseconds.
pub(super) const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A way of writing times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Seconds since 1970 with or without a fraction, or milli-, micro- or nanoseconds.
    Epoch,
    /// `2026-11-21T10:03:11.123+02:00`, `2026/11/21 10:03:11,123`, `20261121T100311Z`.
    YearFirst,
    /// `Nov 21 10:03:11`, `Nov 21 2026 10:03:11`, `Nov 21 10:03:11.5 2026`.
    MonthName,
    /// `21/Nov/2026:10:03:11 +0200`, `21 Nov 2026 10:03:11`.
    DayMonthName,
    /// `21.11.2026 10:03:11`, `11/21/26 10:03:11 AM`: the order has to be found out.
    Open,
}

impl Layout {
    /// In the order in which they are tried; what one takes, no other would read differently.
    pub(super) const ALL: [Self; 5] =
        [Self::YearFirst, Self::Epoch, Self::MonthName, Self::DayMonthName, Self::Open];

    /// Reads a time at the very start of `text`; gives it and its length.
    pub(super) fn parse(self, text: &[u8]) -> Option<(Written, usize)> {
        match self {
            Self::Epoch => epoch(text),
            Self::YearFirst => year_first(text),
            Self::MonthName => month_name(text),
            Self::DayMonthName => day_month_name(text),
            Self::Open => open(text),
        }
    }
}

/// A time as it stands in a line, before zone, year and order are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Microseconds since 1970: nothing is open.
    Instant(i64),
    /// A local time, in microseconds since 1970 as if it were UTC.
    Local(i64),
    /// A local time without its year.
    Yearless {
        /// 1 to 12.
        month: u32,
        /// 1 to 31.
        day: u32,
        /// Microseconds since midnight.
        clock: i64,
    },
    /// Three numbers whose order is open.
    Open {
        /// The numbers as they stand.
        parts: [u32; 3],
        /// Whether the third has four digits, so that it can only be the year.
        long_year: bool,
        /// Microseconds since midnight.
        clock: i64,
        /// Seconds east of UTC, if stated.
        offset: Option<i32>,
    },
}

/// The order of three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayMonthYear,
    MonthDayYear,
    YearMonthDay,
}

impl Order {
    pub(super) const ALL: [Self; 3] = [Self::DayMonthYear, Self::MonthDayYear, Self::YearMonthDay];

    /// The local time that the numbers mean in this order, if they are a date in it at all.
    pub(super) fn local(self, parts: [u32; 3], long_year: bool, clock: i64) -> Option<i64> {
        let (year, month, day) = match self {
            Self::DayMonthYear => (parts[2], parts[1], parts[0]),
            Self::MonthDayYear => (parts[2], parts[0], parts[1]),
            Self::YearMonthDay if long_year => return None,
            Self::YearMonthDay => (parts[0], parts[1], parts[2]),
        };
        let year = if long_year { year } else { year + 2000 };
        date(year.cast_signed(), month, day).map(|start| start + clock)
    }
}

/// Microseconds from 1970 to the start of a day, as if it were UTC; nothing if there is no such day.
pub(super) fn date(year: i32, month: u32, day: u32) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || !(1970..=2200).contains(&year) {
        return None;
    }
    // Howard Hinnant's days_from_civil: years start in March, eras are 400 years.
    let shifted = i64::from(year) - i64::from(month <= 2);
    let era = shifted / 400;
    let year_of_era = shifted % 400;
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * DAY)
}

/// Reads between `min` and `max` digits, all there are; more are a refusal.
fn number(text: &[u8], min: usize, max: usize) -> Option<(u32, usize)> {
    let length = text.iter().take(max + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if length < min || length > max {
        return None;
    }
    Some((text[..length].iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0')), length))
}

fn fixed(text: &[u8], digits: usize) -> Option<u32> {
    let text = text.get(..digits)?;
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// The three-letter English name of a month, whatever its case.
fn month(text: &[u8]) -> Option<u32> {
    const NAMES: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let name = [text.first()? | 32, text.get(1)? | 32, text.get(2)? | 32];
    NAMES.iter().position(|known| **known == name).map(|index| index as u32 + 1)
}

/// `10:03`, `10:03:11`, `10:03:11.123456`, `10:03:11,123`, `10:03:11:123`, each with `AM` or `PM` after it.
fn clock(text: &[u8]) -> Option<(i64, usize)> {
    let (hour, mut at) = number(text, 1, 2)?;
    if text.get(at) != Some(&b':') {
        return None;
    }
    let minute = fixed(text.get(at + 1..)?, 2)?;
    at += 3;
    let mut second = 0;
    let mut fraction = 0;
    if text.get(at) == Some(&b':')
        && let Some(read) = fixed(&text[at + 1..], 2)
    {
        second = read;
        at += 3;
        (fraction, at) = with_fraction(text, at);
    }
    // A leap second is read as the second after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (hour, at) = half_of_day(text, at, hour)?;
    Some(((i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * SECOND + fraction, at))
}

/// Microseconds of a fraction at `at`, and where it ends.
fn with_fraction(text: &[u8], at: usize) -> (i64, usize) {
    let Some(mark @ (b'.' | b',' | b':')) = text.get(at) else { return (0, at) };
    let digits = text[at + 1..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    // After a colon only milliseconds are meant; anything else is the text of the line.
    if !(1..=9).contains(&digits) || (*mark == b':' && digits != 3) {
        return (0, at);
    }
    let micros = (0..6).fold(0, |sum, place| {
        sum * 10 + if place < digits { i64::from(text[at + 1 + place] - b'0') } else { 0 }
    });
    (micros, at + 1 + digits)
}

fn half_of_day(text: &[u8], at: usize, hour: u32) -> Option<(u32, usize)> {
    let rest = &text[at..];
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let afternoon = match rest.first().map(|byte| byte | 32) {
        Some(b'a') => false,
        Some(b'p') => true,
        _ => return Some((hour, at)),
    };
    let ends = |length: usize| !rest.get(length).is_some_and(u8::is_ascii_alphanumeric);
    let length = match rest {
        [_, b'm' | b'M', ..] if ends(2) => 2,
        [_, b'.', b'm' | b'M', b'.', ..] => 4,
        _ => return Some((hour, at)),
    };
    if !(1..=12).contains(&hour) {
        return None;
    }
    Some((hour % 12 + if afternoon { 12 } else { 0 }, text.len() - rest.len() + length))
}

/// Hours east of UTC of a zone whose name means one offset only. Others are as if there were none.
fn named_zone(name: &[u8]) -> Option<i32> {
    Some(match name {
        b"UTC" | b"GMT" | b"WET" => 0,
        b"WEST" | b"CET" => 1,
        b"CEST" | b"EET" => 2,
        b"EEST" | b"MSK" => 3,
        b"EDT" => -4,
        b"EST" => -5,
        b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => return None,
    })
}

/// Seconds east of UTC at `at`: `Z`, `UTC`, `EET`, `+02:00`, `+0200`, `+02`, after a space too where that is plain.
fn zone(text: &[u8], at: usize) -> Option<(i32, usize)> {
    let (space, start) = match text.get(at)? {
        b' ' => (true, at + 1),
        _ => (false, at),
    };
    let rest = &text[start..];
    let ends = |length: usize| !rest.get(length).is_some_and(u8::is_ascii_alphanumeric);
    let sign = match rest.first()? {
        b'Z' | b'z' if ends(1) => return Some((0, start + 1)),
        b'A'..=b'Z' => {
            let length = rest.iter().take(5).take_while(|byte| byte.is_ascii_uppercase()).count();
            let hours = if ends(length) { named_zone(&rest[..length])? } else { return None };
            return Some((hours * 3600, start + length));
        }
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = fixed(&rest[1..], 2)?;
    let (minutes, length) = match rest.get(3) {
        Some(b':') => (fixed(&rest[4..], 2)?, 6),
        Some(byte) if byte.is_ascii_digit() => (fixed(&rest[3..], 2)?, 5),
        _ if space => return None,
        _ => (0, 3),
    };
    if hours > 14 || minutes % 15 != 0 || minutes > 45 || !ends(length) {
        return None;
    }
    Some((sign * (hours * 3600 + minutes * 60).cast_signed(), start + length))
}

/// Adds the zone at `at`, if one is stated, to a local time.
fn zoned(text: &[u8], local: i64, at: usize) -> (Written, usize) {
    match zone(text, at) {
        Some((offset, end)) => (Written::Instant(local - i64::from(offset) * SECOND), end),
        None => (Written::Local(local), at),
    }
}

/// Skips what stands between date and clock; at least one of them.
fn gap(text: &[u8], at: usize, marks: &[u8]) -> Option<usize> {
    let length = text.get(at..)?.iter().take(4).take_while(|byte| marks.contains(byte)).count();
    (length > 0).then_some(at + length)
}

fn year_first(text: &[u8]) -> Option<(Written, usize)> {
    let year = fixed(text, 4)?;
    if !(1990..=2100).contains(&year) {
        return None;
    }
    let mark = *text.get(4)?;
    if mark.is_ascii_digit() {
        return compact(text, year);
    }
    if !matches!(mark, b'-' | b'/' | b'.') {
        return None;
    }
    let (month, length) = number(&text[5..], 1, 2)?;
    let mut at = 5 + length;
    if text.get(at) != Some(&mark) {
        return None;
    }
    let (day, length) = number(&text[at + 1..], 1, 2)?;
    at = gap(text, at + 1 + length, b"Tt _,-")?;
    let start = date(year.cast_signed(), month, day)?;
    let (clock, length) = clock(&text[at..]).or_else(|| dotted_clock(&text[at..]))?;
    Some(zoned(text, start + clock, at + length))
}

/// `10.03.11` as some write it after a date with dashes.
fn dotted_clock(text: &[u8]) -> Option<(i64, usize)> {
    let (hour, minute, second) = (fixed(text, 2)?, fixed(text.get(3..)?, 2)?, fixed(text.get(6..)?, 2)?);
    if text[2] != b'.' || text[5] != b'.' || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, end) = with_fraction(text, 8);
    Some((i64::from(hour * 3600 + minute * 60 + second) * SECOND + fraction, end))
}

/// `20261121T100311Z`, `20261121-10:03:11.123`, `20261121100311`.
fn compact(text: &[u8], year: u32) -> Option<(Written, usize)> {
    let start = date(year.cast_signed(), fixed(text.get(4..)?, 2)?, fixed(text.get(6..)?, 2)?)?;
    let at = match text.get(8)? {
        b'T' | b't' | b' ' | b'-' | b'_' => 9,
        byte if byte.is_ascii_digit() => 8,
        _ => return None,
    };
    let rest = &text[at..];
    if rest.get(2) == Some(&b':') {
        let (clock, length) = clock(rest)?;
        return Some(zoned(text, start + clock, at + length));
    }
    let (hour, minute, second) = (fixed(rest, 2)?, fixed(&rest[2..], 2)?, fixed(&rest[4..], 2)?);
    if hour > 23 || minute > 59 || second > 60 || rest.get(6).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (fraction, end) = with_fraction(text, at + 6);
    Some(zoned(text, start + i64::from(hour * 3600 + minute * 60 + second) * SECOND + fraction, end))
}

fn month_name(text: &[u8]) -> Option<(Written, usize)> {
    let month = month(text)?;
    let at = gap(text, 3, b" ")?;
    let (day, length) = number(&text[at..], 1, 2)?;
    let mut at = gap(text, at + length, b" ,")?;
    if let Some((year, length)) = number(&text[at..], 4, 4) {
        at = gap(text, at + length, b" ,")?;
        let (clock, length) = clock(&text[at..])?;
        return Some(zoned(text, date(year.cast_signed(), month, day)? + clock, at + length));
    }
    let (clock, length) = clock(&text[at..])?;
    let end = at + length;
    // The C library's form puts the year last, after the zone if there is one.
    let after_zone = zone(text, end).map_or(end, |(_, end)| end);
    if text.get(after_zone) == Some(&b' ')
        && let Some((year, length)) = number(&text[after_zone + 1..], 4, 4)
        && (1990..=2100).contains(&year)
        && !text
            .get(after_zone + 1 + length)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b':')
    {
        let local = date(year.cast_signed(), month, day)? + clock;
        return Some((zoned(text, local, end).0, after_zone + 1 + length));
    }
    // Valid in some year: the leap day counts.
    date(2024, month, day)?;
    Some((Written::Yearless { month, day, clock }, end))
}

fn day_month_name(text: &[u8]) -> Option<(Written, usize)> {
    let (day, at) = number(text, 1, 2)?;
    let mark = *text.get(at)?;
    if !matches!(mark, b'/' | b'-' | b' ' | b'.') {
        return None;
    }
    let month = month(&text[at + 1..])?;
    if text.get(at + 4) != Some(&mark) {
        return None;
    }
    let (year, length) = number(&text[at + 5..], 4, 4)?;
    let at = gap(text, at + 5 + length, b": T,")?;
    let (clock, length) = clock(&text[at..])?;
    Some(zoned(text, date(year.cast_signed(), month, day)? + clock, at + length))
}

fn open(text: &[u8]) -> Option<(Written, usize)> {
    let (first, mut at) = number(text, 1, 2)?;
    let mark = *text.get(at)?;
    if !matches!(mark, b'/' | b'.' | b'-') {
        return None;
    }
    let (second, length) = number(&text[at + 1..], 1, 2)?;
    at += 1 + length;
    if text.get(at) != Some(&mark) {
        return None;
    }
    let (third, length) = number(&text[at + 1..], 2, 4)?;
    if length == 3 {
        return None;
    }
    at = gap(text, at + 1 + length, b" ,T")?;
    let (clock, length_of_clock) = clock(&text[at..])?;
    let end = at + length_of_clock;
    let parts = [first, second, third];
    let long_year = length == 4;
    Order::ALL.iter().find_map(|order| order.local(parts, long_year, clock))?;
    let (offset, end) = zone(text, end).map_or((None, end), |(offset, end)| (Some(offset), end));
    Some((Written::Open { parts, long_year, clock, offset }, end))
}

fn epoch(text: &[u8]) -> Option<(Written, usize)> {
    let digits = text.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    if !matches!(digits, 10 | 13 | 16 | 19) || !matches!(text[0], b'1'..=b'4') {
        return None;
    }
    let whole = text[..digits]
        .iter()
        .fold(0_i64, |sum, byte| sum.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    let (micros, end) = match digits {
        10 => {
            let (fraction, end) =
                if text.get(digits) == Some(&b':') { (0, digits) } else { with_fraction(text, digits) };
            (whole * SECOND + fraction, end)
        }
        13 => (whole * 1000, digits),
        16 => (whole, digits),
        _ => (whole / 1000, digits),
    };
    // Part of a word or of an address is no time.
    if text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')) {
        return None;
    }
    Some((Written::Instant(micros), end))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    #[test]
    fn each_way_of_writing_is_read() {
        let instant = |text: &str| Written::Instant(micros(text));
        let local = |text: &str| Written::Local(micros(text));
        for (layout, text, written) in [
            (Layout::YearFirst, "2026-11-21T10:03:11Z x", instant("2026-11-21T10:03:11Z")),
            (Layout::YearFirst, "2026-11-21T10:03:11.5+02:00 x", instant("2026-11-21T08:03:11.5Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11,123 x", local("2026-11-21T10:03:11.123Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11.123456789 x", local("2026-11-21T10:03:11.123456Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11 -0500 x", instant("2026-11-21T15:03:11Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11.1 UTC [12]", instant("2026-11-21T10:03:11.1Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11 -17 left", local("2026-11-21T10:03:11Z")),
            (Layout::YearFirst, "2026-11-21  10:03:11", local("2026-11-21T10:03:11Z")),
            (Layout::YearFirst, "2026/11/21 10:03 x", local("2026-11-21T10:03:00Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11:042 x", local("2026-11-21T10:03:11.042Z")),
            (Layout::YearFirst, "2026/1/2 3:04:05 PM x", local("2026-01-02T15:04:05Z")),
            (Layout::YearFirst, "2026-11-21-10.03.11.250", local("2026-11-21T10:03:11.25Z")),
            (Layout::YearFirst, "20261121T100311Z", instant("2026-11-21T10:03:11Z")),
            (Layout::YearFirst, "20261121-10:03:11.123|", local("2026-11-21T10:03:11.123Z")),
            (Layout::YearFirst, "20261121100311 x", local("2026-11-21T10:03:11Z")),
            (Layout::MonthName, "Nov 21 2026 10:03:11 x", local("2026-11-21T10:03:11Z")),
            (Layout::MonthName, "Nov 21 10:03:11.25 2026] x", local("2026-11-21T10:03:11.25Z")),
            (Layout::MonthName, "Nov 21 10:03:11 EET 2026 x", instant("2026-11-21T08:03:11Z")),
            (Layout::YearFirst, "2026-10-25 03:30:00.5 EEST [7]", instant("2026-10-25T00:30:00.5Z")),
            (Layout::YearFirst, "2026-11-21 10:03:11 ESTIMATE", local("2026-11-21T10:03:11Z")),
            (Layout::DayMonthName, "21/Nov/2026:10:03:11 +0200] x", instant("2026-11-21T08:03:11Z")),
            (Layout::DayMonthName, "21 nov 2026 10:03:11 GMT", instant("2026-11-21T10:03:11Z")),
            (Layout::Epoch, "1763719391 x", instant("2025-11-21T10:03:11Z")),
            (Layout::Epoch, "1763719391.123:45): x", instant("2025-11-21T10:03:11.123Z")),
            (Layout::Epoch, "1763719391123 x", instant("2025-11-21T10:03:11.123Z")),
            (Layout::Epoch, "1763719391123456,", instant("2025-11-21T10:03:11.123456Z")),
        ] {
            assert_eq!(layout.parse(text.as_bytes()).map(|read| read.0), Some(written), "{text}");
        }
        let yearless = |text: &str| Layout::MonthName.parse(text.as_bytes()).map(|read| read.0);
        let clock = (10 * 3600 + 3 * 60 + 11) * SECOND;
        assert_eq!(yearless("Nov 21 10:03:11 host"), Some(Written::Yearless { month: 11, day: 21, clock }));
        assert_eq!(yearless("Feb  9 10:03:11 host"), Some(Written::Yearless { month: 2, day: 9, clock }));
    }

    #[test]
    fn open_orders_keep_their_numbers() {
        let read = Layout::Open.parse(b"11/21/2026 10:03:11 PM x").unwrap().0;
        let Written::Open { parts, long_year, clock, .. } = read else { panic!("{read:?}") };
        assert_eq!((parts, long_year), ([11, 21, 2026], true));
        assert_eq!(Order::MonthDayYear.local(parts, true, clock), Some(micros("2026-11-21T22:03:11Z")));
        assert_eq!(Order::DayMonthYear.local(parts, true, clock), None);
        assert_eq!(Order::YearMonthDay.local([26, 11, 21], false, 0), Some(micros("2026-11-21T00:00:00Z")));
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "2026",
            "2026-11-21",
            "2026-13-01 10:00:00",
            "2026-02-29 10:00:00",
            "2026-11-21 25:00:00",
            "2026-11-21 10:61:00",
            "Nov 31 10:00:00",
            "Now 21 10:00:00",
            "10.0.0.1 10",
            "1.2.3 10:00:00",
            "12345678901",
            "1763719391abc",
            "5763719391",
            "99/99/9999 10:00:00",
            "13:01:02",
            "2026-11-21 13:00 PMX PM",
        ] {
            for layout in Layout::ALL {
                let read = layout.parse(text.as_bytes());
                assert!(read.is_none() || text.ends_with("PM"), "{text}: {layout:?} {read:?}");
            }
        }
    }
}
