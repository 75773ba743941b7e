//! What a program that was killed leaves behind: files and folders under temporary names, which nobody will finish.

use crate::files::TEMPORARY_PREFIX;
use crate::folder::Folder;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A process that still writes has written since. Commands such as `backup` work beside a server, so its lock is no sign.
const AGE_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what was left in the folder of a server that starts, and in its folder `trusted`. Nothing depends on it: what
/// cannot be removed stays.
pub(crate) fn sweep(folder: &Folder) {
    let Some(before) = SystemTime::now().checked_sub(AGE_MIN) else { return };
    sweep_before(folder.path(), before);
    sweep_before(&folder.path().join("trusted"), before);
}

fn sweep_before(path: &Path, before: SystemTime) {
    for entry in path.read_dir().into_iter().flatten().flatten() {
        let shown = entry.path();
        match remove_if_left(&entry, before) {
            Ok(true) => log::info!("removed {}, which a program that was killed has left", shown.display()),
            Ok(false) => {}
            Err(error) => log::warn!("{} was left by a program and cannot be removed: {error}", shown.display()),
        }
    }
}

/// Only what has one of our temporary names, is a file or a folder (a link may lead anywhere), and has long been left alone.
fn remove_if_left(entry: &DirEntry, before: SystemTime) -> io::Result<bool> {
    let name = entry.file_name();
    let random = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY_PREFIX)).unwrap_or_default();
    if random.is_empty() || !random.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(false);
    }
    let metadata = entry.metadata()?;
    let is_left = |metadata: &Metadata| metadata.modified().is_ok_and(|modified| modified < before);
    if !is_left(&metadata) {
        return Ok(false);
    }
    if metadata.is_file() {
        std::fs::remove_file(entry.path())?;
        return Ok(true);
    }
    if !metadata.is_dir() {
        return Ok(false);
    }
    for inner in entry.path().read_dir()? {
        if !is_left(&inner?.metadata()?) {
            return Ok(false);
        }
    }
    std::fs::remove_dir_all(entry.path())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs::File;

    #[test]
    fn what_was_left_goes_and_all_else_stays() {
        let outer = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let path = |name: &str| outer.path().join(name);
        let age = |name: &str, days: u32| {
            File::open(path(name)).unwrap().set_modified(now - days * AGE_MIN).unwrap();
        };
        for (name, days) in
            [(".offst-aB3xY9", 2), (".offst-new123", 0), (".offst-", 2), (".offst-a.b", 2), ("offst-a", 2)]
        {
            std::fs::write(path(name), "").unwrap();
            age(name, days);
        }
        for (name, days) in [(".offst-olddir", 2), (".offst-inwork", 0)] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(&format!("{name}/new.db")), "").unwrap();
            age(&format!("{name}/new.db"), days);
            age(name, 2);
        }
        std::os::unix::fs::symlink(path("offst-a"), path(".offst-link00")).unwrap();
        sweep_before(outer.path(), now - AGE_MIN);
        let left: BTreeSet<_> = outer.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let expected = [".offst-", ".offst-a.b", ".offst-inwork", ".offst-link00", ".offst-new123", "offst-a"];
        assert_eq!(left, expected.map(Into::into).into());
        sweep_before(&path("missing"), now);
    }
}
