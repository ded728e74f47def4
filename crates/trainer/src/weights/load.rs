//! Weights from a file into a model: everything is checked before anything is changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use burn::{module::Module, tensor::DType};
use burn_pack::Tensor;
use burn_store::{Applier, ModuleAdapter, PyTorchToBurnAdapter, bridge};

use super::{
    Difference, Format, Layout, LoadOptions, WeightsError,
    error::shortened,
    parameters::{self, Parameter},
    read::{self, Source},
};

/// A counter that PyTorch's batch norm keeps for `momentum = None`, which burn's batch norm does not have.
const COUNTER: &str = "num_batches_tracked";

/// What was put into a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The file (for a checkpoint its folder).
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// The SHA-256 of the weights, in hexadecimal.
    pub sha256: String,
    /// The model's parameters and buffers that now hold the file's values, by path.
    pub loaded: Vec<String>,
    /// Those that `strict = false` left as they were, because the file does not have them.
    pub missing: Vec<String>,
    /// Those that `only` and `except` left as they were.
    pub left_out: Vec<String>,
    /// Tensors of the file, by its own names, that went nowhere. Batch norm's `num_batches_tracked` is not counted.
    pub unused: Vec<String>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors from {} ({})", self.loaded.len(), self.path.display(), self.format)?;
        for (what, names) in [
            ("left out", &self.left_out),
            ("not in the file, as initialised", &self.missing),
            ("in the file, unused", &self.unused),
        ] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", shortened(names))?;
            }
        }
        Ok(())
    }
}

/// Puts the weights at `path` into `model`: a burnpack, safetensors or PyTorch file, a checkpoint's folder, or a run's
/// folder (its `model.safetensors`, or while there is none its newest valid checkpoint).
///
/// Names and layouts are adapted (see the [module](super)), floats are converted to the parameter's type, parameter ids
/// stay those of `model`. Load before the optimizer has seen the model.
///
/// # Errors
/// A path that cannot be read; a damaged file; a parameter that is missing (with `strict`), has another shape or holds
/// another kind of number; patterns that match nothing; a file that has nothing for this model. Everything is read and
/// checked before the first parameter is touched, so with an error nothing has changed: this matters because burn's
/// clones of a batch norm share their running statistics.
pub fn load<M: Module>(model: M, path: &Path, options: &LoadOptions) -> Result<(M, Loaded), WeightsError> {
    // Takes in updates of running statistics that are still pending, which would replace what is loaded.
    let _ = model.valid();
    let parameters = parameters::of(&model);
    options.check_against(&parameters)?;
    let source = read::open(path)?;
    if let Some(expected) = options.expected_sha256().filter(|expected| !expected.eq_ignore_ascii_case(&source.sha256))
    {
        return Err(WeightsError::Sha256 {
            path: source.path,
            found: source.sha256,
            expected: expected.to_ascii_lowercase(),
        });
    }
    let layout = options.layout.unwrap_or_else(|| source.format.layout());
    let LoadPlan { tensors, report } = plan(source, &parameters, layout, options)?;

    let adapter: Option<Box<dyn ModuleAdapter>> = match layout {
        Layout::PyTorch => Some(Box::new(PyTorchToBurnAdapter)),
        Layout::Burn => None,
    };
    let mut applier = Applier::new(tensors, None, adapter, false);
    let model = model.map(&mut applier);
    // Names, shapes, kinds and bytes have been checked: what is left is a contradiction between this module's view of
    // the model and burn-store's, and must not pass in silence.
    let applied = applier.into_result();
    match applied.errors.first() {
        Some(error) => Err(damaged(&report, error)),
        None if applied.applied.len() != report.loaded.len() => {
            Err(damaged(&report, &format!("{} of {} tensors applied", applied.applied.len(), report.loaded.len())))
        }
        None => Ok((model, report)),
    }
}

fn damaged(report: &Loaded, what: &dyn fmt::Display) -> WeightsError {
    WeightsError::Damaged { path: report.path.clone(), format: report.format, what: what.to_string() }
}

/// Tensors under the model's paths, their bytes in memory, and what will be said about them.
struct LoadPlan {
    tensors: Vec<Tensor>,
    report: Loaded,
}

/// Finds the tensor of each parameter; refuses what does not fit.
fn plan(
    source: Source,
    parameters: &[Parameter],
    layout: Layout,
    options: &LoadOptions,
) -> Result<LoadPlan, WeightsError> {
    let Source { path, format, sha256, tensors } = source;
    let file = renamed(&path, &tensors, options)?;
    let (selected, left_out): (Vec<_>, Vec<_>) = parameters.iter().partition(|parameter| options.selects(parameter));
    let found: Vec<(&Parameter, Option<&Tensor>)> = selected
        .into_iter()
        .map(|parameter| (parameter, parameter.names(layout).iter().find_map(|name| file.get(*name).copied())))
        .collect();
    let used: BTreeSet<&str> = found.iter().filter_map(|(_, tensor)| Some(tensor.as_ref()?.name.as_str())).collect();
    let unused: BTreeMap<&str, &str> = file
        .iter()
        .filter(|(_, tensor)| !used.contains(tensor.name.as_str()) && !tensor.name.ends_with(COUNTER))
        .map(|(name, tensor)| (name.as_str(), tensor.name.as_str()))
        .collect();
    let differences: Vec<Difference> = found
        .iter()
        .filter_map(|(parameter, tensor)| difference(parameter, *tensor, layout, options.is_strict(), &unused))
        .collect();
    let nothing = used.is_empty();
    if nothing && !(options.is_strict() && file.keys().any(|name| is_near(name, parameters, layout))) {
        return Err(WeightsError::Nothing { path, found: file.len(), names: file.into_keys().collect() });
    }
    if !differences.is_empty() {
        return Err(WeightsError::Mismatch { path, differences });
    }

    let paths = |parameters: &mut dyn Iterator<Item = &Parameter>| parameters.map(|p| p.path.clone()).collect();
    let report = Loaded {
        path,
        format,
        sha256,
        loaded: paths(&mut found.iter().filter(|(_, tensor)| tensor.is_some()).map(|(parameter, _)| *parameter)),
        missing: paths(&mut found.iter().filter(|(_, tensor)| tensor.is_none()).map(|(parameter, _)| *parameter)),
        left_out: paths(&mut left_out.into_iter()),
        unused: unused.values().map(|name| (*name).to_owned()).collect(),
    };
    let tensors = found
        .into_iter()
        .filter_map(|(parameter, tensor)| Some(resident(parameter, tensor?, &report)))
        .collect::<Result<_, _>>()?;
    Ok(LoadPlan { tensors, report })
}

/// The file's tensors by the names that `remap` gives them.
fn renamed<'t>(
    path: &Path,
    tensors: &'t [Tensor],
    options: &LoadOptions,
) -> Result<BTreeMap<String, &'t Tensor>, WeightsError> {
    let mut file: BTreeMap<String, &Tensor> = BTreeMap::new();
    for tensor in tensors {
        let Some(name) = options.renamed(&tensor.name) else {
            return Err(WeightsError::LongName { path: path.to_owned(), tensor: tensor.name.clone() });
        };
        if let Some(first) = file.insert(name.clone(), tensor) {
            let (first, second) = (first.name.clone(), tensor.name.clone());
            return Err(WeightsError::Collision { path: path.to_owned(), name, first, second });
        }
    }
    Ok(file)
}

fn is_near(name: &str, parameters: &[Parameter], layout: Layout) -> bool {
    parameters.iter().any(|parameter| strict_config::nearest(name, parameter.names(layout)).is_some())
}

/// What keeps a tensor from becoming this parameter.
fn difference(
    parameter: &Parameter,
    tensor: Option<&Tensor>,
    layout: Layout,
    strict: bool,
    unused: &BTreeMap<&str, &str>,
) -> Option<Difference> {
    let name = parameter.names(layout)[0].to_owned();
    let Some(tensor) = tensor else {
        let nearest = strict_config::nearest(&name, unused.keys().copied()).map(str::to_owned);
        return strict.then_some(Difference::Missing { name, nearest });
    };
    if tensor.shape.to_vec() != parameter.shape(layout) {
        let (model, file) = (parameter.shape(layout).to_vec(), tensor.shape.to_vec());
        return Some(Difference::Shape { name, model, file });
    }
    let differs = kind(tensor.dtype) != kind(parameter.dtype);
    differs.then(|| Difference::Kind {
        name,
        model: format!("{:?}", parameter.dtype),
        file: format!("{:?}", tensor.dtype),
    })
}

/// What a number may be converted from without another meaning.
#[derive(PartialEq)]
enum Kind {
    Float,
    Int,
    Bool,
    Quantized,
}

fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::QFloat(_) => Kind::Quantized,
        DType::Bool(_) => Kind::Bool,
        float if float.is_float() => Kind::Float,
        _ => Kind::Int,
    }
}

/// The tensor under the parameter's path and in its type, with its bytes read. A parameter's shape has been checked, so
/// no more memory is taken than the model itself takes.
fn resident(parameter: &Parameter, tensor: &Tensor, report: &Loaded) -> Result<Tensor, WeightsError> {
    let data = bridge::to_data(tensor).map_err(|error| damaged(report, &format!("`{}`: {error}", tensor.name)))?;
    let data = if data.dtype() == parameter.dtype { data } else { data.convert_dtype(parameter.dtype) };
    // A training that begins with such a value ends with it, and would be blamed on the learning rate.
    let bad = || data.iter::<f64>().position(|value| !value.is_finite());
    if let Some(element) = parameter.dtype.is_float().then(bad).flatten() {
        return Err(WeightsError::NonFinite { path: report.path.clone(), tensor: tensor.name.clone(), element });
    }
    // No id: the model keeps its own.
    Ok(bridge::from_data(data, parameter.path.clone(), None))
}
