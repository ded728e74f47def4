//! Tables as data: CSV files, their preprocessing, and a network for them.
//!
//! What lives here: reading a CSV file with a header into flat columns ([`Table`]); what is learned from its training part
//! before any network is ([`Preprocessing`]: what fills missing values, standardisation, the numbers of categories); rows
//! as tensors ([`Rows`]); a network of embeddings and fully connected layers ([`models`]); and tables of our own making
//! ([`generated`]). What it may know: burn, CSV files, and how settings are read. What it must not know: a training loop,
//! an optimizer, a learning rate.
//!
//! ```
//! use burn::tensor::Device;
//! use tables::{Preprocessing, Table, TableSettings, models::TableMlpConfig};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("cats.csv");
//! std::fs::write(&path, "weight,colour,indoors\n4.5,black,yes\n3.9,red,no\n5.1,black,no\n4.2,grey,yes\n")?;
//! let settings = TableSettings::new(&path, "indoors");
//! let table = Table::read(&settings)?;
//! // Means, deviations and categories are those of the first three rows: the fourth is held out.
//! let preprocessing = Preprocessing::fit(&table, &[0, 1, 2], &settings.missing)?;
//! let rows = preprocessing.encode(table);
//! let device = Device::flex();
//! let model = TableMlpConfig::default().init(&preprocessing.features(), &device)?;
//! let batch = rows.batch(&[3], &device);
//! let logits = model.forward(batch.numbers, batch.categories);
//! assert_eq!(preprocessing.predictions(logits)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod column;
mod error;
pub mod generated;
pub mod models;
mod prediction;
mod preprocessing;
mod read;
mod rows;
mod settings;
mod table;

pub use error::{Names, TableError, TableProblem};
pub use prediction::{RowPrediction, Target};
pub use preprocessing::{CategoryColumn, NumberColumn, Preprocessing};
pub use rows::{RowBatch, Rows, Targets};
pub use settings::{Fill, FillValue, Missing, TableSettings, TargetKind};
pub use table::Table;
