//! The sheet that sums up: when, by whom, which filter, how many, and a chart.

use rust_xlsxwriter::{
    Chart, ChartFormat, ChartPoint, ChartSolidFill, Color, Format, Workbook, Worksheet, XlsxError,
};

use super::words::Words;
use super::{Sheet, Zone, capped};
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
    let bold = Format::new().set_bold();
    let title = Format::new().set_bold().set_font_size(14);
    let time =
        Format::new().set_num_format("yyyy\\-mm\\-dd\\ hh:mm").set_align(rust_xlsxwriter::FormatAlign::Left);
    let worksheet = workbook.add_worksheet();
    worksheet.set_name(name)?;
    worksheet.set_column_width(0, 26)?;
    worksheet.set_column_width(1, 48)?;
    worksheet.write_string_with_format(0, 0, words.get("summary.title"), &title)?;
    if sheet.is_offline() {
        let warning = Format::new().set_bold().set_font_color(Color::RGB(0x9C_2B2B));
        worksheet.write_string_with_format(1, 0, words.get("summary.offline"), &warning)?;
    }
    let times = [("summary.written_at", Some(sheet.written_at)), ("summary.as_of", sheet.summary.as_of)];
    for (row, (label, at)) in (2..).zip(times) {
        worksheet.write_string_with_format(row, 0, words.get(label), &bold)?;
        // Each outlet's own zone says nothing about the file itself.
        if let Some(local) = at.and_then(|at| zone.local(at, "UTC")) {
            worksheet.write_datetime_with_format(row, 1, local, &time)?;
        }
    }
    let zone_name = match zone {
        Zone::One(zone) => zone.name().to_owned(),
        Zone::Outlet => format!("{}; UTC", words.get("summary.outlet_zone")),
    };
    let user = match (&sheet.session.name, &sheet.session.email) {
        (Some(name), Some(email)) => format!("{name} ({email})"),
        (name, email) => name.clone().or(email.clone()).unwrap_or_default(),
    };
    let filter = filter(sheet, words);
    let filter =
        if filter.is_empty() { words.get("summary.no_filter").to_owned() } else { filter.join("; ") };
    let cloud = sheet.session.url.clone().unwrap_or_default();
    let texts = [
        ("summary.time_zone", zone_name),
        ("summary.by", user),
        ("summary.cloud", cloud),
        ("summary.filter", filter),
    ];
    for (row, (label, text)) in (4..).zip(texts) {
        worksheet.write_string_with_format(row, 0, words.get(label), &bold)?;
        worksheet.write_string(row, 1, capped(&text))?;
    }
    for (row, (label, count)) in
        (8..).zip([("summary.rows", sheet.entries.len() as u32), ("summary.total", sheet.summary.total)])
    {
        worksheet.write_string_with_format(row, 0, words.get(label), &bold)?;
        let left = Format::new().set_num_format("#,##0").set_align(rust_xlsxwriter::FormatAlign::Left);
        worksheet.write_number_with_format(row, 1, count, &left)?;
    }
    write_table(worksheet, sheet, words, &bold)?;
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
        worksheet.write_number(row, 1, count)?;
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

/// The filters that are on, each in words.
pub(super) fn filter(sheet: &Sheet, words: &Words<'_>) -> Vec<String> {
    let query = &sheet.query;
    let mut parts = Vec::new();
    let named = |chain_only: bool, id: &str| {
        sheet.options.iter().find(|option| match &option.outlet_id {
            Some(outlet_id) => !chain_only && outlet_id == id,
            None => chain_only && option.chain_id == id,
        })
    };
    if let Some(id) = &query.outlet_id {
        let name = named(false, id).and_then(|option| option.organization.clone());
        parts.push(name.unwrap_or_else(|| id.clone()));
    } else if let Some(id) = &query.chain_id {
        parts.push(named(true, id).map_or_else(|| id.clone(), |option| option.chain.clone()));
    }
    if let Some(within) = &query.within {
        parts.push(format!("{} {within}", words.get("summary.within")));
    }
    if query.problems_only {
        parts.push(words.get("summary.problems_only").to_owned());
    }
    if let Some(only) = query.only {
        let word = match only {
            Only::Error => "summary.error",
            Only::UpdateRequired => "summary.update_required",
            Only::Offline => "summary.offline_rows",
            Only::Unknown => "summary.unknown",
        };
        parts.push(words.get(word).to_owned());
    }
    let search = query.search.trim();
    if !search.is_empty() {
        parts.push(format!("{} “{search}”", words.get("summary.search")));
    }
    parts
}
