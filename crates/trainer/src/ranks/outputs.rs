//! The outputs of burn's own kinds of models as bytes, for the rank that measures.
//!
//! burn-train's metrics cannot be put together from parts, so one rank is given all outputs. An output of a type of a
//! program's own cannot be sent.

use std::any::{Any, TypeId};

use burn::{
    tensor::{DType, Device, Tensor, TensorData, kind::Autodiff},
    train::{
        ClassificationOutput, MultiLabelClassificationOutput, RegressionOutput, SequenceOutput,
        metric::{Adaptor, LossInput},
    },
};

use super::{pack, unpack};
use crate::meter::AnyOutput;

/// burn's own kinds.
const CLASSES: u8 = 0;
const LABELS: u8 = 1;
const NUMBERS: u8 = 2;
const SEQUENCES: u8 = 3;

/// An output as a message; `None` for one that cannot be sent.
pub(crate) fn encode(output: &dyn Any) -> Option<Vec<u8>> {
    if let Some(any) = output.downcast_ref::<AnyOutput>() {
        return encode(any.held());
    }
    let (kind, tensors) = if let Some(output) = output.downcast_ref::<ClassificationOutput>() {
        let ClassificationOutput { loss, output, targets } = output;
        (CLASSES, vec![host(loss), host(output), host(targets)])
    } else if let Some(output) = output.downcast_ref::<MultiLabelClassificationOutput>() {
        let MultiLabelClassificationOutput { loss, output, targets } = output;
        (LABELS, vec![host(loss), host(output), host(targets)])
    } else if let Some(output) = output.downcast_ref::<RegressionOutput>() {
        let RegressionOutput { loss, output, targets } = output;
        (NUMBERS, vec![host(loss), host(output), host(targets)])
    } else {
        let SequenceOutput { loss, logits, predictions, targets } = output.downcast_ref::<SequenceOutput>()?;
        let mut tensors = vec![host(loss), host(logits), host(targets)];
        tensors.extend(predictions.as_ref().map(host));
        (SEQUENCES, tensors)
    };
    let tensors: Option<Vec<Vec<u8>>> = tensors.iter().map(tensor).collect();
    Some(pack(std::iter::once(&[kind][..]).chain(tensors?.iter().map(Vec::as_slice))))
}

/// The output that a message of [`encode`] holds, its tensors on `device`.
pub(crate) fn decode<O: 'static>(message: &[u8], device: &Device) -> Option<O> {
    let pieces = unpack(message)?;
    let (kind, tensors) = pieces.split_first()?;
    let mut tensors = tensors.iter().copied().map(data).collect::<Option<Vec<_>>>()?.into_iter();
    let (loss, output, targets) = (tensors.next()?, tensors.next()?, tensors.next()?);
    let loss = Tensor::from_data(loss, device);
    match **kind {
        [CLASSES] => {
            let (output, targets) = (Tensor::from_data(output, device), Tensor::from_data(targets, device));
            typed(ClassificationOutput { loss, output, targets })
        }
        [LABELS] => {
            let (output, targets) = (Tensor::from_data(output, device), Tensor::from_data(targets, device));
            typed(MultiLabelClassificationOutput { loss, output, targets })
        }
        [NUMBERS] => {
            let (output, targets) = (Tensor::from_data(output, device), Tensor::from_data(targets, device));
            typed(RegressionOutput { loss, output, targets })
        }
        [SEQUENCES] => {
            let (logits, targets) = (Tensor::from_data(output, device), Tensor::from_data(targets, device));
            let predictions = tensors.next().map(|predictions| Tensor::from_data(predictions, device));
            typed(SequenceOutput { loss, logits, predictions, targets })
        }
        _ => None,
    }
}

/// An output as the type that is asked for: its own, or one that holds any.
fn typed<O: 'static>(output: impl Adaptor<LossInput> + Send + 'static) -> Option<O> {
    let output: Box<dyn Any> = if TypeId::of::<O>() == TypeId::of::<AnyOutput>() {
        Box::new(AnyOutput::new(output))
    } else {
        Box::new(output)
    };
    output.downcast::<O>().ok().map(|output| *output)
}

fn host<const D: usize, K: Autodiff>(tensor: &Tensor<D, K>) -> TensorData {
    tensor.clone().without_autodiff().into_data()
}

fn tensor(data: &TensorData) -> Option<Vec<u8>> {
    let form = serde_json::to_vec(&(data.dtype(), data.shape().as_slice())).ok()?;
    Some(pack([form.as_slice(), data.as_bytes()]))
}

fn data(message: &[u8]) -> Option<TensorData> {
    let [form, bytes] = unpack(message)?[..] else { return None };
    let (dtype, shape): (DType, Vec<usize>) = serde_json::from_slice(form).ok()?;
    TensorData::try_from_bytes_vec(bytes.to_vec(), shape, dtype).ok()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Int;

    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let device = Device::flex();
        let loss = Tensor::<1>::from_floats([0.1], &device);
        let floats = Tensor::<2>::from_floats([[1.0, -2.5], [f32::MIN_POSITIVE, 3.0]], &device);
        let targets = Tensor::<1, Int>::from_ints([1, 0], &device);
        let sent = ClassificationOutput::new(loss.clone(), floats.clone(), targets);
        let came: ClassificationOutput = decode(&encode(&sent).expect("bytes"), &device).expect("an output");
        assert_eq!(came.output.into_data(), sent.output.into_data());
        assert_eq!(came.targets.into_data(), sent.targets.into_data());
        assert_eq!(came.loss.into_data(), sent.loss.into_data());
        let sent = RegressionOutput::new(loss.clone(), floats.clone(), floats.clone());
        let came: RegressionOutput = decode(&encode(&sent).expect("bytes"), &device).expect("an output");
        assert_eq!(came.targets.into_data(), sent.targets.into_data());
        let ids = Tensor::<2, Int>::from_ints([[1, 0]], &device);
        for predictions in [None, Some(ids.clone())] {
            let sent = SequenceOutput::new(loss.clone(), Tensor::ones([1, 2, 3], &device), predictions, ids.clone());
            let came: SequenceOutput = decode(&encode(&sent).expect("bytes"), &device).expect("an output");
            assert_eq!(came.predictions.map(Tensor::into_data), sent.predictions.map(Tensor::into_data));
        }
        let sent =
            AnyOutput::new(RegressionOutput::new(loss, Tensor::ones([1, 2], &device), Tensor::ones([1, 2], &device)));
        let came: AnyOutput = decode(&encode(&sent).expect("bytes"), &device).expect("an output");
        assert!(came.held().is::<RegressionOutput>());
        assert!(encode(&1_u32).is_none());
        assert!(decode::<RegressionOutput>(b"nonsense", &device).is_none());
    }
}
