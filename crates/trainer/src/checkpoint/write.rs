//! Writing a checkpoint: temporary name, flush, rename, then tidy up.
//!
//! At every instant of this, a directory named `step-*` is whole; where the checkpoint of a step is written a second
//! time, the first waits under `.old-step-*`, which readers know, until the second is in its place. Whatever is being
//! written or removed is called `.tmp-step-*`.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{
    AVERAGES, BEST, CANDIDATE, CheckpointError, CheckpointPolicy, DISPLACED, FALLBACK, MODEL, OPTIMIZER, STATE, TIMES,
    files::Files,
    history::Append,
    io,
    manifest::MANIFEST,
    manifest::Manifest,
    name_of, read,
    snapshot::{Image, Images, Snapshot},
};

/// Prefix of what is being written or removed.
const UNFINISHED: &str = ".tmp-";

/// Writes a checkpoint, then removes those that the policy no longer keeps.
///
/// `images` is memory to encode into. `let_go` is called when the snapshot's tensors are no longer held.
///
/// On an error, what was there before is there still; the new checkpoint may be there too, where only tidying up
/// failed.
pub(super) fn write(
    files: &dyn Files,
    policy: &CheckpointPolicy,
    snapshot: Snapshot,
    images: &mut Images,
    let_go: impl FnOnce(),
) -> Result<PathBuf, CheckpointError> {
    let Snapshot { step, values, history, unproven, refuted, parts } = snapshot;
    let taken = images.take_up(parts)?;
    let_go();
    let written = write_images(files, policy, Manifest::new(step, values), &history, &taken)
        .and_then(|path| prune(files, policy, step, &Trust { unproven, refuted }).map(|()| path));
    images.keep(taken);
    written
}

/// Clears away what a killed process left: what it had begun to write, and what it had not pruned yet. `step` is the
/// checkpoint that the run goes on from.
pub(super) fn tidy(
    files: &dyn Files,
    policy: &CheckpointPolicy,
    step: u64,
    unproven: Vec<u64>,
) -> Result<(), CheckpointError> {
    match files.list(&policy.directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io(&policy.directory, "list it"))?,
    };
    prepare(files, &policy.directory)?;
    prune(files, policy, step, &Trust { unproven, refuted: Vec::new() })
}

fn write_images(
    files: &dyn Files,
    policy: &CheckpointPolicy,
    manifest: Manifest,
    history: &Append,
    images: &[Image],
) -> Result<PathBuf, CheckpointError> {
    let (directory, step) = (&policy.directory, manifest.step);
    let name = name_of(step);
    let path = directory.join(&name);
    let unfinished = directory.join(format!("{UNFINISHED}{name}"));
    let displaced = directory.join(format!("{DISPLACED}{name}"));

    let is_replaced = prepare(files, directory)?.contains(&name) && !moved_aside(files, &path)?;
    history.write(files, directory)?;
    if let Err(error) = write_files(files, &unfinished, manifest, images) {
        // Frees the space for the next try. If this fails too, the next try removes it.
        let _ = clear(files, &unfinished);
        return Err(error);
    }
    let moved = if is_replaced { files.rename(&path, &displaced) } else { Ok(()) };
    if let Err(source) = moved.and_then(|()| files.rename(&unfinished, &path)) {
        if is_replaced {
            // Readers find it under either name; under its own it is what it was.
            let _ = files.rename(&displaced, &path);
        }
        let _ = files.remove_dir_all(&unfinished);
        return Err(io(&path, "move it into place")(source));
    }
    files.sync_dir(directory).map_err(io(directory, "flush it to disk"))?;
    tracing::debug!("checkpoint of step {step} written");
    if is_replaced {
        remove(files, &displaced)?;
    }
    Ok(path)
}

/// Makes the directory ready: it exists, and what a killed process left is out of the way. Gives the names in it.
fn prepare(files: &dyn Files, directory: &Path) -> Result<Vec<String>, CheckpointError> {
    let mut names = match files.list(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            files.create_dir_all(directory).map_err(io(directory, "create it"))?;
            if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                files.sync_dir(parent).map_err(io(parent, "flush it to disk"))?;
            }
            Vec::new()
        }
        other => other.map_err(io(directory, "list it"))?,
    };
    for name in names.clone() {
        let path = directory.join(&name);
        if name.strip_prefix(UNFINISHED).is_some_and(|own| read::step_of(Path::new(own)).is_some()) {
            clear(files, &path)?;
        } else if let Some(own) = name.strip_prefix(DISPLACED).filter(|own| read::step_of(Path::new(own)).is_some()) {
            if !read::is_only_ours(files, &path)? {
                move_aside(files, &path)?;
            } else if names.iter().any(|name| name == own) {
                remove(files, &path)?;
            } else {
                files.rename(&path, &directory.join(own)).map_err(io(&path, "put it back"))?;
                names.push(own.to_owned());
            }
        }
    }
    Ok(names)
}

/// Clears away a checkpoint that was being written or removed. What holds anything else, or is a file, is moved aside.
fn clear(files: &dyn Files, path: &Path) -> Result<(), CheckpointError> {
    let names = match files.list(path) {
        // Another program's file of this name would be in the way.
        Err(error) if error.kind() == ErrorKind::NotADirectory => return move_aside(files, path),
        other => other.map_err(io(path, "list it"))?,
    };
    // The manifest comes last, so that there may be none yet.
    if names.iter().all(|name| is_part(name)) || read::is_only_ours(files, path)? {
        files.remove_dir_all(path).map_err(io(path, "remove it"))
    } else {
        move_aside(files, path)
    }
}

/// Whether a file of a checkpoint has this name, whatever else it may hold.
fn is_part(name: &str) -> bool {
    let of_state = [FALLBACK, CANDIDATE].into_iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    [STATE, MODEL, OPTIMIZER, BEST].contains(&of_state)
        || AVERAGES.contains(&of_state)
        || [TIMES, MANIFEST].contains(&name)
}

/// All files of the checkpoint, on the medium, under the temporary name.
fn write_files(
    files: &dyn Files,
    unfinished: &Path,
    mut manifest: Manifest,
    images: &[Image],
) -> Result<(), CheckpointError> {
    files.create_dir(unfinished).map_err(io(unfinished, "create it"))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = unfinished.join(name);
        files.write(&path, bytes).map_err(io(&path, "write it"))?;
        files.sync_file(&path).map_err(io(&path, "flush it to disk"))
    };
    for image in images {
        write(&image.name, &image.bytes)?;
        manifest.add(image.name.clone(), &image.bytes);
    }
    write(MANIFEST, &manifest.to_bytes()?)?;
    files.sync_dir(unfinished).map_err(io(unfinished, "flush it to disk"))
}

/// Which checkpoints are not known to be good.
struct Trust {
    /// Nothing has shown them to be good yet.
    unproven: Vec<u64>,
    /// The run has rolled back from them.
    refuted: Vec<u64>,
}

/// Keeps the newest `keep_last` and the best of those that are known to be good, and beside them those that are not yet.
/// The one just written is among either.
///
/// Of the others only those count whose manifest and sizes are in order. Checkpoints of later steps than the one just
/// written belong to a past that this run did not take (it went on from an older checkpoint, because they were damaged
/// say): they are left alone until the run has caught up with them.
fn prune(files: &dyn Files, policy: &CheckpointPolicy, written: u64, trust: &Trust) -> Result<(), CheckpointError> {
    let mut found = Vec::new();
    let mut unsound = Vec::new();
    for candidate in read::list(files, &policy.directory)?.into_iter().rev() {
        if candidate.step > written {
            continue;
        }
        match sound(files, &candidate.path) {
            Ok(_) if trust.unproven.contains(&candidate.step) => {}
            Ok(_) if trust.refuted.contains(&candidate.step) => unsound.push(candidate.path),
            Ok(manifest) => found.push((candidate.path, manifest)),
            // Without our manifest it is not ours.
            Err(CheckpointError::Damaged { .. })
                if candidate.step < written && Manifest::read(files, &candidate.path).is_ok() =>
            {
                unsound.push(candidate.path);
            }
            // A checkpoint that cannot be read now may still be whole.
            Err(_) => {}
        }
    }
    // From here on by index into `found`, newest first.
    let mut kept: Vec<usize> = (0..found.len().min(policy.keep_last.max(1))).collect();
    let values = found.iter().enumerate().rev().map(|(i, (_, manifest))| (i, &manifest.values));
    let ranked = policy.rank(values.map(|(i, values)| (i, values.get(&policy.keep_best).copied())));
    kept.extend(ranked.into_iter().take(policy.k.max(1)));
    let dropped = found.into_iter().enumerate().filter(|(i, _)| !kept.contains(i)).map(|(_, (path, _))| path);
    for path in dropped.chain(unsound) {
        if read::is_only_ours(files, &path)? {
            remove(files, &path)?;
        } else {
            tracing::debug!("{}: no longer kept, but not removed: it holds other files", path.display());
        }
    }
    Ok(())
}

/// Whether what has the name of the checkpoint to be written had to be moved out of the way, because it is not (only) a
/// checkpoint of ours.
fn moved_aside(files: &dyn Files, path: &Path) -> Result<bool, CheckpointError> {
    if read::is_only_ours(files, path)? {
        return Ok(false);
    }
    move_aside(files, path).map(|()| true)
}

/// Gives what is not ours another name.
fn move_aside(files: &dyn Files, path: &Path) -> Result<(), CheckpointError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let taken = path.parent().map_or(Ok(Vec::new()), |parent| files.list(parent).map_err(io(parent, "list it")))?;
    // One of so many names is free.
    let mut free = (0..=taken.len()).map(|number| format!("{name}.kept-{}", number + 1));
    let kept = path.with_file_name(free.find(|name| !taken.contains(name)).unwrap_or_default());
    files.rename(path, &kept).map_err(io(path, "move it aside"))?;
    tracing::warn!("{}: is not a checkpoint of this program; renamed to {}", path.display(), kept.display());
    Ok(())
}

/// The manifest of a checkpoint that looks whole without its files being read.
fn sound(files: &dyn Files, path: &Path) -> Result<Manifest, CheckpointError> {
    let manifest = Manifest::read(files, path)?;
    manifest.files.iter().try_for_each(|entry| entry.check_size(files, path))?;
    Ok(manifest)
}

/// Removes a directory under a name that no reader takes for a checkpoint, for a kill may come halfway.
fn remove(files: &dyn Files, path: &Path) -> Result<(), CheckpointError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let doomed = path.with_file_name(format!("{UNFINISHED}{name}"));
    let removed: io::Result<()> = files.rename(path, &doomed).and_then(|()| files.remove_dir_all(&doomed));
    removed.map_err(io(path, "remove it"))
}
