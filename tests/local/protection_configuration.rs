//! The configuration of a protection, sealed in each point and restored by its recipients alone: B4, B5.

use crate::proof::{Forge, bytes};
use crate::protection::Protected;
use crate::protection_physical_fixture::{PhysicalProtection, received};
use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECRET: &str = "the key of the certificate";

/// Files of a platform in a folder, with a recipient's key beside them; answers what a protection says of them.
fn configure(folder: &Path) -> String {
    let platform = folder.join("platform");
    fs::create_dir_all(platform.join("tls")).unwrap();
    for (name, text, mode) in [("values.yaml", "replicas: 3", 0o644), ("tls/tls.key", SECRET, 0o400)] {
        fs::write(platform.join(name), text).unwrap();
        fs::set_permissions(platform.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let recipient = key(folder, "key.txt").to_public().to_string();
    format!("configuration: {{ files: [platform/values.yaml, platform/tls], seal: {{ age: [{recipient}] }} }}")
}

fn key(folder: &Path, name: &str) -> Identity {
    let identity = Identity::generate();
    fs::write(folder.join(name), format!("{}\n", identity.to_string().expose_secret())).unwrap();
    identity
}

/// Writes what `configure` answers into the file of a protection.
fn add(file: &Path, configuration: &str) {
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replacen(" } }\nengine", &format!(" }}, {configuration} }}\nengine"), 1)).unwrap();
}

const OPEN: &str = "restore mlflow.yaml --to latest --only configuration --identity key.txt";

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_in_each_point_and_only_its_recipients_read_it() {
    let it = Protected::start().await;
    let (folder, file) = (it.folder.path(), it.folder.path().join("mlflow.yaml"));
    let configuration = configure(folder);
    it.done("backup mlflow.yaml --create");
    let why = it.refused(&format!("{OPEN} --dry-run"), 5);
    assert!(why.contains("it has no configuration") && why.contains("no point has one"), "{why}");
    assert!(!it.refused("points mlflow.yaml", 0).contains("configuration"));

    let bare = fs::read_to_string(&file).unwrap();
    add(&file, &configuration.replace("age: [", "sealed: false, age: ["));
    assert!(it.refused("backup mlflow.yaml", 2).contains("sealed"));
    fs::write(&file, &bare).unwrap();
    add(&file, "configuration: { files: [platform], seal: { age: [] } }");
    let why = it.refused("backup mlflow.yaml", 2);
    assert!(why.contains("there is no recipient") && why.contains("age-keygen"), "{why}");

    fs::write(&file, &bare).unwrap();
    add(&file, &configuration);
    it.done("backup mlflow.yaml");
    let told = it.refused("points mlflow.yaml", 0);
    assert!(told.contains("configuration") && told.contains("sealed"), "{told}");
    let listed = it.done("points mlflow.yaml");
    let of = |point: usize| listed[0]["points"][point]["configuration"].as_bool();
    assert_eq!((of(0), of(1)), (Some(false), Some(true)), "{listed:#}");
    let sealed = bytes(&Forge::of(folder).await.newest().await, "configuration/sealed.age").await;
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    assert!(!sealed.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "whoever reads the repository");

    // A dry run and a wrong key write nothing.
    let planned = it.done(&format!("{OPEN} --dry-run"));
    assert_eq!(planned["files"].as_array().unwrap().len(), 3, "{planned:#}");
    key(folder, "other.txt");
    fs::write(folder.join("empty.txt"), "# nothing\n").unwrap();
    for (wrong, part) in [("other.txt", "not sealed for this identity"), ("empty.txt", "no identity of age")] {
        let why = it.refused(&format!("{} --into-directory new", OPEN.replace("key.txt", wrong)), 5);
        assert!(why.contains(part), "{why}");
    }
    for wrong in [OPEN, &OPEN.replace(" --identity key.txt", " --dry-run"), &format!("{OPEN} --replace")] {
        it.refused(wrong, 2);
    }
    assert!(!folder.join("new").exists());

    it.done(&format!("{OPEN} --into-directory new"));
    let below = folder.join("new").join(folder.join("platform").strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(below.join("values.yaml")).unwrap(), "replicas: 3");
    assert_eq!(fs::read_to_string(below.join("tls/tls.key")).unwrap(), SECRET);
    assert_eq!(fs::metadata(below.join("tls/tls.key")).unwrap().permissions().mode() & 0o777, 0o400);
    assert!(it.refused(&format!("{OPEN} --into-directory new"), 5).contains("it is not empty"));

    // A file that is gone is no point without it; the recipients of a file are read anew each time.
    fs::rename(folder.join("platform/values.yaml"), folder.join("away")).unwrap();
    let why = it.refused("backup mlflow.yaml", 5);
    assert!(why.contains("cannot keep the configuration `platform/values.yaml`"), "{why}");
    fs::rename(folder.join("away"), folder.join("platform/values.yaml")).unwrap();
    let recipient = key(folder, "third.txt").to_public().to_string();
    fs::write(folder.join("recipients"), format!("# people\n{recipient}\n")).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("seal: {", "seal: { recipients: recipients,")).unwrap();
    it.done("backup mlflow.yaml");
    it.done(&format!("{} --into-directory third", OPEN.replace("key.txt", "third.txt")));
    it.done(&format!("{OPEN} --into-directory again"));
    it.done("verify mlflow.yaml");
    it.done("restore mlflow.yaml --to latest --into looked_at");
    assert_eq!(it.rows("looked_at").await, Some(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_server_has_its_configuration_in_its_points_too() {
    let it = PhysicalProtection::start(&[]).await;
    let configuration = configure(it.folder.path());
    let text = fs::read_to_string(it.path("p.yaml")).unwrap();
    fs::write(it.path("p.yaml"), text.replacen("' } }\nengine", &format!("' }}, {configuration} }}\nengine"), 1))
        .unwrap();
    let receive = it.receive();
    it.done("backup p.yaml --create");
    received().await;
    assert_eq!(receive.end(), Some(0));
    it.done(&format!("{} --into-directory new", OPEN.replace("mlflow.yaml", "p.yaml")));
    let below = it.path("new").join(it.path("platform").strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(below.join("tls/tls.key")).unwrap(), SECRET);
}
