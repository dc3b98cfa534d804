//! A user's own runbook of protection commands, under load: `backup`, `points`, `verify`, `restore --to TIME --dry-run` and
//! `restore`, judged by the drill's ledger like any other engine.

use crate::drill_repositories::{RepositoryDrill, step};
use crate::protection::Protected;
use lifeboat::model::Verdict;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Writes the protection of the platform that the variables name.
const HEAD: &str = r#"#!/bin/sh
set -eu
cd "$(dirname "$0")"
umask 077
cut -d: -f5 "$PGPASSFILE" | head -n 1 >postgres-password
cat >platform.yaml <<END
protection: platform
platform: { postgres: { url: '$LIFEBOAT_POSTGRES', password: { file: postgres-password } } }
engine: { builtin: { postgres: logical } }
repositories:
  - near: { directory: commands/near, password: { file: password } }
  - far: { directory: commands/far, password: { file: password } }
END
"#;
const BACKUP: &str = r#"LIFEBOAT backup platform.yaml --create --json >"$LIFEBOAT_POINT/taken"
"#;
/// To the time of the point of the first repository.
const RESTORE: &str = r#"time=$(sed -n 's/.*"taken_at": "\(.*\)".*/\1/p' "$LIFEBOAT_POINT/taken" | head -n 1)
LIFEBOAT points platform.yaml >said.points
LIFEBOAT verify platform.yaml >said.verify
LIFEBOAT restore platform.yaml --to "$time" --dry-run >said.plan
LIFEBOAT restore platform.yaml --to "$time" --replace >said.restore
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_a_protection_keep_the_recovery_point_that_was_promised() {
    let it = Protected::start().await;
    let drill = RepositoryDrill { it: &it, name: "by-commands" };
    for (name, commands) in [("backup.sh", BACKUP), ("restore.sh", RESTORE)] {
        let text = format!("{HEAD}{}", commands.replace("LIFEBOAT ", &format!("{} ", env!("CARGO_BIN_EXE_lifeboat"))));
        fs::write(drill.path(name), text).unwrap();
        fs::set_permissions(drill.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (backup, restore) = (drill.path("backup.sh"), drill.path("restore.sh"));
    let engine =
        format!("command: {{ backup: {}, restore: {}, covers: [database] }}", backup.display(), restore.display());
    let steps = ["stop: { component: mlflow }", "restore: { component: postgres }"];
    drill.write(&format!("{{ engine: {{ {engine} }}, every: 5s }}"), "{ database-drop: {} }", &steps);
    let (report, told) = drill.run();
    let why = step(&report, "restore").reason.clone().unwrap_or_default();
    assert_eq!(report.verdict, Verdict::Met, "{why}\n{told}\n{:#?}", report.judgements);
    assert!(report.writes.survived.unwrap() > 0, "{:?}", report.writes);
    println!("recovery point: {:?} of {:?}", report.measurements.rpa.strict, report.writes);
    let said = |name: &str| fs::read_to_string(drill.path(name)).unwrap();
    for (name, parts) in [
        ("said.points", ["near", "far"]),
        ("said.verify", ["near", "far"]),
        ("said.plan", ["near", "replaces the database"]),
        ("said.restore", ["restored", "mlflow"]),
    ] {
        assert!(parts.iter().all(|part| said(name).contains(part)), "{name}: {}", said(name));
    }
}
