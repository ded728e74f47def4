//! The kernels as operations of burn: a backend extension for `Flex`, and for `Autodiff` over it with backward passes.
//!
//! Only tensors that [`is_covered`](crate::covered::is_covered) has let pass come here: other backends would panic.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::ops::{ActivationOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{Bytes, DType, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

use crate::kernels::add_relu::{AddRelu, ReluGradient, in_place, made};
use crate::kernels::batch_norm::{BatchNorm, Channel, Gradient};
use crate::kernels::conv::Conv;
use crate::kernels::instruction_set;
use crate::kernels::memory::filled;
use crate::kernels::pool::{Divisor, Windows};
use crate::kernels::product::{Matrix, column_sums, product, turned};

/// Batch norm's result, and the batch's mean and biased variance by channel, which are not tracked.
#[derive(ExtensionType)]
pub(crate) struct OfBatch<B: Backend> {
    pub(crate) output: FloatTensor<B>,
    pub(crate) mean: FloatTensor<B>,
    pub(crate) variance: FloatTensor<B>,
}

/// The operations, on tensors of f32 with four dimensions (products: two).
#[backend_extension(Flex, Autodiff)]
pub(crate) trait CpuKernels: Backend {
    fn conv(input: FloatTensor<Self>, weight: FloatTensor<Self>, shapes: Conv) -> FloatTensor<Self>;

    fn conv_with_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shapes: Conv,
    ) -> FloatTensor<Self>;

    /// A matrix by a matrix.
    fn product(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    fn product_with_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn batch_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> OfBatch<Self>;

    /// Batch norm with given statistics.
    fn fixed_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self>;

    fn max_pool(input: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self>;

    fn avg_pool(input: FloatTensor<Self>, windows: Windows, divisor: Divisor) -> FloatTensor<Self>;

    fn add_relu(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
}

pub(crate) fn conv2d(input: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, shapes: Conv) -> Tensor<4> {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::conv_with_bias(input, weight, bias.into_dispatch(), shapes),
        None => <Dispatch as CpuKernels>::conv(input, weight, shapes),
    })
}

pub(crate) fn linear(input: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::product_with_bias(input, weight, bias.into_dispatch()),
        None => <Dispatch as CpuKernels>::product(input, weight),
    })
}

/// [`OfBatch`], as tensors.
pub(crate) struct Normalised {
    pub(crate) output: Tensor<4>,
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
}

pub(crate) fn batch_norm(input: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64, relu: bool) -> Normalised {
    let (input, gamma, beta) = (input.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let of_batch = <Dispatch as CpuKernels>::batch_norm(input, gamma, beta, epsilon, relu);
    Normalised {
        output: Tensor::from_dispatch(of_batch.output),
        mean: Tensor::from_dispatch(of_batch.mean),
        variance: Tensor::from_dispatch(of_batch.variance),
    }
}

/// With the statistics `mean` and `variance`.
pub(crate) fn fixed_norm(
    input: Tensor<4>,
    [gamma, beta, mean, variance]: [Tensor<1>; 4],
    epsilon: f64,
    relu: bool,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::fixed_norm(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        epsilon,
        relu,
    ))
}

pub(crate) fn max_pool2d(input: Tensor<4>, windows: Windows) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::max_pool(input.into_dispatch(), windows))
}

pub(crate) fn avg_pool2d(input: Tensor<4>, windows: Windows, divisor: Divisor) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::avg_pool(input.into_dispatch(), windows, divisor))
}

pub(crate) fn add_relu(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::add_relu(x.into_dispatch(), y.into_dispatch()))
}

// ---- Flex

/// The tensor, row-major over its whole buffer: `storage` gives the buffer, not the view.
pub(crate) fn whole(tensor: FlexTensor) -> FlexTensor {
    let layout = tensor.layout();
    let bytes = layout.num_elements() * size_of::<f32>();
    if tensor.is_contiguous() && layout.start_offset() == 0 && tensor.bytes().len() == bytes {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// A tensor over a vector, without a copy.
pub(crate) fn tensor(elements: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(elements), Layout::contiguous(shape.into()), DType::F32)
}

pub(crate) fn shape(tensor: &FlexTensor) -> Shape {
    tensor.layout().shape().clone()
}

/// The shape of what comes out of windows over planes.
fn pooled(input: &FlexTensor, windows: &Windows) -> Shape {
    let input = shape(input);
    [input[0], input[1], windows.output[0], windows.output[1]].into()
}

fn convolution(input: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>, shapes: Conv) -> FlexTensor {
    let (input, weight, bias) = (whole(input), whole(weight), bias.map(whole));
    let bias = bias.as_ref().map(FlexTensor::storage);
    let output = shapes.forward(instruction_set(), input.storage(), weight.storage(), bias);
    tensor(output, [shapes.batch, shapes.outputs, shapes.output[0], shapes.output[1]])
}

fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let shape = tensor.layout().shape();
    Matrix::new(tensor.storage(), [shape[0], shape[1]], shape[1])
}

fn matrix_product(input: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
    let (input, weight, bias) = (whole(input), whole(weight), bias.map(whole));
    let bias = bias.as_ref().map(FlexTensor::storage);
    let output = product(instruction_set(), matrix(&input), matrix(&weight), bias);
    tensor(output, [shape(&input)[0], shape(&weight)[1]])
}

/// Batch norm's result, and what each channel was normalised with.
fn normalised(
    input: &FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    epsilon: f64,
    relu: bool,
) -> (FlexTensor, Vec<Channel>) {
    let of = norm_of(input, epsilon, relu);
    let (gamma, beta) = (whole(gamma), whole(beta));
    let (output, channels) = of.forward(instruction_set(), input.storage(), gamma.storage(), beta.storage());
    (tensor(output, shape(input)), channels)
}

fn norm_of(input: &FlexTensor, epsilon: f64, relu: bool) -> BatchNorm {
    let shape = shape(input);
    BatchNorm { batch: shape[0], channels: shape[1], positions: shape[2] * shape[3], epsilon, relu }
}

/// One number of each channel.
fn by_channel(channels: &[Channel], number: impl Fn(&Channel) -> f32) -> FlexTensor {
    tensor(channels.iter().map(number).collect(), [channels.len()])
}

impl CpuKernels for Flex {
    fn conv(input: FlexTensor, weight: FlexTensor, shapes: Conv) -> FlexTensor {
        convolution(input, weight, None, shapes)
    }

    fn conv_with_bias(input: FlexTensor, weight: FlexTensor, bias: FlexTensor, shapes: Conv) -> FlexTensor {
        convolution(input, weight, Some(bias), shapes)
    }

    fn product(input: FlexTensor, weight: FlexTensor) -> FlexTensor {
        matrix_product(input, weight, None)
    }

    fn product_with_bias(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        matrix_product(input, weight, Some(bias))
    }

    fn batch_norm(input: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f64, relu: bool) -> OfBatch<Self> {
        let (output, channels) = normalised(&whole(input), gamma, beta, epsilon, relu);
        OfBatch {
            output,
            mean: by_channel(&channels, |channel| channel.mean),
            variance: by_channel(&channels, |channel| channel.variance),
        }
    }

    fn fixed_norm(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f64,
        relu: bool,
    ) -> FlexTensor {
        let mut input = whole(input);
        let of = norm_of(&input, epsilon, relu);
        let numbers = [gamma, beta, mean, variance].map(whole);
        let numbers = numbers.each_ref().map(FlexTensor::storage);
        // Copied where it is needed elsewhere.
        of.fixed(instruction_set(), input.storage_mut(), numbers);
        input
    }

    fn max_pool(input: FlexTensor, windows: Windows) -> FlexTensor {
        let input = whole(input);
        tensor(windows.max(instruction_set(), input.storage()).0, pooled(&input, &windows))
    }

    fn avg_pool(input: FlexTensor, windows: Windows, divisor: Divisor) -> FlexTensor {
        let input = whole(input);
        tensor(windows.average(input.storage(), divisor), pooled(&input, &windows))
    }

    fn add_relu(x: FlexTensor, y: FlexTensor) -> FlexTensor {
        let (mut x, mut y) = (whole(x), whole(y));
        if !x.is_unique() {
            // The sum of two numbers is the same both ways.
            std::mem::swap(&mut x, &mut y);
        }
        if x.is_unique() {
            in_place(AddRelu, instruction_set(), x.storage_mut(), y.storage());
            return x;
        }
        let shape = shape(&x);
        tensor(made(AddRelu, instruction_set(), x.storage(), y.storage()), shape)
    }
}

// ---- Autodiff

/// The backward pass of a convolution with `N - 2` biases. Its state: input, weight, shapes.
#[derive(Debug)]
struct ConvGradients;

impl<const N: usize> Backward<Flex, N> for ConvGradients {
    type State = (NodeId, NodeId, Conv);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = whole(grads.consume::<Flex>(&ops.node));
        let (input, weight, shapes) = ops.state;
        let set = instruction_set();
        // As tensors are dropped when they are done with, so are the buffers that they hold.
        let mut retrieve = |node| whole(checkpointer.retrieve_node_output::<FlexTensor>(node));
        let (input, weight) = (retrieve(input), retrieve(weight));
        let [of_input, of_weight, of_bias] = [0, 1, 2].map(|at| ops.parents.get(at).cloned().flatten());
        if let Some(node) = of_weight {
            let gradient = shapes.weight_gradient(set, input.storage(), grad.storage());
            grads.register::<Flex>(node.id, tensor(gradient, shape(&weight)));
        }
        if let Some(node) = of_bias {
            let gradient = shapes.bias_gradient(grad.storage());
            grads.register::<Flex>(node.id, tensor(gradient, [shapes.outputs]));
        }
        if let Some(node) = of_input {
            let shape = shape(&input);
            drop(input);
            let gradient = shapes.input_gradient(set, weight.storage(), grad.storage());
            grads.register::<Flex>(node.id, tensor(gradient, shape));
        }
    }
}

/// The backward pass of a product of matrices with `N - 2` biases. Its state: input and weight.
#[derive(Debug)]
struct ProductGradients;

impl<const N: usize> Backward<Flex, N> for ProductGradients {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = whole(grads.consume::<Flex>(&ops.node));
        let (input, weight) = ops.state;
        let set = instruction_set();
        let mut retrieve = |node| whole(checkpointer.retrieve_node_output::<FlexTensor>(node));
        let (input, weight) = (retrieve(input), retrieve(weight));
        let [of_input, of_weight, of_bias] = [0, 1, 2].map(|at| ops.parents.get(at).cloned().flatten());
        if let Some(node) = of_weight {
            let gradient = product(set, matrix(&input).turned(), matrix(&grad), None);
            grads.register::<Flex>(node.id, tensor(gradient, shape(&weight)));
        }
        if let Some(node) = of_bias {
            let outputs = shape(&weight)[1];
            grads.register::<Flex>(node.id, tensor(column_sums(set, grad.storage(), outputs), [outputs]));
        }
        if let Some(node) = of_input {
            let (of_input, outputs) = (shape(&input), shape(&weight)[1]);
            drop(input);
            let (rows, columns) = (of_input[0], of_input[1]);
            // The smaller of two matrices is turned, weight or result; the sums are the same.
            let gradient = if rows < outputs {
                let gradient = product(set, matrix(&weight), matrix(&grad).turned(), None);
                turned(set, &gradient, columns, rows)
            } else {
                product(set, matrix(&grad), matrix(&weight).turned(), None)
            };
            grads.register::<Flex>(node.id, tensor(gradient, of_input));
        }
    }
}

/// The backward pass of batch norm. Its state: input, epsilon, whether ReLU follows, and the channels.
#[derive(Debug)]
struct BatchNormGradients;

impl Backward<Flex, 3> for BatchNormGradients {
    type State = (NodeId, f64, bool, Arc<[Channel]>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let mut grad = whole(grads.consume::<Flex>(&ops.node));
        let (input, epsilon, relu, channels) = ops.state;
        let input = whole(checkpointer.retrieve_node_output::<FlexTensor>(input));
        let (of, set) = (norm_of(&input, epsilon, relu), instruction_set());
        let (of_input, of_parameters) = if grad.is_unique() {
            // Nobody needs the output's gradient after this: its buffer becomes the input's.
            let of_parameters = of.backward(set, input.storage(), &channels, Gradient::InPlace(grad.storage_mut()));
            (grad, of_parameters)
        } else {
            let mut of_parameters = Vec::new();
            let gradient = filled(shape(&input).num_elements(), |out| {
                of_parameters = of.backward(set, input.storage(), &channels, Gradient::Into(grad.storage(), out));
            });
            (tensor(gradient, shape(&input)), of_parameters)
        };
        let [node_input, node_gamma, node_beta] = ops.parents;
        if let Some(node) = node_input {
            grads.register::<Flex>(node.id, of_input);
        }
        if let Some(node) = node_gamma {
            let gradient = of_parameters.iter().map(|&(of_gamma, _)| of_gamma).collect();
            grads.register::<Flex>(node.id, tensor(gradient, [channels.len()]));
        }
        if let Some(node) = node_beta {
            let gradient = of_parameters.iter().map(|&(_, of_beta)| of_beta).collect();
            grads.register::<Flex>(node.id, tensor(gradient, [channels.len()]));
        }
    }
}

/// The backward pass of max pooling. Its state: the input's shape, the windows, where the maxima are.
#[derive(Debug)]
struct MaxPoolGradient;

impl Backward<Flex, 1> for MaxPoolGradient {
    type State = (Shape, Windows, Arc<Vec<u32>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = whole(grads.consume::<Flex>(&ops.node));
        let (shape, windows, places) = ops.state;
        if let [Some(node)] = ops.parents {
            let gradient = windows.max_gradient(instruction_set(), grad.storage(), &places);
            grads.register::<Flex>(node.id, tensor(gradient, shape));
        }
    }
}

/// The backward pass of average pooling. Its state: the input's shape, the windows, what is divided by.
#[derive(Debug)]
struct AvgPoolGradient;

impl Backward<Flex, 1> for AvgPoolGradient {
    type State = (Shape, Windows, Divisor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = whole(grads.consume::<Flex>(&ops.node));
        let (shape, windows, divisor) = ops.state;
        if let [Some(node)] = ops.parents {
            let gradient = windows.average_gradient(grad.storage(), divisor);
            grads.register::<Flex>(node.id, tensor(gradient, shape));
        }
    }
}

/// The backward pass of a sum with ReLU. Its state: the output.
#[derive(Debug)]
struct AddReluGradient;

impl Backward<Flex, 2> for AddReluGradient {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = whole(grads.consume::<Flex>(&ops.node));
        let (output, set) = (whole(ops.state), instruction_set());
        if grad.is_unique() {
            in_place(ReluGradient, set, grad.storage_mut(), output.storage());
        } else {
            let shape = shape(&grad);
            grad = tensor(made(ReluGradient, set, grad.storage(), output.storage()), shape);
        }
        for node in ops.parents.into_iter().flatten() {
            grads.register::<Flex>(node.id, grad.clone());
        }
    }
}

impl<C: CheckpointStrategy> CpuKernels for Autodiff<Flex, C> {
    fn conv(input: FloatTensor<Self>, weight: FloatTensor<Self>, shapes: Conv) -> FloatTensor<Self> {
        match ConvGradients.prepare::<C>([input.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&input), prep.checkpoint(&weight), shapes);
                prep.finish(state, convolution(input.into_primitive(), weight.into_primitive(), None, shapes))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(convolution(input.into_primitive(), weight.into_primitive(), None, shapes))
            }
        }
    }

    fn conv_with_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shapes: Conv,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        match ConvGradients.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&input), prep.checkpoint(&weight), shapes);
                let bias = Some(bias.into_primitive());
                prep.finish(state, convolution(input.into_primitive(), weight.into_primitive(), bias, shapes))
            }
            OpsKind::UnTracked(prep) => {
                let bias = Some(bias.into_primitive());
                prep.finish(convolution(input.into_primitive(), weight.into_primitive(), bias, shapes))
            }
        }
    }

    fn product(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        match ProductGradients.prepare::<C>([input.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&input), prep.checkpoint(&weight));
                prep.finish(state, matrix_product(input.into_primitive(), weight.into_primitive(), None))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(matrix_product(input.into_primitive(), weight.into_primitive(), None))
            }
        }
    }

    fn product_with_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        match ProductGradients.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&input), prep.checkpoint(&weight));
                let bias = Some(bias.into_primitive());
                prep.finish(state, matrix_product(input.into_primitive(), weight.into_primitive(), bias))
            }
            OpsKind::UnTracked(prep) => {
                let bias = Some(bias.into_primitive());
                prep.finish(matrix_product(input.into_primitive(), weight.into_primitive(), bias))
            }
        }
    }

    fn batch_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> OfBatch<Self> {
        let nodes = [input.node(), gamma.node(), beta.node()];
        let (gamma, beta) = (gamma.into_primitive(), beta.into_primitive());
        let (output, channels) = match BatchNormGradients.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&input);
                let (output, channels) = normalised(&whole(input.into_primitive()), gamma, beta, epsilon, relu);
                let channels: Arc<[Channel]> = channels.into();
                (prep.finish((state, epsilon, relu, Arc::clone(&channels)), output), channels)
            }
            OpsKind::UnTracked(prep) => {
                let (output, channels) = normalised(&whole(input.into_primitive()), gamma, beta, epsilon, relu);
                (prep.finish(output), channels.into())
            }
        };
        OfBatch {
            output,
            mean: Self::from_inner(by_channel(&channels, |channel| channel.mean)),
            variance: Self::from_inner(by_channel(&channels, |channel| channel.variance)),
        }
    }

    /// burn's own: its gradients are.
    fn fixed_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        let output = <Self as ModuleOps<Self>>::batch_norm(input, gamma, beta, mean, variance, epsilon);
        if relu { <Self as ActivationOps<Self>>::relu(output) } else { output }
    }

    fn max_pool(input: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self> {
        let node = input.node();
        let input = whole(input.into_primitive());
        let (output, places) = windows.max(instruction_set(), input.storage());
        let output = tensor(output, pooled(&input, &windows));
        match MaxPoolGradient.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((shape(&input), windows, Arc::new(places)), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn avg_pool(input: FloatTensor<Self>, windows: Windows, divisor: Divisor) -> FloatTensor<Self> {
        let node = input.node();
        let input = input.into_primitive();
        let shape = shape(&input);
        let output = Flex::avg_pool(input, windows, divisor);
        match AvgPoolGradient.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((shape, windows, divisor), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn add_relu(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), y.node()];
        let output = <Flex as CpuKernels>::add_relu(x.into_primitive(), y.into_primitive());
        match AddReluGradient.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(output.clone(), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
