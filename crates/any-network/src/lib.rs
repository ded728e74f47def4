//! A burn network whose type is known at run time alone: [`AnyNetwork`], a [`Module`](burn::module::Module) again, with the
//! paths and the parameters of what it holds, so that optimizers, checkpoints and exported files see no difference. Code
//! over it is compiled once, whatever the networks are. That costs a virtual call for each parameter that is visited.
//!
//! And [`drawn`]: the parameters of any network, drawn in its order; [`module_of_held!`]: the same for an enum of networks.
//!
//! It knows burn's modules and burn-train's steps, and nothing else.

mod drawn;
mod held;
mod network;
mod traverse;

pub use drawn::drawn;
pub use network::AnyNetwork;
pub use traverse::{HIGHEST_RANK, highest_rank};
