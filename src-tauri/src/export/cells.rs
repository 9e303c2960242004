//! The cells of a sheet as XML: by far most of what a file holds, so written without a detour.

use std::fmt::Write;

/// Begins a cell; what stands in it follows. `style` is its attribute, as in ` s="3"`.
pub(super) fn open(xml: &mut String, column: &str, row: &str, style: &str) {
    for part in ["<c r=\"", column, row, "\"", style] {
        xml.push_str(part);
    }
}

/// Ends a cell with a text. Text stays text, whatever it begins with.
pub(super) fn text(xml: &mut String, text: &str) {
    let is_edge = |c: char| matches!(c, ' ' | '\t' | '\n');
    let has_edges = text.starts_with(is_edge) || text.ends_with(is_edge);
    xml.push_str(if has_edges {
        r#" t="inlineStr"><is><t xml:space="preserve">"#
    } else {
        r#" t="inlineStr"><is><t>"#
    });
    match cut(text) {
        Some(kept) => {
            push_escaped(xml, kept);
            xml.push('…');
        }
        None => push_escaped(xml, text),
    }
    xml.push_str("</t></is></c>");
}

/// Ends a cell with a number.
pub(super) fn number(xml: &mut String, number: impl std::fmt::Display) {
    // Writing into a string can't fail.
    let _ = write!(xml, "><v>{number}</v></c>");
}

/// Ends a cell with nothing in it but its colour.
pub(super) fn blank(xml: &mut String) {
    xml.push_str("/>");
}

/// A cell takes no longer text, counted in UTF-16 units.
pub(super) const LONGEST_TEXT: usize = 32_767;

/// What is kept of a text that a cell can't hold, with room for the sign that it was cut.
pub(super) fn cut(text: &str) -> Option<&str> {
    // A unit takes at least a byte.
    if text.len() <= LONGEST_TEXT || text.encode_utf16().count() <= LONGEST_TEXT {
        return None;
    }
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units >= LONGEST_TEXT
    });
    end.map(|(at, _)| &text[..at])
}

/// Adds text as XML can hold it. Characters that XML has no place for are written as `_xHHHH_`, which spreadsheets
/// read; what looks like that already gets its underscore written so.
fn push_escaped(xml: &mut String, text: &str) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in 0..bytes.len() {
        let escape = match bytes[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'_' if reads_as_escape(&bytes[at..]) => "_x005F_",
            0..0x20 | 0xef => match unwritable(&bytes[at..]) {
                Some((code, length)) => {
                    xml.push_str(&text[done..at]);
                    let _ = write!(xml, "_x{code:04X}_");
                    done = at + length;
                    continue;
                }
                None => continue,
            },
            _ => continue,
        };
        xml.push_str(&text[done..at]);
        xml.push_str(escape);
        done = at + 1;
    }
    xml.push_str(&text[done..]);
}

/// The character that begins here and how many bytes it has, if XML has no place for it.
fn unwritable(bytes: &[u8]) -> Option<(u16, usize)> {
    match bytes {
        [b'\t' | b'\n', ..] => None,
        [control @ 0..0x20, ..] => Some((u16::from(*control), 1)),
        [0xef, 0xbf, 0xbe, ..] => Some((0xfffe, 3)),
        [0xef, 0xbf, 0xbf, ..] => Some((0xffff, 3)),
        _ => None,
    }
}

/// Whether what begins here would be read as an escaped character, the next character being escaped or not.
fn reads_as_escape(bytes: &[u8]) -> bool {
    match bytes {
        [b'_', b'x', a, b, c, d, rest @ ..] => {
            [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit)
                && (rest.first() == Some(&b'_') || unwritable(rest).is_some())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut xml = String::new();
        push_escaped(&mut xml, text);
        xml
    }

    #[test]
    fn any_text_is_xml_that_says_the_same() {
        for (text, xml) in [
            ("", ""),
            ("Rīga", "Rīga"),
            ("<a & b>", "&lt;a &amp; b&gt;"),
            ("a\u{1}b\rc\td\ne", "a_x0001_b_x000D_c\td\ne"),
            ("\u{0}", "_x0000_"),
            ("\u{fffe}x\u{ffff}", "_xFFFE_x_xFFFF_"),
            ("_x0041_", "_x005F_x0041_"),
            ("_x00g1_ _x004_ _x", "_x00g1_ _x004_ _x"),
            ("_x0041_x0042_", "_x005F_x0041_x005F_x0042_"),
            ("_x0041\u{1}", "_x005F_x0041_x0001_"),
        ] {
            assert_eq!(escaped(text), xml, "{text:?}");
        }
    }

    #[test]
    fn text_that_a_cell_can_not_hold_is_cut_and_says_so() {
        let written = |of: &str| {
            let mut xml = String::new();
            text(&mut xml, of);
            xml.split_once("<t>").unwrap().1.split_once("</t>").unwrap().0.to_owned()
        };
        let most = "ж".repeat(LONGEST_TEXT);
        assert_eq!(written(&most), most);
        let cut = written(&"ж".repeat(40_000));
        assert_eq!(cut, format!("{}…", "ж".repeat(LONGEST_TEXT - 1)));
        // Two units each: the one that would not fit whole is left out.
        let cut = written(&"😀".repeat(20_000));
        assert_eq!(cut, format!("{}…", "😀".repeat(LONGEST_TEXT / 2)));
        assert!(cut.encode_utf16().count() <= LONGEST_TEXT);
    }
}
