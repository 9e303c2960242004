//! The file around the rows: the library makes all of it with an outline of the sheet of statuses, and the rows take
//! their place in it as they are written.

use std::io::{self, Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// The sheet of statuses within the file; it is the first.
const STATUSES: &str = "xl/worksheets/sheet1.xml";
/// Smaller takes much more time: these are the levels of zlib.
const LEVEL: i64 = 3;

/// Writes the file `outline` to `to`, the sheet of statuses as `rows` makes it of its outline; gives `to` back.
pub(super) fn write<W: Write + Seek>(
    outline: &[u8],
    to: W,
    rows: impl Fn(&str, &mut ZipWriter<W>) -> io::Result<()>,
) -> io::Result<W> {
    let mut outline = ZipArchive::new(Cursor::new(outline))?;
    let mut file = ZipWriter::new(to);
    for at in 0..outline.len() {
        if outline.by_index_raw(at)?.name()? != STATUSES {
            file.raw_copy_file(outline.by_index_raw(at)?)?;
            continue;
        }
        let mut sheet = String::new();
        outline.by_index(at)?.read_to_string(&mut sheet)?;
        file.start_file(STATUSES, SimpleFileOptions::default().compression_level(Some(LEVEL)))?;
        rows(&sheet, &mut file)?;
    }
    Ok(file.finish()?)
}
