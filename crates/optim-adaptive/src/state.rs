//! How an optimizer's state is taken apart for a record, put together again and moved.
//!
//! burn's `#[derive(RecordState)]` reads tensors back in the device's default precision, so an f64 state comes back
//! as f32 and a resumed run is no longer the run it was. [`record_state!`] keeps each tensor's own precision; names
//! and layout in the record are the derive's.

use burn::optim::{StateSink, StateSource};
use burn::tensor::{Device, Tensor};
use burn_pack::Scalar;

use crate::fused::{held_data, owned};

/// One field of a state.
pub(crate) trait Field: Sized {
    /// Writes the field as `<prefix>.<name>`.
    fn flatten(&self, prefix: &str, name: &str, out: &mut StateSink);

    /// Reads it back; `None` where it is missing or of another kind.
    fn unflatten(prefix: &str, name: &str, source: &mut StateSource, device: &Device) -> Option<Self>;

    /// Moves it.
    fn moved(self, device: &Device) -> Self;
}

macro_rules! scalar {
    ($($t:ty),*) => {
        $(
            impl Field for $t {
                fn flatten(&self, prefix: &str, name: &str, out: &mut StateSink) {
                    out.push_scalar(prefix, name, Scalar::from(*self));
                }

                fn unflatten(prefix: &str, name: &str, source: &mut StateSource, _device: &Device) -> Option<Self> {
                    Self::try_from(source.take_scalar(prefix, name)?).ok()
                }

                fn moved(self, _device: &Device) -> Self {
                    self
                }
            }
        )*
    };
}
scalar!(usize, u64, f64);

impl<const D: usize> Field for Tensor<D> {
    fn flatten(&self, prefix: &str, name: &str, out: &mut StateSink) {
        out.push_tensor(prefix, name, held_data(self.clone()));
    }

    fn unflatten(prefix: &str, name: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let data = source.take_tensor(prefix, name)?;
        if data.shape().num_dims() != D {
            return None;
        }
        let dtype = data.dtype();
        // A record may hold the buffers of the optimizer it was taken from, or the file it was read from.
        Some(Self::from_data(owned(data), (device, dtype)))
    }

    fn moved(self, device: &Device) -> Self {
        self.to_device(device)
    }
}

impl<const D: usize> Field for Option<Tensor<D>> {
    fn flatten(&self, prefix: &str, name: &str, out: &mut StateSink) {
        if let Some(tensor) = self {
            tensor.flatten(prefix, name, out);
        }
    }

    fn unflatten(prefix: &str, name: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        Some(Tensor::unflatten(prefix, name, source, device))
    }

    fn moved(self, device: &Device) -> Self {
        self.map(|tensor| tensor.moved(device))
    }
}

/// Implements [`RecordState`](burn::optim::RecordState) and `moved` for a state struct, from its field names.
macro_rules! record_state {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl<const D: usize> burn::optim::RecordState for $name<D> {
            fn state_flatten(&self, prefix: &str, out: &mut burn::optim::StateSink) {
                $($crate::state::Field::flatten(&self.$field, prefix, stringify!($field), out);)*
            }

            fn state_unflatten(
                prefix: &str,
                source: &mut burn::optim::StateSource,
                device: &burn::tensor::Device,
            ) -> Option<Self> {
                Some(Self {
                    $($field: $crate::state::Field::unflatten(prefix, stringify!($field), source, device)?,)*
                })
            }
        }

        impl<const D: usize> $name<D> {
            /// The state on another device.
            fn moved(self, device: &burn::tensor::Device) -> Self {
                Self { $($field: $crate::state::Field::moved(self.$field, device),)* }
            }
        }
    };
}
pub(crate) use record_state;
