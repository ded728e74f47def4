//! When a network's parameters are drawn.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// The module with all its parameters drawn, now and in its order. burn draws a parameter where it is first used, and all
/// from one generator: left to that, the initial weights would depend on the order of use.
#[must_use]
pub fn drawn<M: Module>(module: M) -> M {
    struct Use;
    impl ModuleVisitor for Use {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let _ = param.val();
        }
    }
    module.visit(&mut Use);
    module
}
