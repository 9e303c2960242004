//! Rows as text with tabs, for the clipboard: the columns and cells of the sheet.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::Zone;
use super::columns::{Cell, columns};
use super::words::Words;
use crate::ipc::CopyRequest;
use crate::rows::Entry;

/// A line of titles, then a line for each row. Times are as spreadsheets of any language read them.
pub(crate) fn tabbed(request: &CopyRequest, entries: &[Arc<Entry>]) -> String {
    let words = Words::new(&request.words, &request.locale);
    let zone = Zone::new(&request.time_zone);
    let columns = columns(&request.columns, &words);
    let mut text = String::with_capacity((entries.len() + 1) * columns.len() * 12);
    for (nth, column) in columns.iter().enumerate() {
        separate(&mut text, nth);
        push_text(&mut text, &column.title);
    }
    for entry in entries {
        text.push('\n');
        for (nth, column) in columns.iter().enumerate() {
            separate(&mut text, nth);
            match (column.cell)(entry, &words) {
                Cell::Text(cell) => push_text(&mut text, &cell),
                Cell::Number(number) => text.push_str(&number.to_string()),
                Cell::Time(at) => text.push_str(&local(zone, at, &entry.time_zone)),
                Cell::Empty => {}
            }
        }
    }
    text
}

fn separate(text: &mut String, nth: usize) {
    if nth > 0 {
        text.push('\t');
    }
}

fn local(zone: Zone, at: DateTime<Utc>, outlet: &str) -> String {
    let zone = match zone {
        Zone::One(zone) => zone,
        Zone::Outlet => outlet.parse().unwrap_or(Tz::UTC),
    };
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Text that breaks no lines, ends no cell and starts no formula where it is pasted.
fn push_text(text: &mut String, cell: &str) {
    let flat: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Spreadsheets of some languages take the wide forms for the narrow ones.
    let is_formula = flat.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if is_formula {
        text.push('\'');
    }
    if flat.starts_with('"') && !is_formula {
        // A quote at the start has what follows taken for one cell up to the next quote, tabs and lines included.
        text.push('"');
        text.push_str(&flat.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(&flat);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::ipc::ExportColumn;
    use crate::rows::Texts;
    use crate::rows::tests::status;

    fn copied(keys: &[&str], changes: &[serde_json::Value]) -> String {
        let request = CopyRequest {
            columns: keys
                .iter()
                .map(|key| ExportColumn { key: (*key).into(), title: format!("<{key}>") })
                .collect(),
            words: BTreeMap::from([("link.online".into(), "на связи".into())]),
            locale: "ru".into(),
            time_zone: "Europe/Riga".into(),
        };
        let mut texts = Texts::default();
        let entries: Vec<_> = changes
            .iter()
            .zip(1..)
            .map(|(change, n)| Arc::new(Entry::from_status(status(n, change.clone()), &mut texts)))
            .collect();
        tabbed(&request, &entries)
    }

    #[test]
    fn a_line_a_row_in_the_words_and_the_zone_of_the_window() {
        let text = copied(
            &["link", "organization", "last_report_at", "behind"],
            &[json!({}), json!({"last_report_at": null})],
        );
        assert_eq!(
            text,
            "<link>\t<organization>\t<last_report_at>\t<behind>\tОжидают с\n\
             на связи\tOutlet 00001\t2026-11-21 14:00:00\t0\t\n\
             на связи\tOutlet 00002\t\t0\t"
        );
    }

    #[test]
    fn what_stores_say_is_text_where_it_is_pasted() {
        for (said, pasted) in [
            ("=1+1", "'=1+1"),
            ("+371", "'+371"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1+1", "'  =1+1"),
            ("\t=1+1", "' =1+1"),
            ("＝1+1", "'＝1+1"),
            ("a\r\n=1\tb", "a  =1 b"),
            ("\"half", "\"\"\"half\""),
            ("5 \"A\"", "5 \"A\""),
        ] {
            let text = copied(&["organization"], &[json!({"outlet": {"name": said}})]);
            assert_eq!(text, format!("<organization>\n{pasted}"), "{said:?}");
        }
    }
}
