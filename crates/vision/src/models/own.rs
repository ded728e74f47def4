//! A model that this crate does not know: its settings behind a trait object, and its network as an [`AnyNetwork`].

use std::fmt::Debug;

use any_network::{AnyNetwork, HIGHEST_RANK, drawn, highest_rank};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor};
use burn::train::{ClassificationOutput, InferenceStep};
use serde::{Serialize, Serializer};
use toml::Table;

use super::architecture::{Architecture, ModelInfo, built};
use super::error::ModelError;
use super::layers::{Layer, MOST_LISTED, total_parameters};
use crate::batch::{Batcher, ImageBatch};
use crate::image_set::ImageShape;

/// The settings of a model that this crate does not know. Equal where name and settings are.
#[derive(Debug)]
pub struct OwnModel(Box<dyn AnyArchitecture>);

impl OwnModel {
    pub(super) fn new<A: Architecture>(settings: A) -> Self {
        Self(Box::new(settings))
    }

    pub(super) fn info(&self) -> ModelInfo {
        self.0.info()
    }

    /// The network with its parameters drawn, and its layers: those that it lists, or its parameters where it makes some of
    /// them without [`Layers`](super::Layers).
    pub(super) fn listed(
        &self,
        shape: ImageShape,
        classes: usize,
        device: &Device,
    ) -> Result<(OwnNetwork, Own, Vec<Layer>), ModelError> {
        self.0.init(shape, classes, device)
    }

    /// The network of [`listed`](Self::listed).
    pub(super) fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<OwnNetwork, ModelError> {
        self.listed(shape, classes, device).map(|(network, ..)| network)
    }

    /// The layers of [`listed`](Self::listed).
    pub(super) fn layers(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Vec<Layer>, ModelError> {
        // What is too large to be made is known by its list.
        match self.0.too_large(shape, classes, device)? {
            Some(layers) => Ok(layers),
            None => self.listed(shape, classes, device).map(|(.., layers)| layers),
        }
    }
}

impl Clone for OwnModel {
    fn clone(&self) -> Self {
        Self(self.0.boxed())
    }
}

impl PartialEq for OwnModel {
    fn eq(&self, other: &Self) -> bool {
        self.info().name == other.info().name && self.0.table() == other.0.table()
    }
}

impl Serialize for OwnModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.table().serialize(serializer)
    }
}

trait AnyArchitecture: Debug + Send + Sync {
    fn boxed(&self) -> Box<dyn AnyArchitecture>;
    fn info(&self) -> ModelInfo;
    fn table(&self) -> Table;
    fn init(
        &self,
        shape: ImageShape,
        classes: usize,
        device: &Device,
    ) -> Result<(OwnNetwork, Own, Vec<Layer>), ModelError>;
    fn too_large(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Option<Vec<Layer>>, ModelError>;
}

impl<A: Architecture> AnyArchitecture for A {
    fn boxed(&self) -> Box<dyn AnyArchitecture> {
        Box::new(self.clone())
    }

    fn info(&self) -> ModelInfo {
        A::INFO
    }

    fn table(&self) -> Table {
        strict_config::write(self)
    }

    fn init(
        &self,
        shape: ImageShape,
        classes: usize,
        device: &Device,
    ) -> Result<(OwnNetwork, Own, Vec<Layer>), ModelError> {
        let (network, listed) = built(self, shape, classes, device, false)?;
        let network = drawn(network);
        let found = highest_rank(&network);
        if found > HIGHEST_RANK {
            return Err(ModelError::Rank { model: A::INFO.name, found, highest: HIGHEST_RANK });
        }
        let parameters = parameters(&network);
        let layers = if total_parameters(&listed) == total_parameters(&parameters) { listed } else { parameters };
        let own = Own { name: A::INFO.name, init_from: init_from::<A> };
        Ok((AnyNetwork::new(network), own, layers))
    }

    /// Its layers, where it has more parameters than a list may.
    fn too_large(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Option<Vec<Layer>>, ModelError> {
        let (_, listed) = built(self, shape, classes, device, true)?;
        Ok((total_parameters(&listed) > MOST_LISTED).then_some(listed))
    }
}

/// A line for each tensor that is learned, by its path.
fn parameters(network: &impl Module) -> Vec<Layer> {
    #[derive(Default)]
    struct List {
        path: Vec<String>,
        found: Vec<Layer>,
    }
    impl ModuleVisitor for List {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            // Running statistics are not parameters. Without autodiff nothing distinguishes them.
            if param.is_require_grad() || !param.device().is_autodiff() {
                let (kind, output) = ("parameter".to_owned(), param.dims().to_vec());
                let parameters = output.iter().product();
                self.found.push(Layer { name: self.path.join("."), kind, output, parameters });
            }
        }

        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
    }
    let mut list = List::default();
    network.visit(&mut list);
    list.found
}

/// The network of such a model.
pub(super) type OwnNetwork = AnyNetwork<ImageBatch, ClassificationOutput>;

/// What is known of the network of such a model beside burn's traits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// The name of its model.
    pub(super) name: &'static str,
    /// See [`Architecture::init_from`].
    pub(super) init_from: fn(OwnNetwork, &Batcher) -> OwnNetwork,
}

fn init_from<A: Architecture>(network: OwnNetwork, images: &Batcher) -> OwnNetwork {
    match network.downcast::<A::Network>() {
        Ok(network) => AnyNetwork::new(A::init_from(network, images)),
        Err(network) => network,
    }
}

/// `forward`, as the models that this crate knows have it.
pub(super) trait Forward {
    /// Logits, as its step of inference gives them. The step wants classes too: class 0 for every image.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;
}

impl Forward for OwnNetwork {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let targets = Tensor::<1, Int>::zeros([images.dims()[0]], &images.device());
        InferenceStep::step(self, ImageBatch { images, targets }).output
    }
}

#[cfg(test)]
mod tests {
    use burn::module::ModuleMapper;
    use burn::train::TrainStep;

    use super::super::{Classifier, ConvNetConfig, MlpConfig, ModelConfig};
    use super::*;

    /// Path, rank and values of each float parameter.
    fn parameters_of(model: &Classifier) -> Vec<(String, usize, Vec<f32>)> {
        #[derive(Default)]
        struct Read {
            path: Vec<String>,
            found: Vec<(String, usize, Vec<f32>)>,
        }
        impl ModuleVisitor for Read {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let values = param.val().into_data().try_to_vec().expect("f32");
                self.found.push((self.path.join("."), D, values));
            }

            fn enter_module(&mut self, name: &str, _: &str) {
                self.path.push(name.to_owned());
            }

            fn exit_module(&mut self, _: &str, _: &str) {
                self.path.pop();
            }
        }
        let mut read = Read::default();
        model.visit(&mut read);
        read.found
    }

    struct Double;

    impl ModuleMapper for Double {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            Param::from_mapped_value(id, value.mul_scalar(2.0), mapper)
        }
    }

    /// A built-in model, once as itself and once behind the trait object: they behave the same. The weights are
    /// handed over, not drawn twice from one seed: flex has one generator for the whole process, and other tests draw too.
    #[test]
    fn behind_the_trait_object_is_the_same_module() {
        let (shape, device) = (ImageShape::new(1, 8, 8), Device::flex().autodiff());
        let model = |config: ModelConfig| Classifier::new(config, shape, 10, &device).expect("a model");
        let convnet = ConvNetConfig { channels: vec![4, 8], ..ConvNetConfig::default() };
        let mlp = MlpConfig { hidden: vec![16] };
        let pairs = vec![
            (model(mlp.clone().into()), model(ModelConfig::own(mlp))),
            (model(convnet.clone().into()), model(ModelConfig::own(convnet))),
        ];
        for (known, own) in pairs {
            let own = own.try_load_record(known.clone().into_record()).expect("a record of the same layers");
            assert_eq!(own.layers(), known.layers());
            assert_eq!(Module::num_params(&own), Module::num_params(&known));
            assert_eq!(parameters_of(&own), parameters_of(&known));
            let images = Tensor::ones([3, 1, 8, 8], &device).mul_scalar(0.5);
            let targets = Tensor::<1, Int>::zeros([3], &device);
            let batch = || ImageBatch { images: images.clone(), targets: targets.clone() };
            let logits = |model: &Classifier| model.valid().forward(images.clone().inner()).into_data();
            assert_eq!(logits(&own), logits(&known));
            let (own_step, known_step) = (TrainStep::step(&own, batch()), TrainStep::step(&known, batch()));
            assert_eq!(own_step.item.loss.into_data(), known_step.item.loss.into_data());
            assert_eq!(own_step.grads.len(), known_step.grads.len());
            assert_eq!(parameters_of(&own.map(&mut Double)), parameters_of(&known.map(&mut Double)));
        }
    }

    #[test]
    fn settings_that_are_equal_are_equal() {
        let of = |hidden: usize| ModelConfig::own(MlpConfig { hidden: vec![hidden] });
        assert_eq!(of(3), of(3).clone());
        assert_ne!(of(3), of(4));
        assert_ne!(of(3), ModelConfig::from(MlpConfig { hidden: vec![3] }));
        assert_eq!(of(3).write().to_string(), "hidden = [3]\n");
    }

    #[test]
    fn a_model_with_a_loss_of_its_own_takes_no_smoothing() {
        let model =
            Classifier::new(ModelConfig::own(MlpConfig::default()), ImageShape::new(1, 8, 8), 10, &Device::flex());
        let error = model.and_then(|model| model.with_label_smoothing(0.1)).expect_err("refused").to_string();
        assert_eq!(error, "`label_smoothing` is 0.1: `mlp` computes its own loss, allowed is 0");
    }
}
