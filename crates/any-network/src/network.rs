//! The network behind a trait object.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use burn::module::{Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;
use burn::train::metric::ItemLazy;
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::traverse::{AnyMapper, AnyVisitor, Erased, Typed};

/// A network of any type, with burn-train's steps on batches `I`, which give outputs `O`.
///
/// Its parameters have a rank of at most [`HIGHEST_RANK`](crate::HIGHEST_RANK); those of a higher one are not visited.
///
/// ```
/// use any_network::AnyNetwork;
/// use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::{Device, Tensor}};
/// use burn::train::{InferenceStep, RegressionOutput, TrainOutput};
///
/// let device = Device::flex().autodiff();
/// let output = |linear: &Linear, x: Tensor<2>| {
///     let y = linear.forward(x.clone());
///     RegressionOutput::new((y.clone() - x.clone()).square().mean(), y, x)
/// };
/// let network = AnyNetwork::with_steps(
///     LinearConfig::new(2, 2).init(&device),
///     move |linear, x: Tensor<2>| {
///         let output = output(linear, x);
///         TrainOutput::new(linear, output.loss.backward(), output)
///     },
///     output,
/// );
/// assert_eq!(network.num_params(), 6);
/// assert_eq!(InferenceStep::step(&network, Tensor::ones([3, 2], &device)).output.dims(), [3, 2]);
/// assert!(network.downcast::<Linear>().is_ok());
/// ```
pub struct AnyNetwork<I, O>(Box<dyn Network<I, O>>);

/// A step of a network `M`.
type StepFn<M, I, O> = Arc<dyn Fn(&M, I) -> O + Send + Sync>;

/// How a network is displayed.
type Display<M> = fn(&M, Content) -> Option<Content>;

/// A network and its steps.
struct WithSteps<M, I, O> {
    network: M,
    display: Display<M>,
    train: StepFn<M, I, TrainOutput<O>>,
    infer: StepFn<M, I, O>,
}

impl<I: 'static, O: 'static> AnyNetwork<I, O> {
    /// Holds a network that has these steps.
    pub fn new<M>(network: M) -> Self
    where
        M: Module
            + ModuleDisplayDefault
            + TrainStep<Input = I, Output = O>
            + InferenceStep<Input = I, Output = O>
            + 'static,
    {
        let (train, infer) = (Arc::new(<M as TrainStep>::step), Arc::new(<M as InferenceStep>::step));
        Self(Box::new(WithSteps { network, display: ModuleDisplayDefault::content, train, infer }))
    }

    /// Holds a network, with these steps for it: of training and of inference.
    pub fn with_steps<M: Module + 'static>(
        network: M,
        train: impl Fn(&M, I) -> TrainOutput<O> + Send + Sync + 'static,
        infer: impl Fn(&M, I) -> O + Send + Sync + 'static,
    ) -> Self {
        let display = |network: &M, content: Content| Some(content.add_formatted(&format!("{network:?}")));
        Self(Box::new(WithSteps { network, display, train: Arc::new(train), infer: Arc::new(infer) }))
    }

    /// The network.
    pub fn as_any(&self) -> &dyn Any {
        self.0.network()
    }

    /// The network, where it is of this type.
    pub fn downcast_ref<M: 'static>(&self) -> Option<&M> {
        self.as_any().downcast_ref()
    }

    /// The network.
    ///
    /// # Errors
    /// `self`, where it is of another type.
    pub fn downcast<M: 'static>(self) -> Result<M, Self> {
        if self.downcast_ref::<M>().is_none() {
            return Err(self);
        }
        let mut found = None;
        self.0.take(&mut found);
        match found {
            Some(found) => Ok(found),
            None => unreachable!("its type was compared"),
        }
    }
}

impl<I: 'static, O: 'static> Clone for AnyNetwork<I, O> {
    fn clone(&self) -> Self {
        self.0.boxed()
    }
}

impl<I, O> fmt::Debug for AnyNetwork<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug(f)
    }
}

impl<I: Send + 'static, O: ItemLazy + 'static> TrainStep for AnyNetwork<I, O> {
    type Input = I;
    type Output = O;

    fn step(&self, batch: I) -> TrainOutput<O> {
        self.0.train_step(batch)
    }
}

impl<I: Send + 'static, O: ItemLazy + 'static> InferenceStep for AnyNetwork<I, O> {
    type Input = I;
    type Output = O;

    fn step(&self, batch: I) -> O {
        self.0.infer(batch)
    }
}

impl<I: 'static, O: 'static> Module for AnyNetwork<I, O> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.0.fork(device)
    }

    fn to_device(self, device: &Device) -> Self {
        self.0.to_device(device)
    }

    fn train(self) -> Self {
        self.0.train()
    }

    fn valid(&self) -> Self {
        self.0.valid()
    }

    fn materialize(self) -> Self {
        self.0.materialize()
    }

    fn num_params(&self) -> usize {
        self.0.num_params()
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit(&mut Erased(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.0.map(&mut Erased(mapper))
    }
}

impl<I: 'static, O: 'static> ModuleDisplayDefault for AnyNetwork<I, O> {
    fn content(&self, content: Content) -> Option<Content> {
        self.0.content(content)
    }

    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl<I: 'static, O: 'static> ModuleDisplay for AnyNetwork<I, O> {}

/// What burn's module traits ask for, with a network in a box in the place of `Self`.
trait Network<I, O>: Send {
    fn network(&self) -> &dyn Any;
    /// Puts the network into a `&mut Option<M>`.
    fn take(self: Box<Self>, slot: &mut dyn Any);
    fn boxed(&self) -> AnyNetwork<I, O>;
    fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn content(&self, content: Content) -> Option<Content>;
    fn collect_devices(&self, devices: Devices) -> Devices;
    fn fork(self: Box<Self>, device: &Device) -> AnyNetwork<I, O>;
    fn to_device(self: Box<Self>, device: &Device) -> AnyNetwork<I, O>;
    fn train(self: Box<Self>) -> AnyNetwork<I, O>;
    fn valid(&self) -> AnyNetwork<I, O>;
    fn materialize(self: Box<Self>) -> AnyNetwork<I, O>;
    fn num_params(&self) -> usize;
    fn visit(&self, visitor: &mut dyn AnyVisitor);
    fn map(self: Box<Self>, mapper: &mut dyn AnyMapper) -> AnyNetwork<I, O>;
    fn train_step(&self, batch: I) -> TrainOutput<O>;
    fn infer(&self, batch: I) -> O;
}

impl<M: Module + 'static, I: 'static, O: 'static> WithSteps<M, I, O> {
    /// The same steps with another network of the type.
    fn with(&self, network: M) -> AnyNetwork<I, O> {
        let (train, infer) = (Arc::clone(&self.train), Arc::clone(&self.infer));
        AnyNetwork(Box::new(Self { network, display: self.display, train, infer }))
    }

    fn changed(self, change: impl FnOnce(M) -> M) -> AnyNetwork<I, O> {
        let Self { network, display, train, infer } = self;
        AnyNetwork(Box::new(Self { network: change(network), display, train, infer }))
    }
}

impl<M: Module + 'static, I: 'static, O: 'static> Network<I, O> for WithSteps<M, I, O> {
    fn network(&self) -> &dyn Any {
        &self.network
    }

    fn take(self: Box<Self>, slot: &mut dyn Any) {
        if let Some(slot) = slot.downcast_mut::<Option<M>>() {
            *slot = Some(self.network);
        }
    }

    fn boxed(&self) -> AnyNetwork<I, O> {
        self.with(self.network.clone())
    }

    fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }

    fn content(&self, content: Content) -> Option<Content> {
        (self.display)(&self.network, content)
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        self.network.collect_devices(devices)
    }

    fn fork(self: Box<Self>, device: &Device) -> AnyNetwork<I, O> {
        self.changed(|network| network.fork(device))
    }

    fn to_device(self: Box<Self>, device: &Device) -> AnyNetwork<I, O> {
        self.changed(|network| network.to_device(device))
    }

    fn train(self: Box<Self>) -> AnyNetwork<I, O> {
        self.changed(Module::train)
    }

    fn valid(&self) -> AnyNetwork<I, O> {
        self.with(self.network.valid())
    }

    fn materialize(self: Box<Self>) -> AnyNetwork<I, O> {
        self.changed(Module::materialize)
    }

    fn num_params(&self) -> usize {
        Module::num_params(&self.network)
    }

    fn visit(&self, visitor: &mut dyn AnyVisitor) {
        self.network.visit(&mut Typed(visitor));
    }

    fn map(self: Box<Self>, mapper: &mut dyn AnyMapper) -> AnyNetwork<I, O> {
        self.changed(|network| network.map(&mut Typed(mapper)))
    }

    fn train_step(&self, batch: I) -> TrainOutput<O> {
        (self.train)(&self.network, batch)
    }

    fn infer(&self, batch: I) -> O {
        (self.infer)(&self.network, batch)
    }
}
