//! Finding the moment from which on all entries fit, and leaving out what is older.

use libdeflater::Decompressor;

use super::deflate::{Deflater, END};
use super::parts::Layout;
use super::spill::{Block, Key, Span, Spill, keys};
use crate::logs::{CollectError, Watch};

/// How many moments are considered; the search among them takes a dozen tries.
const MOMENTS: usize = 4096;

/// Takes out of the spill what does not fit: after this every entry that stays is newer than every one that
/// does not, and the layout keeps to its limit. Tells whether anything was left out.
pub(super) fn keep(
    spill: &mut Spill<'_>,
    deflater: &mut Deflater,
    layout: &Layout,
    watch: &mut Watch<'_>,
) -> Result<bool, CollectError> {
    let blocks: Vec<Block> = spill.blocks().cloned().collect();
    let all = blocks.iter().map(|block| (block.file, block.segment_len, block.raw_len));
    if spill.watermark().is_none() && layout.fits(all) {
        return Ok(false);
    }
    let mut trimmer = Trimmer { spill, deflater, text: Vec::new(), segment: Vec::new() };

    // Between these two the moment lies: even without the blocks across it, or only with them as a whole.
    let mut edges: Vec<Key> = blocks.iter().flat_map(|block| [block.oldest, after(block.newest)]).collect();
    edges.extend(trimmer.spill.watermark().map(after));
    edges.sort_unstable();
    edges.dedup();
    let floor = trimmer.spill.watermark().map(after);
    edges.retain(|edge| floor.is_none_or(|floor| *edge >= floor));
    let fits = |cut: Key, whole: bool| {
        let kept =
            blocks.iter().filter(|block| if whole { block.newest >= cut } else { block.oldest >= cut });
        layout.fits(kept.map(|block| (block.file, block.segment_len, block.raw_len)))
    };
    let low = edges.partition_point(|edge| !fits(*edge, false)).saturating_sub(1);
    let high = edges.partition_point(|edge| !fits(*edge, true));
    let Some((low, high)) = edges.get(low).zip(edges.get(high).or(edges.last())) else { return Ok(true) };

    let mut moments = vec![*low, *high];
    let across: Vec<&Block> =
        blocks.iter().filter(|block| block.newest >= *low && block.oldest < *high).collect();
    let entries: u64 = across.iter().map(|block| u64::from(block.entries)).sum();
    let stride = (entries as usize).div_ceil(MOMENTS).max(1);
    for block in &across {
        let (spans, _) = trimmer.spill.index(block)?;
        moments.extend(keys(block.offset, &spans).step_by(stride).filter(|key| (*low..=*high).contains(key)));
    }
    moments.sort_unstable();
    moments.dedup();
    let (mut start, mut end) = (0, moments.len() - 1);
    while start < end {
        let middle = start.midpoint(end);
        if layout.fits(trimmer.sizes(&blocks, moments[middle], watch)?.into_iter()) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    trimmer.apply(&blocks, moments[end], watch)?;
    Ok(true)
}

/// The next key after this one.
fn after(key: Key) -> Key {
    Key { time: key.time, offset: key.offset + 1 }
}

struct Trimmer<'a, 'b> {
    spill: &'a mut Spill<'b>,
    deflater: &'a mut Deflater,
    text: Vec<u8>,
    segment: Vec<u8>,
}

impl Trimmer<'_, '_> {
    /// What each block takes if only entries from `cut` on stay.
    fn sizes(
        &mut self,
        blocks: &[Block],
        cut: Key,
        watch: &Watch<'_>,
    ) -> Result<Vec<(u32, u32, u32)>, CollectError> {
        let mut sizes = Vec::new();
        for block in blocks.iter().filter(|block| block.newest >= cut) {
            if block.oldest >= cut {
                sizes.push((block.file, block.segment_len, block.raw_len));
            } else {
                watch.check()?;
                let (spans, _) = self.trim(block, cut)?;
                let raw_len = spans.iter().map(|span| span.len).sum();
                sizes.push((block.file, self.segment.len() as u32, raw_len));
            }
        }
        Ok(sizes)
    }

    fn apply(&mut self, blocks: &[Block], cut: Key, watch: &Watch<'_>) -> Result<(), CollectError> {
        for block in blocks.iter().filter(|block| block.oldest < cut) {
            watch.check()?;
            let trimmed = if block.newest >= cut { Some(self.trim(block, cut)?) } else { None };
            self.spill.remove(block.place());
            if let Some((spans, redacted)) = trimmed {
                let mut fresh = Block::new(block.file, block.offset, &self.text, &spans, redacted.len());
                fresh.goes_on = block.goes_on && spans.len() == block.entries as usize;
                self.spill.add(fresh, &self.segment, &spans, &redacted)?;
            }
        }
        Ok(())
    }

    /// Unpacks a block, drops its entries before `cut`, and compresses the rest into `self.segment`.
    fn trim(&mut self, block: &Block, cut: Key) -> Result<(Vec<Span>, Vec<usize>), CollectError> {
        let (spans, redacted) = self.spill.index(block)?;
        self.spill.segment(block, &mut self.segment)?;
        self.segment.extend_from_slice(&END);
        self.text.resize(block.raw_len as usize, 0);
        Decompressor::new()
            .deflate_decompress(&self.segment, &mut self.text)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
        let (mut kept_spans, mut kept_redacted) = (Vec::new(), Vec::new());
        let (mut read, mut written) = (0, 0);
        for (key, span) in keys(block.offset, &spans).zip(&spans) {
            let length = span.len as usize;
            if key >= cut {
                let start = redacted.partition_point(|at| *at < read);
                let within = redacted[start..].iter().take_while(|at| **at < read + length);
                kept_redacted.extend(within.map(|at| at - read + written));
                self.text.copy_within(read..read + length, written);
                written += length;
                kept_spans.push(*span);
            }
            read += length;
        }
        self.text.truncate(written);
        self.deflater.segment(&self.text, &mut self.segment);
        Ok((kept_spans, kept_redacted))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::logs::Phase;

    /// Choosing reads and compresses again, for longer than a cancel may take.
    #[test]
    fn a_cancel_ends_the_choice_of_what_stays() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = AtomicBool::new(false);
        let mut deflater = Deflater::new();
        let keep = |deflater: &mut Deflater| {
            let mut spill = Spill::new(dir.path(), 20_000, &cancel).unwrap();
            // Text that does not compress.
            let mut state = 1_u32;
            let text: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .take(90_000)
            .collect();
            // Two times across each other, so that blocks have to be taken apart.
            let spans: Vec<Span> = (0..90).map(|n| Span { len: 1000, time: n * 7919 % 101 }).collect();
            let mut segment = Vec::new();
            deflater.segment(&text, &mut segment);
            for number in 0..2 {
                let block = Block::new(number, 0, &text, &spans, 0);
                spill.add(block, &segment, &spans, &[]).unwrap();
            }
            let layout = Layout::new(20_000, &[]);
            let mut progress = |_: Phase, _: u64, _: Option<u64>| {};
            let mut watch = Watch {
                progress: &mut progress,
                cancel: &cancel,
                phase: Phase::Compressing,
                done: 0,
                total: None,
            };
            super::keep(&mut spill, deflater, &layout, &mut watch)
        };
        assert!(matches!(keep(&mut deflater), Ok(true)));
        cancel.store(true, Ordering::Relaxed);
        assert!(matches!(keep(&mut deflater), Err(CollectError::Canceled)));
    }
}
