//! The sheet that sums up: when, by whom, which filter, how many, and a chart.

use std::borrow::Cow;

use rust_xlsxwriter::{
    Chart, ChartFormat, ChartPoint, ChartSolidFill, Color, ExcelDateTime, Format, FormatAlign, Workbook,
    Worksheet, XlsxError,
};

use super::statuses::DATE_FORMAT;
use super::words::Words;
use super::{Sheet, Zone, cells};
use crate::ipc::{Highlight, LinkState, Only};

/// The row of the table's header.
const TABLE: u32 = 11;

/// Writes the sheet.
pub(super) fn write(
    workbook: &mut Workbook,
    sheet: &Sheet,
    words: &Words<'_>,
    zone: Zone,
) -> Result<(), XlsxError> {
    let name = words.get("sheet.summary");
    let bold = Format::new().set_bold().set_align(FormatAlign::Top);
    let title = Format::new().set_bold().set_font_size(14);
    let left = Format::new().set_align(FormatAlign::Left);
    let time = left.clone().set_num_format(DATE_FORMAT);
    let whole = left.set_num_format("#,##0");
    // Text, also once somebody has edited the cell.
    let plain = Format::new().set_num_format("@").set_text_wrap().set_align(FormatAlign::Top);
    let worksheet = workbook.add_worksheet();
    worksheet.set_name(name)?;
    worksheet.set_column_width(0, 26)?;
    worksheet.set_column_width(1, 64)?;
    worksheet.set_print_fit_to_pages(1, 0);
    worksheet.write_string_with_format(0, 0, words.get("summary.title"), &title)?;
    if sheet.is_offline() {
        let warning = Format::new().set_bold().set_font_color(Color::RGB(0x9C_2B2B));
        worksheet.write_string_with_format(1, 0, words.get("summary.offline"), &warning)?;
    }
    let times = [("summary.written_at", Some(sheet.written_at)), ("summary.as_of", sheet.summary.as_of)];
    for (row, (label, at)) in (2..).zip(times) {
        worksheet.write_string_with_format(row, 0, words.get(label), &bold)?;
        if let Some(at) = at {
            // Each outlet's own zone says nothing about the file itself.
            let local = zone.local(at, "UTC").and_utc().timestamp();
            worksheet.write_datetime_with_format(row, 1, ExcelDateTime::from_timestamp(local)?, &time)?;
        }
    }
    let zone_name = match zone {
        Zone::One(zone) => zone.name(),
        Zone::Outlet => words.get("summary.outlet_zone"),
    };
    let user = match (&sheet.session.name, &sheet.session.email) {
        (Some(name), Some(email)) => &format!("{name} ({email})"),
        (name, email) => name.as_deref().or(email.as_deref()).unwrap_or_default(),
    };
    let filter = filter(sheet, words);
    let filter = if filter.is_empty() { words.get("summary.no_filter") } else { &filter };
    let cloud = sheet.session.url.as_deref().unwrap_or_default();
    let texts = [
        ("summary.time_zone", zone_name),
        ("summary.by", user),
        ("summary.cloud", cloud),
        ("summary.filter", filter),
    ];
    for (row, (label, text)) in (4..).zip(texts) {
        worksheet.write_string_with_format(row, 0, words.get(label), &bold)?;
        worksheet.write_string_with_format(row, 1, cells::cut(text).unwrap_or(text), &plain)?;
    }
    for (row, (label, count)) in
        (8..).zip([("summary.rows", sheet.rows()), ("summary.total", sheet.summary.total)])
    {
        worksheet.write_string_with_format(row, 0, words.get(label), &bold)?;
        worksheet.write_number_with_format(row, 1, count, &whole)?;
    }
    write_table(worksheet, sheet, words, &bold, &whole)?;
    chart(worksheet, name, words)
}

/// The colour of each part, in the order of the table.
const COLOURS: [u32; 5] = [0xC9_4A4A, 0xD9_A520, 0x8A_8A8A, 0xB8_B8D0, 0x3E_8E6A];

/// Counts the rows of the file, each once, by what is worst about it.
fn write_table(
    worksheet: &mut Worksheet,
    sheet: &Sheet,
    words: &Words<'_>,
    bold: &Format,
    whole: &Format,
) -> Result<(), XlsxError> {
    let mut counts = [0_u32; COLOURS.len()];
    for entry in &sheet.entries {
        let part = match (entry.highlight, entry.link_state) {
            (Highlight::Error, _) => 0,
            (Highlight::UpdateRequired, _) => 1,
            (_, LinkState::Offline | LinkState::NeverConnected) => 2,
            (_, LinkState::Unknown) => 3,
            (_, LinkState::Online) => 4,
        };
        counts[part] += 1;
    }
    worksheet.write_string_with_format(TABLE, 0, words.get("summary.state"), bold)?;
    worksheet.write_string_with_format(TABLE, 1, words.get("summary.count"), bold)?;
    let labels = PARTS.map(|part| words.get(part));
    for (row, (label, count)) in (TABLE + 1..).zip(labels.into_iter().zip(counts)) {
        worksheet.write_string(row, 0, label)?;
        worksheet.write_number_with_format(row, 1, count, whole)?;
    }
    Ok(())
}

const PARTS: [&str; COLOURS.len()] =
    ["summary.error", "summary.update_required", "summary.offline_rows", "summary.unknown", "summary.well"];

fn chart(worksheet: &mut Worksheet, name: &str, words: &Words<'_>) -> Result<(), XlsxError> {
    let points: Vec<ChartPoint> = COLOURS
        .iter()
        .map(|&colour| {
            let fill = ChartSolidFill::new().set_color(Color::RGB(colour)).clone();
            ChartPoint::new().set_format(ChartFormat::new().set_solid_fill(&fill))
        })
        .collect();
    let last = TABLE + COLOURS.len() as u32;
    let mut chart = Chart::new_pie();
    chart
        .add_series()
        .set_categories((name, TABLE + 1, 0, last, 0))
        .set_values((name, TABLE + 1, 1, last, 1))
        .set_points(&points);
    chart.title().set_name(words.get("summary.title"));
    worksheet.insert_chart(TABLE + 7, 0, &chart)?;
    Ok(())
}

/// The filters that are on, in words; empty if none is.
pub(super) fn filter(sheet: &Sheet, words: &Words<'_>) -> String {
    let query = &sheet.query;
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    // All rows have the chain or the outlet that they were chosen by.
    let chosen = sheet.entries.first();
    if let Some(id) = &query.outlet_id {
        parts.push(chosen.map_or(id.as_str(), |entry| &entry.organization).into());
    } else if let Some(id) = &query.chain_id {
        parts.push(chosen.map_or(id.as_str(), |entry| &entry.chain).into());
    }
    if let Some(within) = &query.within {
        parts.push(format!("{} {}", words.get("summary.within"), words.duration(within)).into());
    }
    if query.problems_only {
        parts.push(words.get("summary.problems_only").into());
    }
    if let Some(only) = query.only {
        let word = match only {
            Only::Error => "summary.error",
            Only::UpdateRequired => "summary.update_required",
            Only::Offline => "summary.offline_rows",
            Only::Unknown => "summary.unknown",
        };
        parts.push(words.get(word).into());
    }
    let search = query.search.trim();
    if !search.is_empty() {
        parts.push(format!("{} “{search}”", words.get("summary.search")).into());
    }
    parts.join("; ")
}
