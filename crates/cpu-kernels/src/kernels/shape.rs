//! What a convolution is of.

/// The shapes of a convolution without groups; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conv {
    pub(crate) batch: usize,
    /// Channels of the input.
    pub(crate) inputs: usize,
    /// Channels of the output.
    pub(crate) outputs: usize,
    /// Height and width of the input.
    pub(crate) size: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Rows above, columns to the left.
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Height and width of the output, by [`output_length`].
    pub(crate) output: [usize; 2],
}

/// Positions of a kernel along an axis, `None` where it does not fit or a number is 0 that may not be.
pub(crate) fn output_length(
    length: usize,
    kernel: usize,
    stride: usize,
    (before, after): (usize, usize),
    dilation: usize,
) -> Option<usize> {
    let reach = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let room = length.checked_add(before)?.checked_add(after)?.checked_sub(reach)?;
    (dilation > 0).then_some(room.checked_div(stride)? + 1)
}
