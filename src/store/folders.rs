//! Where this user's cache and platforms are kept.
//!
//! Apart because a user without a home gets a folder where others may write, which is checked before it is used.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The folder where set-up keeps what it downloads and builds: `LIFEBOAT_CACHE`, else `/var/cache/lifeboat` for root (whose
/// home others may not enter, and PostgreSQL runs as another user), else `~/.cache/lifeboat`.
pub fn cache() -> PathBuf {
    folder("LIFEBOAT_CACHE", "/var/cache/lifeboat", "XDG_CACHE_HOME", ".cache")
}

/// The folder of platforms while a drill runs: `LIFEBOAT_STATE`, else `/var/lib/lifeboat` for root, else
/// `~/.local/state/lifeboat`.
pub fn state() -> PathBuf {
    folder("LIFEBOAT_STATE", "/var/lib/lifeboat", "XDG_STATE_HOME", ".local/state")
}

fn folder(own: &str, root: &str, xdg: &str, home: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let root = rustix::process::geteuid().is_root().then(|| root.into());
    placed(set(own), root, [set(xdg), set("HOME").map(|folder| folder.join(home))])
}

/// A relative path is meant from where the user stands, for programs are started elsewhere. Of the user's usual folders a
/// relative one counts for nothing, as the standard of the `XDG_` variables says.
fn placed(own: Option<PathBuf>, root: Option<PathBuf>, usual: [Option<PathBuf>; 2]) -> PathBuf {
    let own = own.map(|own| std::path::absolute(&own).unwrap_or(own));
    let usual = || usual.into_iter().flatten().find(|folder| folder.is_absolute()).unwrap_or_else(homeless);
    own.or(root).unwrap_or_else(|| usual().join("lifeboat"))
}

/// The folder of a user without a home. Others may write where it lies, so it is used only after [`check_homeless`].
fn homeless() -> PathBuf {
    std::env::temp_dir().join(format!("lifeboat-{}", rustix::process::geteuid().as_raw()))
}

/// Refuses the folder of a user without a home if others may have put something there; makes it, if it is to be used.
///
/// # Errors
/// When it is a link, another user's, or open to others.
pub fn check_homeless() -> io::Result<()> {
    let folder = homeless();
    if [cache(), state()].iter().any(|used| used.starts_with(&folder)) { own_folder(&folder) } else { Ok(()) }
}

fn own_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let about = fs::symlink_metadata(folder)?;
    let ours = about.uid() == rustix::process::geteuid().as_raw();
    if about.is_dir() && ours && about.mode() & 0o777 == 0o700 {
        return Ok(());
    }
    let why = format!("`{}` is not a folder that only this user may enter", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_relative_folder_is_meant_from_here_and_one_of_the_users_usual_ones_counts_for_nothing() {
        let path = |text: &str| Some(PathBuf::from(text));
        let here = std::env::current_dir().unwrap();
        assert_eq!(placed(path("state"), path("/root"), [None, None]), here.join("state"));
        assert_eq!(placed(None, path("/root"), [path("/xdg"), None]), Path::new("/root"));
        assert_eq!(placed(None, None, [path("xdg"), path("/home/.cache")]), Path::new("/home/.cache/lifeboat"));
        assert_eq!(placed(None, None, [path("xdg"), path("home")]), homeless().join("lifeboat"));
    }

    #[test]
    fn the_folder_of_a_user_without_a_home_is_refused_if_others_may_enter_it_or_it_is_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own");
        own_folder(&path).unwrap();
        own_folder(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(own_folder(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(own_folder(&link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
