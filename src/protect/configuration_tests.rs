//! What is sealed comes back as it was, to nobody but its recipients, and never outside the new folder.

use super::*;
use age::x25519::Identity;
use std::os::unix::fs::symlink;

fn sealed_for(identity: &Identity, files: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let seal_for = Seal { age: vec![identity.to_public().to_string()], recipients: None };
    let configuration = Configuration { files: files.to_vec(), seal: seal_for };
    tokio::runtime::Runtime::new().unwrap().block_on(seal(&configuration)).map(|sealed| sealed.0)
}

fn opened_by(identity: &Identity, sealed: &[u8]) -> Result<Vec<ConfigurationEntry>, Error> {
    use age::secrecy::ExposeSecret;
    let text = format!("# a comment\n{}\n", identity.to_string().expose_secret());
    let identities = IdentityFile::from_buffer(text.as_bytes()).unwrap();
    let archive = open(identities, sealed, "open")?;
    let entries = tokio::runtime::Runtime::new().unwrap().block_on(entries(&archive));
    entries.map_err(|e| Error::caused_by("open", e))
}

#[test]
fn a_link_to_a_file_is_kept_as_that_file_and_one_to_a_folder_is_refused() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::write(folder.path().join("key"), "secret").unwrap();
    symlink("../key", folder.path().join("tls/key")).unwrap();
    let sealed = sealed_for(&identity, &[folder.path().join("tls")]).unwrap();
    assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
    let entries = opened_by(&identity, &sealed).unwrap();
    assert_eq!(entries.iter().map(|it| it.bytes.as_deref()).collect::<Vec<_>>(), [None, Some(&b"secret"[..])]);
    symlink("..", folder.path().join("tls/all")).unwrap();
    let why = sealed_for(&identity, &[folder.path().join("tls")]).unwrap_err().to_string();
    assert!(why.contains("tls/all` is a link to a folder"), "{why}");
    let why = sealed_for(&identity, &[folder.path().join("none")]).unwrap_err().to_string();
    assert!(why.contains("none`: "), "{why}");
}

#[test]
fn another_identity_and_a_changed_byte_open_nothing() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
    fs::write(folder.path().join("a"), "a").unwrap();
    let sealed = sealed_for(&identity, &[folder.path().join("a")]).unwrap();
    let why = opened_by(&Identity::generate(), &sealed).unwrap_err();
    assert!(why.to_string().contains("not sealed for this identity") && why.hint.is_some(), "{why}");
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    opened_by(&identity, &changed).unwrap_err();
    opened_by(&identity, &sealed[..sealed.len() - 20]).unwrap_err();
    opened_by(&identity, &sealed).unwrap();
}

/// An archive with one entry of this name, whatever it is.
async fn archive_of(name: &str, kind: EntryType) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    let mut builder = Builder::new(vec![]);
    builder.append(&header, tokio::io::empty()).await.unwrap();
    builder.into_inner().await.unwrap()
}

#[tokio::test]
async fn what_would_come_to_lie_elsewhere_is_refused_before_anything_is_written() {
    assert_eq!(entries(&archive_of("a/b", EntryType::Regular).await).await.unwrap().len(), 1);
    for (name, kind) in [
        ("../a", EntryType::Regular),
        ("/etc/a", EntryType::Regular),
        ("a/../../b", EntryType::Directory),
        ("a", EntryType::Symlink),
        ("a", EntryType::Link),
        ("a", EntryType::Fifo),
    ] {
        entries(&archive_of(name, kind).await).await.unwrap_err();
    }
}

#[test]
fn a_folder_that_its_owner_cannot_write_into_is_filled_first() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |path: &str, mode, bytes: Option<&[u8]>| ConfigurationEntry {
        path: path.into(),
        mode,
        bytes: bytes.map(<[u8]>::to_vec),
    };
    let point = RecoveryPoint {
        id: "p".into(),
        snapshot: crate::clock::Moment(0),
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        bytes: None,
    };
    let entries = vec![entry("etc/tls", 0o500, None), entry("etc/tls/key", 0o400, Some(b"secret"))];
    let opened = OpenedConfiguration { repository: "near".into(), point, entries };
    let into = folder.path().join("new");
    opened.write(&into).unwrap();
    let mode = |path: &str| fs::metadata(into.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("etc"), mode("etc/tls"), mode("etc/tls/key")], [0o700, 0o700, 0o500, 0o400]);
    assert_eq!(fs::read(into.join("etc/tls/key")).unwrap(), b"secret");
    assert!(opened.write(&into).unwrap_err().to_string().contains("it is not empty"));
    set_mode(&into.join("etc/tls"), 0o700).unwrap();
}
