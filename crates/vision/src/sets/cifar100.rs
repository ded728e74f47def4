//! CIFAR-100, by its hundred classes or by its twenty superclasses.

use super::cifar10;
use super::dataset_info::{DataFile, DatasetInfo, Download, Packing};
use super::folder::Folder;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::read::cifar::{self, Form};

/// In the order of the archive's `fine_label_names.txt`.
const FINE_CLASSES: &[&str] = &[
    "apple",
    "aquarium_fish",
    "baby",
    "bear",
    "beaver",
    "bed",
    "bee",
    "beetle",
    "bicycle",
    "bottle",
    "bowl",
    "boy",
    "bridge",
    "bus",
    "butterfly",
    "camel",
    "can",
    "castle",
    "caterpillar",
    "cattle",
    "chair",
    "chimpanzee",
    "clock",
    "cloud",
    "cockroach",
    "couch",
    "crab",
    "crocodile",
    "cup",
    "dinosaur",
    "dolphin",
    "elephant",
    "flatfish",
    "forest",
    "fox",
    "girl",
    "hamster",
    "house",
    "kangaroo",
    "keyboard",
    "lamp",
    "lawn_mower",
    "leopard",
    "lion",
    "lizard",
    "lobster",
    "man",
    "maple_tree",
    "motorcycle",
    "mountain",
    "mouse",
    "mushroom",
    "oak_tree",
    "orange",
    "orchid",
    "otter",
    "palm_tree",
    "pear",
    "pickup_truck",
    "pine_tree",
    "plain",
    "plate",
    "poppy",
    "porcupine",
    "possum",
    "rabbit",
    "raccoon",
    "ray",
    "road",
    "rocket",
    "rose",
    "sea",
    "seal",
    "shark",
    "shrew",
    "skunk",
    "skyscraper",
    "snail",
    "snake",
    "spider",
    "squirrel",
    "streetcar",
    "sunflower",
    "sweet_pepper",
    "table",
    "tank",
    "telephone",
    "television",
    "tiger",
    "tractor",
    "train",
    "trout",
    "tulip",
    "turtle",
    "wardrobe",
    "whale",
    "willow_tree",
    "wolf",
    "woman",
    "worm",
];

/// In the order of the archive's `coarse_label_names.txt`.
const COARSE_CLASSES: &[&str] = &[
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// The publishers give a checksum of the archive only; those of the files are recorded when it is fetched.
static FILES: [DataFile; 2] = [
    DataFile { name: "train.bin", bytes: (50_000 * Form::CIFAR100_FINE.record()) as u64, sha256: None },
    DataFile { name: "test.bin", bytes: (10_000 * Form::CIFAR100_FINE.record()) as u64, sha256: None },
];

static ARCHIVE: [Download; 1] = [Download {
    file: "cifar-100-binary.tar.gz",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    bytes: 168_513_733,
    md5: "03b5dce01913d631647c71ecec9e9cb8",
    sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    packing: Packing::TarGzip { folder: "cifar-100-binary" },
}];

const fn labelled(name: &'static str, summary: &'static str, classes: &'static [&'static str]) -> DatasetInfo {
    DatasetInfo {
        name,
        summary,
        shape: cifar::SHAPE,
        classes,
        train: 50_000,
        test: 10_000,
        origin: "A. Krizhevsky, V. Nair, G. Hinton, CIFAR-100, 2009; no licence stated, citation asked for",
        part: None,
        folder: "cifar100",
        files: &FILES,
        downloads: &ARCHIVE,
    }
}

pub(super) static FINE: DatasetInfo =
    labelled("cifar100", "small photographs of a hundred kinds of things, 32x32 RGB", FINE_CLASSES);

pub(super) static COARSE: DatasetInfo =
    labelled("cifar100-coarse", "the images of CIFAR-100 by its twenty superclasses", COARSE_CLASSES);

pub(super) fn read(info: &'static DatasetInfo, folder: &Folder) -> Result<Dataset, DataError> {
    let form = if info.classes.len() == COARSE_CLASSES.len() { Form::CIFAR100_COARSE } else { Form::CIFAR100_FINE };
    let set = |prefix| cifar10::set(info, folder, form, prefix);
    Dataset::new(info.name, set("train")?, set("test")?, info.class_names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_as_many_as_the_classes_and_in_the_order_of_the_archive() {
        assert_eq!((FINE_CLASSES.len(), COARSE_CLASSES.len()), (100, 20));
        for names in [FINE_CLASSES, COARSE_CLASSES] {
            assert!(names.is_sorted(), "the archive lists its names in alphabetical order");
        }
        // 1 + 1 + 3,072 bytes a record.
        assert_eq!((FILES[0].bytes, FILES[1].bytes), (153_700_000, 30_740_000));
    }
}
