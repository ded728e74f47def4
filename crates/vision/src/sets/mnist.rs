//! MNIST, and Fashion-MNIST, which has its form: four IDX files.

use super::dataset_info::{DataFile, DatasetInfo, Download, Packing, TEN_DIGITS};
use super::folder::{Content, Folder};
use crate::dataset::Dataset;
use crate::error::{DataError, FileProblem};
use crate::image_set::{ImageSet, ImageShape};
use crate::read::idx;

const SHAPE: ImageShape = ImageShape::new(1, 28, 28);

/// Files in the order in which [`read`] takes them: training images and labels, test images and labels.
const fn files(sha256: [Option<&'static str>; 4]) -> [DataFile; 4] {
    [
        DataFile { name: "train-images-idx3-ubyte", bytes: 16 + 60_000 * 784, sha256: sha256[0] },
        DataFile { name: "train-labels-idx1-ubyte", bytes: 8 + 60_000, sha256: sha256[1] },
        DataFile { name: "t10k-images-idx3-ubyte", bytes: 16 + 10_000 * 784, sha256: sha256[2] },
        DataFile { name: "t10k-labels-idx1-ubyte", bytes: 8 + 10_000, sha256: sha256[3] },
    ]
}

const fn packed(
    mirrors: &'static [&'static str],
    file: &'static str,
    bytes: u64,
    md5: &'static str,
    sha256: &'static str,
) -> Download {
    Download { file, mirrors, bytes, md5, sha256, packing: Packing::Gzip }
}

/// The original address comes last: it often refuses.
const MNIST_MIRRORS: &[&str] = &[
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
];

const FASHION_MIRRORS: &[&str] = &[
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
];

static MNIST_FILES: [DataFile; 4] = files([
    Some("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    Some("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    Some("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    Some("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
]);

pub(super) static MNIST: DatasetInfo = DatasetInfo {
    name: "mnist",
    summary: "handwritten digits, 28x28 grey",
    shape: SHAPE,
    classes: TEN_DIGITS,
    train: 60_000,
    test: 10_000,
    origin: "Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; usually given as CC BY-SA 3.0",
    part: None,
    folder: "mnist",
    files: &MNIST_FILES,
    downloads: &[
        packed(
            MNIST_MIRRORS,
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        packed(
            MNIST_MIRRORS,
            "train-labels-idx1-ubyte.gz",
            28_881,
            "d53e105ee54ea40749a09fcbcd1e9432",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        packed(
            MNIST_MIRRORS,
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "9fb629c4189551a2d022fa330f9573f3",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        packed(
            MNIST_MIRRORS,
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "ec29112dd5afa0611ce80d1b7f02629c",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ],
};

/// Only the checksums of the compressed files are published: they are checked when the files are fetched, and the
/// checksums of the content are recorded then.
static FASHION_FILES: [DataFile; 4] = files([None; 4]);

pub(super) static FASHION: DatasetInfo = DatasetInfo {
    name: "fashion-mnist",
    summary: "articles of clothing, 28x28 grey, in the form of MNIST",
    shape: SHAPE,
    classes: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    train: 60_000,
    test: 10_000,
    origin: "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017; MIT",
    part: None,
    folder: "fashion-mnist",
    files: &FASHION_FILES,
    downloads: &[
        packed(
            FASHION_MIRRORS,
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        packed(
            FASHION_MIRRORS,
            "train-labels-idx1-ubyte.gz",
            29_515,
            "25c81989df183df01b3e8a0aad5dffbe",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        packed(
            FASHION_MIRRORS,
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "bef4ecab320f06d8554ea6380940ec79",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        packed(
            FASHION_MIRRORS,
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "bb300cfdad3c16e7a12a480ee83cd310",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ],
};

pub(super) fn read(info: &'static DatasetInfo, folder: &Folder) -> Result<Dataset, DataError> {
    let train = set(info, folder, &info.files[0], &info.files[1])?;
    let test = set(info, folder, &info.files[2], &info.files[3])?;
    Dataset::new(info.name, train, test, info.class_names())
}

fn set(info: &DatasetInfo, folder: &Folder, images: &DataFile, labels: &DataFile) -> Result<ImageSet, DataError> {
    let (mut image_file, label_file) = (folder.read(images)?, folder.read(labels)?);
    let header = checked_images(info, &image_file)?;
    let count = (image_file.bytes.len() - header) / info.shape.pixels();
    let found_labels = idx::labels(&label_file.bytes, info.classes.len())
        .map_err(|problem| problem.in_file(&label_file.path))?
        .to_vec();
    if found_labels.len() != count {
        let images = image_file.path.display().to_string();
        let problem = FileProblem::Count { found: found_labels.len(), expected: count, images };
        return Err(problem.in_file(&label_file.path));
    }
    image_file.verify(images)?;
    label_file.verify(labels)?;
    // The block is what was read, less its header: no second copy of the pixels.
    image_file.bytes.drain(..header);
    ImageSet::new(image_file.bytes, found_labels, info.shape, info.classes.len())
        .map_err(|problem| problem.in_set(info.name))
}

/// Checks the file of images; returns the length of its header.
fn checked_images(info: &DatasetInfo, file: &Content) -> Result<usize, DataError> {
    let images = idx::images(&file.bytes).map_err(|problem| problem.in_file(&file.path))?;
    if (images.rows, images.columns) != (info.shape.height, info.shape.width) {
        let problem = FileProblem::ImageSize {
            found: format!("{}x{}", images.rows, images.columns),
            expected: format!("{}x{}", info.shape.height, info.shape.width),
        };
        return Err(problem.in_file(&file.path));
    }
    Ok(file.bytes.len() - images.pixels.len())
}
