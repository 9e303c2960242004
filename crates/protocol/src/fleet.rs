//! Reading a fleet import: the whole file is good, or each bad line is named and nothing is imported. The cloud
//! reads what it is sent, the desktop what it is about to send.

use std::collections::HashMap;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::rest::admin::FleetLine;

/// The columns of a CSV file, in any order.
pub const COLUMNS: [&str; 6] = ["chain", "outlet", "crm_id", "address", "time_zone", "pos_server"];
/// The longest name or address, in characters.
const MAX_CHARS: usize = 200;

/// A line of a file with the number that people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// In CSV the line of the file, where the header is 1; in JSON the entry of the list, from 1.
    pub number: u64,
    /// What it says.
    pub line: FleetLine,
}

/// A line that can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {number}: {fault}")]
pub struct BadLine {
    /// As in [`Numbered`].
    pub number: u64,
    /// Why.
    #[serde(flatten)]
    pub fault: Fault,
}

/// Why a line can't be imported. `Display` says it in English.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Fault {
    /// Bytes that are no text.
    #[error("the file is not UTF-8 from here on")]
    NotUtf8,
    /// A file that begins like JSON and is not what an import takes.
    #[error("not a JSON list of objects: {detail}")]
    NotJson {
        /// What the reader said.
        detail: String,
    },
    /// A CSV line that can't be read.
    #[error("{detail}")]
    NotCsv {
        /// What the reader said.
        detail: String,
    },
    /// An entry of a JSON list that is not a line.
    #[error("{detail}")]
    NotALine {
        /// What the reader said.
        detail: String,
    },
    /// The first line does not name the columns.
    #[error("the header line `{}` is missing", COLUMNS.join(","))]
    HeaderMissing,
    /// It names others besides.
    #[error("the header names other columns than {}", COLUMNS.join(","))]
    HeaderUnknown,
    /// More or fewer fields than columns.
    #[error("{found} fields instead of {}", COLUMNS.len())]
    Fields {
        /// How many.
        found: usize,
    },
    /// A name or an address that can't be kept.
    #[error("{column} {fault}")]
    Text {
        /// Of which column.
        column: String,
        /// Why.
        fault: TextFault,
    },
    /// A time zone that nobody knows.
    #[error("`{name}` is not a known time zone, such as Europe/Riga")]
    TimeZone {
        /// Its first 60 characters.
        name: String,
    },
    /// The POS server was in the file already.
    #[error("the same POS server as in line {line}")]
    Repeated {
        /// Where.
        line: u64,
    },
    /// The outlet was in the file already with other data.
    #[error("another crm_id, address or time_zone for the outlet of line {line}")]
    OutletDiffers {
        /// Where.
        line: u64,
    },
    /// Nothing but a header.
    #[error("there is no line to import")]
    Nothing,
    /// The chain is not one that the importer may add to; whether it is there is not told.
    #[error("there is no chain `{chain}` that you administer")]
    ChainUnknown {
        /// Its name.
        chain: String,
    },
    /// The outlet is in the cloud with other data.
    #[error("the outlet `{outlet}` is there already with another {column}")]
    OutletTaken {
        /// Its name.
        outlet: String,
        /// What differs.
        column: String,
    },
    /// The POS server is in the cloud.
    #[error("the POS server `{pos_server}` of this outlet is there already")]
    PosServerTaken {
        /// Its name.
        pos_server: String,
    },
}

/// What is wrong with a name or an address; said after the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TextFault {
    /// It has to be there.
    #[error("is empty")]
    Empty,
    /// Too many characters.
    #[error("is longer than {MAX_CHARS} characters")]
    TooLong,
    /// A line break or the like.
    #[error("has a control character in it")]
    ControlCharacter,
}

fn bad(number: u64, fault: Fault) -> BadLine {
    BadLine { number, fault }
}

/// Reads a file: JSON when it begins like a list, CSV otherwise.
pub fn parse(bytes: &[u8]) -> Result<Vec<Numbered>, Vec<BadLine>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let number = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        vec![bad(number as u64, Fault::NotUtf8)]
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = if text.trim_start().starts_with(['[', '{']) { parse_json(text)? } else { parse_csv(text)? };
    check(lines)
}

fn parse_json(text: &str) -> Result<Vec<Numbered>, Vec<BadLine>> {
    let entries: Vec<serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| vec![bad(error.line() as u64, Fault::NotJson { detail: error.to_string() })])?;
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (entry, number) in entries.into_iter().zip(1..) {
        match serde_json::from_value(entry) {
            Ok(line) => lines.push(Numbered { number, line: trimmed(line) }),
            Err(error) => errors.push(bad(number, Fault::NotALine { detail: error.to_string() })),
        }
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

fn parse_csv(text: &str) -> Result<Vec<Numbered>, Vec<BadLine>> {
    let header = text.lines().next().unwrap_or_default();
    let delimiter = if header.contains(';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let Some(Ok(header)) = records.next() else {
        return Err(vec![bad(1, Fault::HeaderMissing)]);
    };
    let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
    let place = |column: &str| names.iter().position(|name| name == column);
    let Some(places) = COLUMNS.iter().map(|column| place(column)).collect::<Option<Vec<_>>>() else {
        return Err(vec![bad(1, Fault::HeaderMissing)]);
    };
    if names.len() != COLUMNS.len() {
        return Err(vec![bad(1, Fault::HeaderUnknown)]);
    }
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    let mut line_at = line_counter(text.as_bytes());
    for record in records {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            vec![bad(line, Fault::NotCsv { detail: error.to_string() })]
        })?;
        let number = line_at(record.position().map_or(0, csv::Position::byte));
        if record.len() != COLUMNS.len() {
            errors.push(bad(number, Fault::Fields { found: record.len() }));
            continue;
        }
        let field = |index: usize| record.get(places[index]).unwrap_or_default().to_owned();
        let line = FleetLine {
            chain: field(0),
            outlet: field(1),
            crm_id: field(2),
            address: field(3),
            time_zone: field(4),
            pos_server: field(5),
        };
        lines.push(Numbered { number, line: trimmed(line) });
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

/// Tells the line of a record by where it begins. The reader's own count is one behind after `\r\n`.
fn line_counter(text: &[u8]) -> impl FnMut(u64) -> u64 {
    let (mut seen, mut line) = (0, 1);
    move |byte| {
        let mut begin = (byte as usize).max(seen).min(text.len());
        while text.get(begin).is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            begin += 1;
        }
        line += text[seen..begin].split(|byte| *byte == b'\n').count() as u64 - 1;
        seen = begin;
        line
    }
}

fn trimmed(line: FleetLine) -> FleetLine {
    let trim = |text: String| text.trim().to_owned();
    FleetLine {
        chain: trim(line.chain),
        outlet: trim(line.outlet),
        crm_id: trim(line.crm_id),
        address: trim(line.address),
        time_zone: trim(line.time_zone),
        pos_server: trim(line.pos_server),
    }
}

/// Checks each line by itself, and against those before it.
fn check(lines: Vec<Numbered>) -> Result<Vec<Numbered>, Vec<BadLine>> {
    let mut errors = Vec::new();
    let mut servers: HashMap<(&str, &str, &str), u64> = HashMap::new();
    let mut outlets: HashMap<(&str, &str), &Numbered> = HashMap::new();
    for numbered in &lines {
        let Numbered { number, line } = numbered;
        if let Some(fault) = fault(line) {
            errors.push(bad(*number, fault));
            continue;
        }
        let outlet = (line.chain.as_str(), line.outlet.as_str());
        if let Some(first) = servers.insert((outlet.0, outlet.1, &line.pos_server), *number) {
            errors.push(bad(*number, Fault::Repeated { line: first }));
            continue;
        }
        let first = outlets.entry(outlet).or_insert(numbered);
        let differs = |a: &FleetLine, b: &FleetLine| {
            (a.crm_id != b.crm_id) || (a.address != b.address) || (a.time_zone != b.time_zone)
        };
        if differs(&first.line, line) {
            errors.push(bad(*number, Fault::OutletDiffers { line: first.number }));
        }
    }
    if lines.is_empty() {
        errors.push(bad(2, Fault::Nothing));
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

fn fault(line: &FleetLine) -> Option<Fault> {
    [
        ("chain", &line.chain, true),
        ("outlet", &line.outlet, true),
        ("pos_server", &line.pos_server, true),
        ("crm_id", &line.crm_id, false),
        ("address", &line.address, false),
    ]
    .into_iter()
    .find_map(|(column, text, needed)| {
        text_fault(text, needed).map(|fault| Fault::Text { column: column.into(), fault })
    })
    .or_else(|| time_zone_fault(&line.time_zone))
}

/// What is wrong with a name or an address.
pub fn text_fault(text: &str, needed: bool) -> Option<TextFault> {
    if needed && text.is_empty() {
        return Some(TextFault::Empty);
    }
    if text.chars().count() > MAX_CHARS {
        return Some(TextFault::TooLong);
    }
    text.contains(char::is_control).then_some(TextFault::ControlCharacter)
}

/// What is wrong with the name of a time zone.
pub fn time_zone_fault(name: &str) -> Option<Fault> {
    let shown = || name.chars().take(60).collect();
    name.parse::<Tz>().is_err().then(|| Fault::TimeZone { name: shown() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "chain,outlet,crm_id,address,time_zone,pos_server\n";

    fn reasons(text: &[u8]) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn commas_semicolons_a_bom_and_json_say_the_same() {
        let csv = format!("{HEADER}Pizza,Rīga 1,007,\"Brīvības 1, Rīga\",Europe/Riga,Main POS\r\n");
        let expected = parse(csv.as_bytes()).unwrap();
        assert_eq!(expected[0].number, 2);
        assert_eq!(expected[0].line.crm_id, "007");
        assert_eq!(expected[0].line.address, "Brīvības 1, Rīga");
        let semicolons = "\u{feff}pos_server;chain;outlet;crm_id;address;time_zone\r\n\
            Main POS; Pizza ;Rīga 1;007;Brīvības 1, Rīga;Europe/Riga\r\n";
        assert_eq!(parse(semicolons.as_bytes()).unwrap(), expected);
        let json = serde_json::to_string(&[&expected[0].line]).unwrap();
        assert_eq!(parse(json.as_bytes()).unwrap()[0].line, expected[0].line);
    }

    #[test]
    fn a_bad_line_is_named_with_its_reason() {
        let good = "Pizza,Riga 1,1,,Europe/Riga,Main\n";
        for (lines, expected) in [
            (
                format!("{good}Pizza,Riga 2,2,,Mars/Base,Main\n"),
                "line 3: `Mars/Base` is not a known time zone, such as Europe/Riga",
            ),
            (format!("{good}Pizza, ,2,,Europe/Riga,Main\n"), "line 3: outlet is empty"),
            (format!("{good}{good}"), "line 3: the same POS server as in line 2"),
            (format!("{good}Pizza,Riga 2\n"), "line 3: 2 fields instead of 6"),
            (
                format!("{good}Pizza,Riga 1,2,,Europe/Riga,Second\n"),
                "line 3: another crm_id, address or time_zone for the outlet of line 2",
            ),
            (
                "Pizza,\"a\nb\",2,,Europe/Riga,Main\n".to_owned(),
                "line 2: outlet has a control character in it",
            ),
            (String::new(), "line 2: there is no line to import"),
        ] {
            assert_eq!(reasons(format!("{HEADER}{lines}").as_bytes()), [expected]);
        }
        let missing = "line 1: the header line `chain,outlet,crm_id,address,time_zone,pos_server` is missing";
        assert_eq!(reasons(good.as_bytes()), [missing]);
        assert_eq!(reasons(b""), [missing]);
    }

    #[test]
    fn every_bad_line_is_named_by_its_place_in_the_file() {
        let text =
            format!("{HEADER},Riga,1,,Europe/Riga,Main\n\nPizza,,1,\"a\nb\",Europe/Riga,Main\n,,,,,\n");
        let expected = ["line 2: chain is empty", "line 4: outlet is empty", "line 6: chain is empty"];
        assert_eq!(reasons(text.as_bytes()), expected);
        assert_eq!(reasons(text.replace('\n', "\r\n").as_bytes()), expected);
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        let mut text = format!("{HEADER}Pizza,R").into_bytes();
        text.extend([0xee, b'g', b'a', b'\n']);
        assert_eq!(reasons(&text), ["line 2: the file is not UTF-8 from here on"]);
    }
}
