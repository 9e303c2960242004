//! Archives as they are handed out: their names and the ranges that a download asks for.

use std::fmt::Write;
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

/// How long an archive is kept.
pub const KEPT: TimeDelta = TimeDelta::days(7);

/// The longest outlet name within a file name, in bytes: with the rest it stays under the 255 bytes that file
/// systems take.
const MAX_OUTLET_BYTES: usize = 120;

/// Names that Windows keeps for devices, whatever follows the first dot.
const RESERVED: &[&str] = &[
    "CON", "PRN", "AUX", "NUL", "COM0", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8",
    "COM9", "LPT0", "LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
];

/// The name under which an archive is saved: outlet, period in UTC, and the part when there are several. It is
/// good on Windows, macOS and Linux, whatever the outlet is called.
pub fn file_name(outlet: &str, from: DateTime<Utc>, to: DateTime<Utc>, part: u32, parts: u32) -> String {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H%M%SZ");
    let part = if parts > 1 { format!(" part {part} of {parts}") } else { String::new() };
    format!("{} logs {} to {}{part}.zip", plain_name(outlet), time(from), time(to))
}

/// An outlet's name without what a file system or a shell takes otherwise.
fn plain_name(outlet: &str) -> String {
    let mut name = String::new();
    for c in outlet.chars() {
        let c = match c {
            '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' => '_',
            // Controls, and marks that turn the direction of text and so could disguise the extension.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
            {
                '_'
            }
            c if c.is_whitespace() => ' ',
            c => c,
        };
        if name.len() + c.len_utf8() > MAX_OUTLET_BYTES {
            break;
        }
        name.push(c);
    }
    let name = name.trim_matches([' ', '.']);
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    if name.is_empty() {
        "outlet".to_owned()
    } else if RESERVED.iter().any(|reserved| stem.eq_ignore_ascii_case(reserved)) {
        format!("_{name}")
    } else {
        name.to_owned()
    }
}

/// The `Content-Disposition` of a download (RFC 6266): the name in UTF-8, and one in ASCII for programs that
/// do not read that.
pub fn content_disposition(file_name: &str) -> String {
    let ascii: String = file_name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let mut encoded = String::new();
    for byte in file_name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// What a download gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// No byte of the content was asked for.
    Unsatisfiable,
}

/// Reads a `Range` header against content of this size (RFC 9110). Several ranges at once and other units are
/// answered with the whole, as the RFC allows.
pub fn select(header: Option<&str>, size: u64) -> Selection {
    let Some(range) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Selection::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-').filter(|_| !range.contains(',')) else {
        return Selection::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| -> Option<u64> {
        // A number too large for u64 lies past any content.
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => within(first, last.saturating_add(1), size),
        (Some(first), None) if last.is_empty() => within(first, u64::MAX, size),
        (None, Some(0)) if first.is_empty() => Selection::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => within(size.saturating_sub(suffix), u64::MAX, size),
        _ => Selection::Whole,
    }
}

fn within(start: u64, end: u64, size: u64) -> Selection {
    if start >= size { Selection::Unsatisfiable } else { Selection::Part(start..end.min(size)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(outlet: &str) -> String {
        let from = "2026-11-20T05:00:00Z".parse().unwrap();
        file_name(outlet, from, from + TimeDelta::hours(5), 1, 1)
    }

    #[test]
    fn names_tell_outlet_period_and_part() {
        assert_eq!(name("Riga Centrs"), "Riga Centrs logs 2026-11-20T050000Z to 2026-11-20T100000Z.zip");
        let from = "2026-11-20T05:00:00Z".parse().unwrap();
        let part = file_name("Кафе «У дома»", from, from, 2, 3);
        assert!(part.starts_with("Кафе «У дома» logs ") && part.ends_with(" part 2 of 3.zip"), "{part}");
    }

    #[test]
    fn names_are_good_on_windows() {
        for (outlet, start) in [
            ("../../etc/passwd", "_.._etc_passwd logs"),
            ("a<b>c:d\"e/f\\g|h?i*j", "a_b_c_d_e_f_g_h_i_j logs"),
            ("CON", "_CON logs"),
            ("nul.txt", "_nul.txt logs"),
            ("Com1 .x", "_Com1 .x logs"),
            ("Console", "Console logs"),
            (" . ", "outlet logs"),
            ("", "outlet logs"),
            ("a\u{202e}gpj\u{0}\n", "a_gpj__ logs"),
        ] {
            let name = name(outlet);
            assert!(name.starts_with(start), "{outlet:?} became {name:?}");
        }
        for long in ["x".repeat(1000), "ж".repeat(1000), "🍔".repeat(1000)] {
            assert!(name(&long).len() < 255);
        }
    }

    #[test]
    fn the_disposition_is_plain_ascii() {
        assert_eq!(
            content_disposition("Кафе \"1\".zip"),
            "attachment; filename=\"____ _1_.zip\"; filename*=UTF-8''%D0%9A%D0%B0%D1%84%D0%B5%20%221%22.zip"
        );
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |start, end| Selection::Part(start..end);
        for (header, expected) in [
            (None, Selection::Whole),
            (Some("bytes=0-0"), part(0, 1)),
            (Some("bytes=0-99"), part(0, 100)),
            (Some("bytes=10-"), part(10, 100)),
            (Some("bytes=-10"), part(90, 100)),
            (Some("bytes=-1000"), part(0, 100)),
            (Some("bytes=50-5000"), part(50, 100)),
            (Some("bytes=50-99999999999999999999999"), part(50, 100)),
            (Some("bytes=100-"), Selection::Unsatisfiable),
            (Some("bytes=-0"), Selection::Unsatisfiable),
            (Some("bytes=0-1,5-6"), Selection::Whole),
            (Some("bytes=5-1"), Selection::Whole),
            (Some("bytes=-"), Selection::Whole),
            (Some("bytes=a-b"), Selection::Whole),
            (Some("lines=1-2"), Selection::Whole),
        ] {
            assert_eq!(select(header, 100), expected, "{header:?}");
        }
        assert_eq!(select(Some("bytes=0-"), 0), Selection::Unsatisfiable);
    }
}
