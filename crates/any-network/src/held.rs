//! burn's module traits for a type that holds one of several networks.

/// Implements burn's [`Module`](burn::module::Module) and its display for a type that holds one of several networks: as a
/// module it is the network that it holds. Parameters have the same paths (`fc1.weight`, not `LeNet.fc1.weight`, which a derived
/// enum would give), so patterns on paths and exported files do not depend on whether a program names the network in its
/// types or in its config.
///
/// Two macros of the caller open the type: `$held!(value, network => expression)` is the expression on what `value` holds,
/// `$with!(value, network => expression)` the value with the expression's result in the place of what it held.
///
/// ```
/// use burn::{module::Module, nn::{Embedding, Linear, LinearConfig}, tensor::Device};
///
/// #[derive(Clone, Debug)]
/// enum Either {
///     Linear(Linear),
///     Embedding(Embedding),
/// }
///
/// macro_rules! held {
///     ($value:expr, $network:ident => $body:expr) => {
///         match $value { Either::Linear($network) => $body, Either::Embedding($network) => $body }
///     };
/// }
/// macro_rules! with {
///     ($value:expr, $network:ident => $body:expr) => {
///         match $value {
///             Either::Linear($network) => Either::Linear($body),
///             Either::Embedding($network) => Either::Embedding($body),
///         }
///     };
/// }
/// any_network::module_of_held!(Either, held, with, |self| with!(self, network => network.valid()));
///
/// let either = Either::Linear(LinearConfig::new(2, 3).init(&Device::flex()));
/// assert_eq!(either.num_params(), 9);
/// ```
#[macro_export]
macro_rules! module_of_held {
    ($type:ty, $held:ident, $with:ident, |$self:ident| $valid:expr) => {
        impl ::burn::module::Module for $type {
            fn collect_devices(&self, devices: ::burn::module::Devices) -> ::burn::module::Devices {
                $held!(self, network => ::burn::module::Module::collect_devices(network, devices))
            }

            fn fork(self, device: &::burn::tensor::Device) -> Self {
                $with!(self, network => ::burn::module::Module::fork(network, device))
            }

            fn to_device(self, device: &::burn::tensor::Device) -> Self {
                $with!(self, network => ::burn::module::Module::to_device(network, device))
            }

            fn train(self) -> Self {
                $with!(self, network => ::burn::module::Module::train(network))
            }

            fn valid(&$self) -> Self {
                $valid
            }

            fn materialize(self) -> Self {
                $with!(self, network => ::burn::module::Module::materialize(network))
            }

            fn num_params(&self) -> usize {
                $held!(self, network => ::burn::module::Module::num_params(network))
            }

            fn visit<V: ::burn::module::ModuleVisitor>(&self, visitor: &mut V) {
                $held!(self, network => ::burn::module::Module::visit(network, visitor));
            }

            fn map<M: ::burn::module::ModuleMapper>(self, mapper: &mut M) -> Self {
                $with!(self, network => ::burn::module::Module::map(network, mapper))
            }
        }

        impl ::burn::module::ModuleDisplayDefault for $type {
            fn content(&self, content: ::burn::module::Content) -> Option<::burn::module::Content> {
                $held!(self, network => ::burn::module::ModuleDisplayDefault::content(network, content))
            }

            fn num_params(&self) -> usize {
                ::burn::module::Module::num_params(self)
            }
        }

        impl ::burn::module::ModuleDisplay for $type {}

        impl ::std::fmt::Display for $type {
            fn fmt(&self, out: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                out.write_str(&::burn::module::ModuleDisplay::format(self, ::burn::module::DisplaySettings::default()))
            }
        }
    };
}
