//! Walks over a module's parameters that know each one's dotted path (`conv1.weight`).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Shape, Tensor};

/// What [`visit_parameters`] does with each parameter: burn's `ModuleVisitor`, with the path.
pub trait ParamVisitor {
    /// Visits a float parameter.
    fn float<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>);

    /// Visits an int parameter; does nothing unless implemented.
    fn int<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D, Int>>) {
        let _ = (path, param);
    }

    /// Visits a bool parameter; does nothing unless implemented.
    fn bool<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D, Bool>>) {
        let _ = (path, param);
    }
}

/// What [`map_parameters`] makes of each parameter: burn's `ModuleMapper`, with the path.
pub trait ParamMapper {
    /// Maps a float parameter.
    fn float<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;

    /// Maps an int parameter; leaves it as it is unless implemented.
    fn int<const D: usize>(&mut self, path: &str, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let _ = path;
        param
    }

    /// Maps a bool parameter; leaves it as it is unless implemented.
    fn bool<const D: usize>(&mut self, path: &str, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        let _ = path;
        param
    }
}

/// Visits every parameter of `module` (running statistics among them), in the module's order.
pub fn visit_parameters<M: Module>(module: &M, visitor: &mut impl ParamVisitor) {
    module.visit(&mut WithPath::new(visitor));
}

/// `module` with every parameter mapped, in the module's order.
pub fn map_parameters<M: Module>(module: M, mapper: &mut impl ParamMapper) -> M {
    module.map(&mut WithPath::new(mapper))
}

/// Calls `visit` with path, id and shape of every float parameter of `module` (running statistics among them), in the
/// module's order. Parameters that burn has not initialised yet stay so.
///
/// ```
/// # use burn::{nn::LinearConfig, tensor::Device};
/// let mut shapes = Vec::new();
/// let model = LinearConfig::new(3, 2).init(&Device::flex());
/// optim_adaptive::for_each_parameter(&model, |path, _, shape| shapes.push((path.to_owned(), shape.to_vec())));
/// assert_eq!(shapes, [("weight".to_owned(), vec![3, 2]), ("bias".to_owned(), vec![2])]);
/// ```
pub fn for_each_parameter<M: Module>(module: &M, visit: impl FnMut(&str, ParamId, &Shape)) {
    struct Call<F>(F);

    impl<F: FnMut(&str, ParamId, &Shape)> ParamVisitor for Call<F> {
        fn float<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            (self.0)(path, param.id, &param.lazy_shape());
        }
    }

    visit_parameters(module, &mut Call(visit));
}

/// Keeps the path of the module being visited, without an allocation per module.
struct WithPath<'a, V> {
    visitor: &'a mut V,
    path: String,
    /// The length of the path before each module that was entered.
    lengths: Vec<usize>,
}

impl<'a, V> WithPath<'a, V> {
    fn new(visitor: &'a mut V) -> Self {
        Self { visitor, path: String::new(), lengths: Vec::new() }
    }

    fn enter(&mut self, name: &str) {
        self.lengths.push(self.path.len());
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    fn exit(&mut self) {
        self.path.truncate(self.lengths.pop().unwrap_or(0));
    }
}

impl<V: ParamVisitor> ModuleVisitor for WithPath<'_, V> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.visitor.float(&self.path, param);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.visitor.int(&self.path, param);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.visitor.bool(&self.path, param);
    }
}

impl<V: ParamMapper> ModuleMapper for WithPath<'_, V> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.visitor.float(&self.path, param)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        self.visitor.int(&self.path, param)
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        self.visitor.bool(&self.path, param)
    }
}
