//! burn's visitors and mappers behind a trait object: their methods are generic over the rank of a tensor, which no trait
//! object can have, so the rank is found again on the other side.

use std::any::Any;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};

/// The highest rank that a parameter may have here. burn's own layers go to 5.
pub const HIGHEST_RANK: usize = 8;

/// A [`ModuleVisitor`] that a trait object can be. A parameter is a `Param<Tensor<D, K>>` with `D` up to
/// [`HIGHEST_RANK`].
pub(crate) trait AnyVisitor {
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
    fn float(&mut self, param: &dyn Any);
    fn int(&mut self, param: &dyn Any);
    fn bool(&mut self, param: &dyn Any);
    fn flag(&mut self, flag: &Param<Flag>);
}

/// A [`ModuleMapper`] that a trait object can be. A parameter is a `Some` of such a [`Param`], before and after.
pub(crate) trait AnyMapper {
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
    fn float(&mut self, param: &mut dyn Any);
    fn int(&mut self, param: &mut dyn Any);
    fn bool(&mut self, param: &mut dyn Any);
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
}

/// A visitor or mapper of burn, seen as [`AnyVisitor`] or [`AnyMapper`].
pub(crate) struct Erased<'a, T>(pub(crate) &'a mut T);

/// [`AnyVisitor`] or [`AnyMapper`], seen as a visitor or mapper of burn.
pub(crate) struct Typed<'a, T: ?Sized>(pub(crate) &'a mut T);

/// The first rank for which `$param` is a `$of<Tensor<D, $kind>>`, and what to do with it.
macro_rules! at_its_rank {
    ($param:ident as $downcast:ident $(, $kind:ty)?; $found:ident => $body:expr) => {
        at_its_rank!(@ [1 2 3 4 5 6 7 8] $param $downcast [$($kind)?] $found $body)
    };
    (@ [$($rank:literal)*] $param:ident $downcast:ident $kind:tt $found:ident $body:expr) => {
        $(if let Some($found) = at_its_rank!(@cast $rank $param $downcast $kind) { $body } else)* {}
    };
    (@cast $rank:literal $param:ident downcast_ref [$($kind:ty)?]) => {
        $param.downcast_ref::<Param<Tensor<$rank $(, $kind)?>>>()
    };
    (@cast $rank:literal $param:ident downcast_mut [$($kind:ty)?]) => {
        $param.downcast_mut::<Option<Param<Tensor<$rank $(, $kind)?>>>>()
    };
}

impl<V: ModuleVisitor> AnyVisitor for Erased<'_, V> {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }

    fn float(&mut self, param: &dyn Any) {
        at_its_rank!(param as downcast_ref; found => self.0.visit_float(found));
    }

    fn int(&mut self, param: &dyn Any) {
        at_its_rank!(param as downcast_ref, Int; found => self.0.visit_int(found));
    }

    fn bool(&mut self, param: &dyn Any) {
        at_its_rank!(param as downcast_ref, Bool; found => self.0.visit_bool(found));
    }

    fn flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }
}

impl ModuleVisitor for Typed<'_, dyn AnyVisitor + '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.float(param);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.int(param);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.bool(param);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl<M: ModuleMapper> AnyMapper for Erased<'_, M> {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }

    fn float(&mut self, param: &mut dyn Any) {
        at_its_rank!(param as downcast_mut; found => *found = found.take().map(|param| self.0.map_float(param)));
    }

    fn int(&mut self, param: &mut dyn Any) {
        at_its_rank!(param as downcast_mut, Int; found => *found = found.take().map(|param| self.0.map_int(param)));
    }

    fn bool(&mut self, param: &mut dyn Any) {
        at_its_rank!(param as downcast_mut, Bool; found => *found = found.take().map(|param| self.0.map_bool(param)));
    }

    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }
}

/// Hands a parameter over and takes it back. It is moved, not cloned: an optimizer works in place only where the tensor
/// has one owner.
fn through<T: 'static>(param: T, map: impl FnOnce(&mut dyn Any)) -> T {
    let mut slot = Some(param);
    map(&mut slot);
    let Some(param) = slot else { unreachable!("a mapper gives back what it takes") };
    param
}

impl ModuleMapper for Typed<'_, dyn AnyMapper + '_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        through(param, |param| self.0.float(param))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        through(param, |param| self.0.int(param))
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        through(param, |param| self.0.bool(param))
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }
}

/// The highest rank of a module's parameters.
pub fn highest_rank(module: &impl Module) -> usize {
    struct Highest(usize);
    impl ModuleVisitor for Highest {
        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.0 = self.0.max(D);
        }

        fn visit_int<const D: usize>(&mut self, _: &Param<Tensor<D, Int>>) {
            self.0 = self.0.max(D);
        }

        fn visit_bool<const D: usize>(&mut self, _: &Param<Tensor<D, Bool>>) {
            self.0 = self.0.max(D);
        }
    }
    let mut highest = Highest(0);
    module.visit(&mut highest);
    highest.0
}
