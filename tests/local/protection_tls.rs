//! A protection of a database that speaks TLS: only the server that is meant gets the password.

use crate::postgres::Server;
use crate::protection::{Protected, said};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

const HBA: &str = "local all all trust\nhostnossl all mlflow,admin 127.0.0.1/32 trust\n\
    hostssl all backup 127.0.0.1/32 scram-sha-256\n";

#[tokio::test(flavor = "multi_thread")]
async fn only_the_server_that_is_trusted_is_backed_up() {
    if Command::new("openssl").arg("version").output().is_err() {
        crate::skips::lacking("a protection by TLS: there is no openssl to make certificates with");
        return;
    }
    let made = tempfile::tempdir().unwrap();
    certificates(made.path());
    let ssl = ["-c", "ssl=on", "-c", "ssl_cert_file=../server.pem", "-c", "ssl_key_file=../server.key"];
    let server = Server::start_with(&ssl, |folder| {
        for name in ["server.pem", "server.key"] {
            fs::copy(made.path().join(name), folder.join(name)).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
            let owner = fs::metadata(folder).unwrap();
            chown(folder.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::write(folder.join("data/pg_hba.conf"), HBA).unwrap();
    })
    .await;
    let role = "CREATE ROLE backup LOGIN SUPERUSER PASSWORD 'open sesame'";
    server.connect_as("admin", "postgres").await.unwrap().batch_execute(role).await.unwrap();
    let it = Protected::of(server).await;
    for name in ["ca.pem", "other.pem"] {
        fs::copy(made.path().join(name), it.folder.path().join(name)).unwrap();
    }
    let write = |name: &str, host: &str, tls: &str| {
        let plain = fs::read_to_string(it.folder.path().join("mlflow.yaml")).unwrap();
        let url = format!("backup@{host}:{}/mlflow', password: {{ file: password }}{tls} }} }}\n", it.server.port());
        let (before, rest) = plain.split_once("admin@").unwrap();
        let rest = rest.split_once('\n').unwrap().1;
        fs::write(it.folder.path().join(format!("{name}.yaml")), format!("{before}{url}{rest}")).unwrap();
    };
    write("good", "localhost", ", tls: { ca: ca.pem }");
    it.done("backup good.yaml --create");
    it.done("restore good.yaml --to latest --into by_tls");
    assert_eq!(it.rows("by_tls").await, Some(1000));

    for (name, host, tls, why) in [
        ("other", "localhost", ", tls: { ca: other.pem }", "UnknownIssuer"),
        ("name", "127.0.0.1", ", tls: { ca: ca.pem }", "not valid for"),
        ("clear", "localhost", "", "no encryption"),
        ("absent", "localhost", ", tls: { ca: none.pem }", "none.pem"),
        ("empty", "localhost", ", tls: { ca: password }", "there is none in it"),
    ] {
        write(name, host, tls);
        let output = it.lifeboat(&format!("backup {name}.yaml"));
        assert_eq!(output.status.code(), Some(5), "{name}: {}", said(&output));
        assert!(said(&output).contains(why) && !said(&output).contains("sesame"), "{name}: {}", said(&output));
    }

    // One that speaks no TLS is not the one.
    let clear = Protected::start().await;
    fs::copy(made.path().join("ca.pem"), clear.folder.path().join("ca.pem")).unwrap();
    let text = fs::read_to_string(clear.folder.path().join("mlflow.yaml")).unwrap();
    let text = text.replace("/mlflow' }", "/mlflow', tls: { ca: ca.pem } }");
    fs::write(clear.folder.path().join("mlflow.yaml"), text).unwrap();
    let why = clear.refused("backup mlflow.yaml --create", 5);
    assert!(why.contains("server does not support TLS"), "{why}");
}

/// A server's certificate for `localhost` with who signed it, and another signer.
fn certificates(folder: &Path) {
    let openssl = |args: &str| {
        let output = Command::new("openssl").args(args.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{args}: {}", said(&output));
    };
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem");
}
