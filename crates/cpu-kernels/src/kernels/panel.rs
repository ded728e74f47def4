//! Images as convolution reads them: for every tap of a kernel, the values under it at all positions lie side by side.
//!
//! A panel holds, for each channel, one copy of the image for each column that a kernel's tap can stand in, shifted so
//! that the value under the tap at output column 0 is in column 0, with zeros for the padding; and for a stride, the
//! rows that a tap can see apart from those that it cannot. Rows are as wide as the output. So the value under a tap at
//! output position `p` (counted along the rows) is at a fixed offset plus `p`: a convolution becomes a product of
//! matrices whose rows are read in place.

use super::vector::Vector;

/// How an axis of a panel is cut out of an axis of the image: position `i` of copy `c` is `starts[c] + i * step` there.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) step: usize,
    pub(crate) starts: Vec<isize>,
}

/// The form of a panel.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) channels: usize,
    /// Height and width of the image.
    pub(crate) size: [usize; 2],
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
    /// Columns of the output: the length of a row.
    pub(crate) width: usize,
    /// Rows of the output that one panel serves; a higher output takes several panels.
    pub(crate) strip: usize,
    /// Rows of a panel beyond the output's: what the taps below the first one reach.
    pub(crate) extra: usize,
}

/// A strip's panel should stay in the second-level cache with what else is needed there.
const BUDGET: usize = 96 * 1024;

/// The rows of one strip, so that all strips of an output of `height` rows are about as high and their panels fit
/// into the cache, where `per_row` numbers stand for each row.
pub(crate) fn strip(height: usize, extra: usize, per_row: usize) -> usize {
    let most = (BUDGET / per_row.max(1)).saturating_sub(extra).max(1);
    height.div_ceil(height.div_ceil(most).max(1)).max(1)
}

impl Panel {
    fn plane(&self) -> usize {
        (self.strip + self.extra) * self.width
    }

    /// Numbers in a panel.
    pub(crate) fn len(&self) -> usize {
        self.channels * self.columns.starts.len() * self.rows.starts.len() * self.plane()
    }

    /// Where the value under a tap is at output position 0.
    pub(crate) fn offset(&self, channel: usize, row_copy: usize, row: usize, column_copy: usize) -> usize {
        debug_assert!(channel < self.channels && row <= self.extra);
        let copy = (channel * self.columns.starts.len() + column_copy) * self.rows.starts.len() + row_copy;
        copy * self.plane() + row * self.width
    }

    /// Writes the panel for output rows `first..first + rows` of an image, `(channel, row, column)`.
    #[inline(always)]
    pub(crate) fn fill<V: Vector>(&self, image: &[f32], first: usize, rows: usize, panel: &mut [f32]) {
        let [height, width] = self.size;
        assert!(image.len() == self.channels * height * width);
        assert!(rows <= self.strip && panel.len() >= self.len());
        let rows = rows + self.extra;
        for (channel, image) in image.chunks_exact((height * width).max(1)).enumerate() {
            for column_copy in 0..self.columns.starts.len() {
                for row_copy in 0..self.rows.starts.len() {
                    let plane = &mut panel[self.offset(channel, row_copy, 0, column_copy)..][..self.plane()];
                    let top = self.rows.starts[row_copy] + (first * self.rows.step) as isize;
                    self.copy::<V>(image, top, self.columns.starts[column_copy], &mut plane[..rows * self.width]);
                }
            }
        }
    }

    /// One copy of a channel: row 0 of `plane` is row `top` of the image, column 0 is column `left`.
    #[inline(always)]
    fn copy<V: Vector>(&self, image: &[f32], top: isize, left: isize, plane: &mut [f32]) {
        let [height, width] = self.size;
        let step = self.columns.step;
        // Of a row, columns `from..to` lie in the image.
        let from = (-left).max(0).unsigned_abs().div_ceil(step).min(self.width);
        let to = (width as isize - left).max(0).unsigned_abs().div_ceil(step).clamp(from, self.width);
        if step == 1 && self.rows.step == 1 && self.width == width && from < to {
            // Rows follow each other as they do in the image: one long copy, and zeros where it brought a row's end
            // into the next one's beginning.
            let above = (-top).clamp(0, (plane.len() / width) as isize).unsigned_abs();
            let end = (height as isize - top).clamp(above as isize, (plane.len() / width) as isize).unsigned_abs();
            plane[..above * width].fill(0.0);
            plane[end * width..].fill(0.0);
            if above == end {
                return;
            }
            let first = (above * width) as isize + top * width as isize + left;
            let plane = &mut plane[above * width..end * width];
            let skipped = (-first).max(0).unsigned_abs();
            let image = &image[first.max(0).unsigned_abs()..];
            let count = (plane.len() - skipped).min(image.len());
            // SAFETY: both have so many numbers.
            unsafe { V::copy(image.as_ptr(), plane[skipped..].as_mut_ptr(), count) }
            for row in plane.chunks_exact_mut(width) {
                for value in &mut row[..from] {
                    *value = 0.0;
                }
                for value in &mut row[to..] {
                    *value = 0.0;
                }
            }
            return;
        }
        for (row, to_row) in plane.chunks_exact_mut(self.width).enumerate() {
            let above = top + (row * self.rows.step) as isize;
            if above < 0 || above >= height as isize || from == to {
                to_row.fill(0.0);
                continue;
            }
            let image = &image[above.unsigned_abs() * width..][..width];
            let image = &image[(left + (from * step) as isize).unsigned_abs()..];
            for value in &mut to_row[..from] {
                *value = 0.0;
            }
            for value in &mut to_row[to..] {
                *value = 0.0;
            }
            let to_row = &mut to_row[from..to];
            assert!((to_row.len() - 1) * step < image.len());
            match step {
                // SAFETY: the assert; the row is as long as what is copied.
                1 => unsafe { V::copy(image.as_ptr(), to_row.as_mut_ptr(), to_row.len()) },
                // SAFETY: as above.
                2 => unsafe { V::every_second(image.as_ptr(), to_row.as_mut_ptr(), to_row.len()) },
                _ => to_row.iter_mut().zip(image.iter().step_by(step)).for_each(|(to, &value)| *to = value),
            }
        }
    }
}
