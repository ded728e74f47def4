//! A tensor's values for a record: the buffer itself where it can be held, a copy elsewhere.

use burn::tensor::{AllocationProperty, Bytes, Tensor, TensorData};

/// The values of a tensor as they are now, without a copy where they lie in a buffer of Flex as a record needs them.
///
/// The result holds the buffer: as long as it lives, an update that would write in place (the next step of an optimizer)
/// writes into a new one. So hold it briefly. On other backends, and for views, the values are copied.
///
/// A tensor made of it with `Tensor::from_data` holds the buffer too; one made of a copy does not.
pub fn held_data<const D: usize>(tensor: Tensor<D>) -> TensorData {
    #[cfg(feature = "flex")]
    if let Some(data) = flex::held(tensor.clone()) {
        return data;
    }
    tensor.into_data()
}

/// A copy of the values.
pub(crate) fn owned(data: TensorData) -> TensorData {
    if data.bytes().property() == AllocationProperty::Native {
        return data;
    }
    let (bytes, shape, dtype) = data.into_parts();
    TensorData::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()), shape, dtype)
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind};
    use burn_flex::FlexTensor;

    use super::{AllocationProperty, Bytes, Tensor, TensorData};

    /// A tensor whose buffer holds its elements, all of them and in order.
    struct Whole(FlexTensor);

    impl AsRef<[u8]> for Whole {
        fn as_ref(&self) -> &[u8] {
            self.0.bytes()
        }
    }

    /// `None` for tensors of other backends, tracked ones and views.
    pub(super) fn held<const D: usize>(tensor: Tensor<D>) -> Option<TensorData> {
        let DispatchTensor { kind, autodiff: DispatchAutodiffContext::Disabled } = tensor.into_dispatch() else {
            return None;
        };
        let DispatchTensorKind::Flex(BackendTensor::Float(tensor)) = kind else { return None };
        let layout = tensor.layout();
        let whole = layout.num_elements() * tensor.dtype().size();
        if !tensor.is_contiguous() || layout.start_offset() != 0 || tensor.bytes().len() != whole {
            return None;
        }
        let (shape, dtype) = (layout.shape().clone(), tensor.dtype());
        let bytes = Bytes::from_shared(bytes::Bytes::from_owner(Whole(tensor)), AllocationProperty::Other);
        Some(TensorData::from_bytes(bytes, shape, dtype))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn matrix() -> Tensor<2> {
        Tensor::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::flex())
    }

    #[test]
    fn it_is_the_buffer_itself_until_somebody_writes() {
        let tensor = matrix();
        let data = held_data(tensor.clone());
        let address = |data: &TensorData| data.as_bytes().as_ptr();
        assert_eq!(address(&held_data(tensor.clone())), address(&data), "no copy");
        assert_ne!(address(&tensor.clone().into_data()), address(&data));
        let changed = tensor.add_scalar(1.0);
        assert_eq!(data.iter::<f32>().collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "a record does not change");
        assert_eq!(changed.into_data().iter::<f32>().next(), Some(2.0));
        let own = owned(data.clone());
        assert_ne!(address(&own), address(&data));
        assert_eq!(own, data);
    }

    #[test]
    fn views_come_out_as_their_own_elements() {
        for (name, view) in [
            ("transposed", matrix().transpose()),
            ("rows", matrix().slice([1..2, 0..3])),
            ("first row", matrix().slice([0..1, 0..3])),
            ("empty", Tensor::zeros([0, 3], &Device::flex())),
        ] {
            assert_eq!(held_data(view.clone()), view.into_data(), "{name}");
        }
    }
}
