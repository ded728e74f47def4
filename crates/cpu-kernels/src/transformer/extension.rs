//! The kernels of this module as operations of burn; see [`crate::extension`].

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Int, Tensor};
use burn_flex::FlexTensor;

use crate::extension::{shape, tensor, whole};
use crate::kernels::attention::{self, Attention};
use crate::kernels::layer_norm::Row;
use crate::kernels::{cross_entropy as loss, gelu as activation, instruction_set, layer_norm as norm};

#[backend_extension(Flex, Autodiff)]
pub(crate) trait TransformerKernels: Backend {
    fn norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    fn norm_without_beta(input: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    fn gelu_exact(input: FloatTensor<Self>) -> FloatTensor<Self>;

    fn causal_attention(qkv: FloatTensor<Self>, shapes: Attention) -> FloatTensor<Self>;

    fn mean_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;
}

pub(crate) fn layer_norm<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
) -> Tensor<D> {
    let (input, gamma) = (input.into_dispatch(), gamma.into_dispatch());
    Tensor::from_dispatch(match beta {
        Some(beta) => Dispatch::norm(input, gamma, beta.into_dispatch(), epsilon),
        None => Dispatch::norm_without_beta(input, gamma, epsilon),
    })
}

pub(crate) fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::gelu_exact(input.into_dispatch()))
}

pub(crate) fn causal_attention(qkv: Tensor<2>, shapes: Attention) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::causal_attention(qkv.into_dispatch(), shapes))
}

pub(crate) fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::mean_cross_entropy(logits.into_dispatch(), targets.into_dispatch()))
}

// ---- Flex

fn normalised(
    input: &FlexTensor,
    gamma: FlexTensor,
    beta: Option<FlexTensor>,
    epsilon: f64,
) -> (FlexTensor, FlexTensor, Vec<Row>) {
    let (gamma, beta) = (whole(gamma), beta.map(whole));
    let beta = beta.as_ref().map(FlexTensor::storage);
    let (output, rows) = norm::forward(instruction_set(), input.storage(), gamma.storage(), beta, epsilon);
    (tensor(output, shape(input)), gamma, rows)
}

fn attended(qkv: &FlexTensor, shapes: Attention) -> (FlexTensor, Vec<attention::Row>) {
    let (output, rows) = shapes.forward(instruction_set(), qkv.storage());
    (tensor(output, [shapes.windows * shapes.context, shapes.width()]), rows)
}

/// Classes as they are used to index.
fn classes(targets: &FlexTensor) -> Vec<usize> {
    let targets = targets.to_contiguous();
    let first = targets.layout().start_offset();
    let count = targets.layout().num_elements();
    // What is negative becomes too large, and is refused with what is.
    match targets.dtype() {
        DType::I32 => targets.storage::<i32>()[first..first + count].iter().map(|&target| target as usize).collect(),
        _ => targets.storage::<i64>()[first..first + count].iter().map(|&target| target as usize).collect(),
    }
}

/// The mean loss, with what its gradient needs.
fn measured(logits: FlexTensor, targets: &FlexTensor) -> (FlexTensor, Measured) {
    let (logits, targets) = (whole(logits), classes(targets));
    let count = shape(&logits)[1];
    let (mean, log_sums) = loss::forward(instruction_set(), logits.storage(), count, &targets);
    (tensor(vec![mean], [1]), Measured { logits, targets: targets.into(), log_sums: log_sums.into() })
}

/// Logits, classes, and the logarithms of the sums of exponentials.
#[derive(Clone, Debug)]
struct Measured {
    logits: FlexTensor,
    targets: Arc<[usize]>,
    log_sums: Arc<[f32]>,
}

impl TransformerKernels for Flex {
    fn norm(input: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f64) -> FlexTensor {
        normalised(&whole(input), gamma, Some(beta), epsilon).0
    }

    fn norm_without_beta(input: FlexTensor, gamma: FlexTensor, epsilon: f64) -> FlexTensor {
        normalised(&whole(input), gamma, None, epsilon).0
    }

    fn gelu_exact(input: FlexTensor) -> FlexTensor {
        let input = whole(input);
        tensor(activation::forward(instruction_set(), input.storage()), shape(&input))
    }

    fn causal_attention(qkv: FlexTensor, shapes: Attention) -> FlexTensor {
        attended(&whole(qkv), shapes).0
    }

    fn mean_cross_entropy(logits: FlexTensor, targets: FlexTensor) -> FlexTensor {
        measured(logits, &targets).0
    }
}

// ---- Autodiff

/// The backward pass of layer norm with `N - 2` shifts. Its state: input, gamma, what each row was normalised with.
#[derive(Debug)]
struct NormGradients;

impl<const N: usize> Backward<Flex, N> for NormGradients {
    type State = (NodeId, FlexTensor, Arc<[Row]>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let mut grad = whole(grads.consume::<Flex>(&ops.node));
        let (input, gamma, rows) = ops.state;
        let input = whole(checkpointer.retrieve_node_output::<FlexTensor>(input));
        let (of_gamma, of_beta) =
            norm::backward(instruction_set(), input.storage(), gamma.storage(), &rows, grad.storage_mut());
        let [node_input, node_gamma, node_beta] = [0, 1, 2].map(|at| ops.parents.get(at).cloned().flatten());
        if let Some(node) = node_input {
            grads.register::<Flex>(node.id, grad);
        }
        for (node, of) in [(node_gamma, of_gamma), (node_beta, of_beta)] {
            if let Some(node) = node {
                let width = of.len();
                grads.register::<Flex>(node.id, tensor(of, [width]));
            }
        }
    }
}

/// The backward pass of GELU. Its state: the input.
#[derive(Debug)]
struct GeluGradient;

impl Backward<Flex, 1> for GeluGradient {
    type State = NodeId;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let mut grad = whole(grads.consume::<Flex>(&ops.node));
        let input = whole(checkpointer.retrieve_node_output::<FlexTensor>(ops.state));
        activation::backward(instruction_set(), input.storage(), grad.storage_mut());
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, grad);
        }
    }
}

/// The backward pass of attention. Its state: query, key and value, the shapes, what each row of weights was made with.
#[derive(Debug)]
struct AttentionGradient;

impl Backward<Flex, 1> for AttentionGradient {
    type State = (NodeId, Attention, Arc<[attention::Row]>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = whole(grads.consume::<Flex>(&ops.node));
        let (qkv, shapes, rows) = ops.state;
        let qkv = whole(checkpointer.retrieve_node_output::<FlexTensor>(qkv));
        if let [Some(node)] = ops.parents {
            let gradient = shapes.backward(instruction_set(), qkv.storage(), &rows, grad.storage());
            grads.register::<Flex>(node.id, tensor(gradient, shape(&qkv)));
        }
    }
}

/// The backward pass of the cross-entropy.
#[derive(Debug)]
struct CrossEntropyGradient;

impl Backward<Flex, 1> for CrossEntropyGradient {
    type State = Measured;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = whole(grads.consume::<Flex>(&ops.node));
        let Measured { logits, targets, log_sums } = ops.state;
        let factor = grad.storage::<f32>()[0] / targets.len() as f32;
        if let [Some(node)] = ops.parents {
            let (shape, mut gradient) = (shape(&logits), logits);
            loss::backward(instruction_set(), gradient.storage_mut(), shape[1], &targets, &log_sums, factor);
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

impl<C: CheckpointStrategy> TransformerKernels for Autodiff<Flex, C> {
    fn norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), gamma.node(), beta.node()];
        let (gamma, beta) = (gamma.into_primitive(), Some(beta.into_primitive()));
        match NormGradients.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&input);
                let (output, gamma, rows) = normalised(&whole(input.into_primitive()), gamma, beta, epsilon);
                prep.finish((state, gamma, rows.into()), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(normalised(&whole(input.into_primitive()), gamma, beta, epsilon).0),
        }
    }

    fn norm_without_beta(input: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        let nodes = [input.node(), gamma.node()];
        let gamma = gamma.into_primitive();
        match NormGradients.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&input);
                let (output, gamma, rows) = normalised(&whole(input.into_primitive()), gamma, None, epsilon);
                prep.finish((state, gamma, rows.into()), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(normalised(&whole(input.into_primitive()), gamma, None, epsilon).0),
        }
    }

    fn gelu_exact(input: FloatTensor<Self>) -> FloatTensor<Self> {
        match GeluGradient.prepare::<C>([input.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&input);
                prep.finish(state, Flex::gelu_exact(input.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::gelu_exact(input.into_primitive())),
        }
    }

    fn causal_attention(qkv: FloatTensor<Self>, shapes: Attention) -> FloatTensor<Self> {
        match AttentionGradient.prepare::<C>([qkv.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&qkv);
                let (output, rows) = attended(&whole(qkv.into_primitive()), shapes);
                prep.finish((state, shapes, rows.into()), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(attended(&whole(qkv.into_primitive()), shapes).0),
        }
    }

    fn mean_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        match CrossEntropyGradient.prepare::<C>([logits.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, state) = measured(logits.into_primitive(), &targets);
                prep.finish(state, loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(measured(logits.into_primitive(), &targets).0),
        }
    }
}
