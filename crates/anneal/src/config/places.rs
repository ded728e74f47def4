//! Where the data of a task are: what a configuration names, found on this machine.

use std::path::{Path, PathBuf};

/// What a folder of images by class holds.
const TRAIN_FOLDER: &str = "train";

/// Where a path of a task's settings leads to: the first of its [`places`] where there is something; or, of a folder of
/// images that is gone, `data_dir` itself. What is found nowhere stays as it is.
pub(super) fn found(path: &Path, data_dir: Option<&Path>) -> PathBuf {
    let is_itself = |folder: &&Path| folder.join(TRAIN_FOLDER).is_dir();
    below(path, data_dir)
        .or_else(|| path.exists().then(|| path.to_owned()))
        .or_else(|| elsewhere(path, &vision::search_dirs(None)))
        .or_else(|| data_dir.filter(is_itself).map(Path::to_owned))
        .unwrap_or_else(|| path.to_owned())
}

/// The path that a run records, from which it can be [`found`] again wherever the command is started.
pub(super) fn recorded(path: &Path, data_dir: Option<&Path>) -> std::io::Result<PathBuf> {
    // What was found by way of the environment is noted, for the next one may be another.
    let there = if below(path, data_dir).is_some() { path.to_owned() } else { found(path, data_dir) };
    std::path::absolute(there)
}

/// Where a path is looked for: below `data_dir`; as it is written; a relative one below `ANNEAL_DATA_DIR` and the cache folder
/// too.
pub(super) fn places(path: &Path, data_dir: Option<&Path>) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    let as_written = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let elsewhere = in_folders(path, &vision::search_dirs(None)).collect::<Vec<_>>();
    for place in in_data_dir(path, data_dir).chain([as_written]).chain(elsewhere) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// In `data_dir`: there under the whole of a relative path, or under the path's last name.
fn in_data_dir(path: &Path, data_dir: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let names = [path.is_relative().then_some(path), path.file_name().map(Path::new)];
    names.into_iter().flatten().filter_map(move |name| Some(data_dir?.join(name)))
}

/// Below each of these folders.
fn in_folders(path: &Path, folders: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    folders.iter().filter(move |_| path.is_relative()).map(move |folder| folder.join(path))
}

fn below(path: &Path, data_dir: Option<&Path>) -> Option<PathBuf> {
    in_data_dir(path, data_dir).find(|there| there.exists())
}

/// Below the first of these folders that has it.
fn elsewhere(path: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    in_folders(path, folders).find(|there| there.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_looked_for_where_the_user_says_and_then_where_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |path: &str| dir.path().join(path);
        for folder in ["own/text", "data/text"] {
            std::fs::create_dir_all(at(folder)).expect("made");
        }
        for file in ["own/text/a.txt", "own/b.txt", "data/text/a.txt", "c.txt"] {
            std::fs::write(at(file), "x").expect("written");
        }
        let own = at("own");
        let below = |path: &str| below(Path::new(path), Some(&own));
        assert_eq!(below("text/a.txt"), Some(at("own/text/a.txt")));
        assert_eq!(below("elsewhere/b.txt"), Some(at("own/b.txt")), "under its name");
        assert_eq!(below("/elsewhere/b.txt"), Some(at("own/b.txt")));
        assert_eq!(below("text/b.txt"), Some(at("own/b.txt")));
        assert_eq!(below("text/c.txt"), None);
        let folders = [at("none"), at("data"), at("own")];
        assert_eq!(elsewhere(Path::new("text/a.txt"), &folders), Some(at("data/text/a.txt")));
        assert_eq!(elsewhere(Path::new("a.txt"), &folders), None, "no other file of that name");
        assert_eq!(elsewhere(&at("data/text/d.txt"), &folders), None);
        let absolute = at("c.txt");
        assert_eq!(found(&absolute, Some(&at("data"))), absolute);
        assert_eq!(recorded(&absolute, None).expect("a path"), absolute);
        assert_eq!(found(Path::new("no/such/file.txt"), None), Path::new("no/such/file.txt"));
    }
}
