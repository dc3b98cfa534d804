//! What stands below the options in each command's help: examples, and exit codes where they matter.

pub(super) const ALL: &str = "\
Begin here, without any set-up:
  lifeboat run first           a drill on a simulated platform, done in seconds

Then:
  lifeboat kinds               what drill and scenario files may name
  lifeboat plan database-drop  what a drill would do, without doing it
  lifeboat run database-drop   a drill on a real platform, set up here

Exit codes:
  0 met, or nothing wrong   2 wrong file or usage      3 missed
  4 unknown                 5 Lifeboat failed          6 something left behind
  7 refused by a guard      130 interrupted and undone";

pub(super) const RUN: &str = "\
A drill is a file, or a name: `database-drop` is `drills/database-drop.yaml`.

Examples:
  lifeboat run first
  lifeboat run drills/database-drop.yaml --environment containers
  lifeboat run -q --json database-drop >report.json

Exit codes:
  0 met, 2 wrong file or usage, 3 missed, 4 unknown, 5 Lifeboat failed,
  6 something was left behind (`lifeboat cleanup RUN` removes it),
  7 refused by a guard, 130 interrupted and undone";

pub(super) const SERIES: &str = "\
The table of all series is kept in `drills.json` in the folder of the runs.

Examples:
  lifeboat series first
  lifeboat series --times 3 database-drop mlflow-crash

Exit codes:
  0 every run came to the verdict that its drill is written for, 3 a run did not,
  2 wrong file or usage, 4 unknown, 5 Lifeboat failed, 6 something was left
  behind, 7 refused by a guard, 130 interrupted and undone";

pub(super) const PLAN: &str = "\
Nothing is changed, on this machine or elsewhere.

Examples:
  lifeboat plan drills/database-drop.yaml
  lifeboat plan mlflow-crash --environment 'containers: { images: built }'

Exit codes:
  0 it could be run, 2 something is in its way, 7 a guard would refuse it";

pub(super) const NEW: &str = "\
An existing file is never overwritten.

Examples:
  lifeboat new scenario my-outage
  lifeboat new drill my-outage && lifeboat run my-outage

Exit codes:
  0 written, 2 wrong usage or the file is there already";

pub(super) const CHECK: &str = "\
Examples:
  lifeboat check drills
  lifeboat check - <drills/mlflow-crash.yaml
  lifeboat check --json drills/*.yaml
  lifeboat check drills/mlflow-crash.yaml --environment kubernetes

Exit codes:
  0 all files are right, 2 a file is wrong";

pub(super) const KINDS: &str = "\
Examples:
  lifeboat kinds
  lifeboat kinds kill
  lifeboat kinds kill --json";

pub(super) const SCHEMA: &str = "\
Examples:
  lifeboat schema drill >drill.schema.json
  lifeboat schema report";

pub(super) const REPORT: &str = "\
Examples:
  lifeboat report database-drop                     its latest run
  lifeboat report database-drop --format markdown
  lifeboat report reports/database-drop/latest --format json

Exit codes are those of `lifeboat run`:
  0 met, 2 there is no such run, 3 missed, 4 unknown, 5 the run cannot be read,
  6 something was left behind, 7 refused by a guard, 130 interrupted and undone";

pub(super) const RUNS: &str = "\
Examples:
  lifeboat runs
  lifeboat runs database-drop --verdict missed
  lifeboat runs --reports elsewhere --json";

pub(super) const CLEANUP: &str = "\
Platforms that were kept on purpose (`keep: true`) stay, unless the run is named
or --kept is given. An undo that hangs is given up after --within, and named; the
removal of a whole platform may take twice as long.

Examples:
  lifeboat cleanup
  lifeboat cleanup database-drop/latest
  lifeboat cleanup --kept --within 2m

Exit codes:
  0 all is gone, 2 there is no such run or it still goes on, 5 Lifeboat failed,
  6 something was left behind";

pub(super) const BACKUP: &str = "\
A repository is made only with --create, so that a wrong path is no new repository.

Examples:
  lifeboat backup protect/mlflow.yaml --create
  lifeboat backup --json protect/mlflow.yaml

Exit codes:
  0 a point is in every repository, 2 wrong file or usage, 3 a point is smaller than
  the one before it by more than the file's `shrink`, or its log is not received,
  5 a repository has none";

pub(super) const RECEIVE: &str = "\
With `postgres: physical`. Goes on until it is ended; a service manager keeps it
running (`deploy/systemd`). The log goes into the file's `spool`, and once a minute from
there into each repository. What stalls or is cut off is said within seconds, and tried
again. At its end the server keeps what is not received yet, up to its
`max_slot_wal_keep_size`.

Examples:
  lifeboat receive protect/mlflow.yaml
  lifeboat receive protect/mlflow.yaml --once

Exit codes:
  0 ended while the log was received and stored, 2 wrong file or usage, 3 ended while
  it was not, 5 it could not begin";

pub(super) const COPY: &str = "\
A point keeps its name and its time. What the other repository already has is not
stored again.

Examples:
  lifeboat copy protect/mlflow.yaml --from near --to far
  lifeboat copy protect/mlflow.yaml --from near --to far --dry-run

Exit codes:
  0 all are there, 2 wrong file or usage, 5 one could not be copied";

pub(super) const PRUNE: &str = "\
What stays is in the file's `keep`. The newest point that can be restored and what is
locked stay in any case. What no point needs any more is marked first, and goes with
a prune after --readers, so that a restore that goes on loses nothing.

Examples:
  lifeboat prune protect/mlflow.yaml --dry-run
  lifeboat prune protect/mlflow.yaml

Exit codes:
  0 done, 2 wrong file or usage, 5 a repository could not be pruned";

pub(super) const POLICY: &str = "\
Give each use a key of its own: who takes backups cannot delete them then, and who
restores cannot write. On another server than AWS make it a bucket's policy by adding
a `Principal`.

Examples:
  lifeboat policy protect/mlflow.yaml --repository far --for backup

Exit codes:
  0 printed, 2 wrong file or usage, or the repository is in no bucket";

pub(super) const UNDELETE_REPOSITORY: &str = "\
For a repository whose files somebody deleted, in a bucket with versions or Object Lock:
takes the delete markers away that were made since then. What was deleted before, by a
prune for example, stays deleted. Wall time is compared, by the bucket's clock. The
repository's key must be allowed `s3:ListBucketVersions` and `s3:DeleteObjectVersion`,
which no policy of `lifeboat policy` has.

Examples:
  lifeboat undelete-repository protect/mlflow.yaml --repository far --since 2026-03-01T12:00:00Z --dry-run
  lifeboat undelete-repository protect/mlflow.yaml --repository far --since 2026-03-01T12:00:00Z

Exit codes:
  0 all came back, and the repository can be opened, 2 wrong file or usage, 3 nothing was
  deleted in that time or not all came back, 5 it could not be tried";

pub(super) const POINTS: &str = "\
Examples:
  lifeboat points protect/mlflow.yaml
  lifeboat points --json protect/mlflow.yaml

Exit codes:
  0 all could be read, 2 wrong file or usage, 3 a point is overdue by the file's
  `every`, or the log is not received, 5 a repository or point could not be read";

pub(super) const VERIFY: &str = "\
With --restore it needs the repository alone: nothing that is protected is touched or
asked. The throw-away server lies under LIFEBOAT_STATE, takes no connections from
outside and is removed; what a kill left behind, the next one or `lifeboat cleanup`
removes. PostgreSQL's programs of the point's version must be on this machine.

Examples:
  lifeboat verify protect/mlflow.yaml
  lifeboat verify protect/mlflow.yaml --restore
  lifeboat verify protect/mlflow.yaml --restore latest --repository far --json

Exit codes:
  0 every byte is as it was written, and the point was restored and is whole,
  2 wrong file or usage, 3 something is wrong, 4 not everything could be told,
  5 a repository could not be read, or a restore not tried, 6 something was left
  behind, 130 interrupted and removed";

pub(super) const RESTORE: &str = "\
Examples:
  lifeboat restore protect/mlflow.yaml --to latest --into mlflow_looked_at
  lifeboat restore protect/mlflow.yaml --to 2026-03-01T12:00:00Z --dry-run
  lifeboat restore protect/mlflow.yaml --to latest --replace
  lifeboat restore protect/mlflow.yaml --to latest --replace --only artifacts
  lifeboat restore protect/mlflow.yaml --to latest --model churn --dry-run
  lifeboat restore protect/mlflow.yaml --to latest --model churn/3
  lifeboat restore protect/mlflow.yaml --to latest --model churn --into-platform protect/staging.yaml
  lifeboat restore protect/mlflow.yaml --to before:735 --into-directory /restored/15
  lifeboat restore protect/mlflow.yaml --to latest --only configuration --identity key.txt --into-directory new
  lifeboat restore database-drop/latest
  lifeboat restore database-drop/latest 0003
  lifeboat restore database-drop/latest --done

Exit codes:
  0 restored, 2 there is no such file or run, 3 a point was not restored, 5 it could not be
  tried, 6 something was left behind";

pub(super) const RE_POINT: &str = "\
Examples:
  lifeboat re-point protect/mlflow.yaml --from s3://mlflow-old/artifacts --to s3://mlflow --dry-run
  lifeboat re-point protect/mlflow.yaml --from s3://mlflow-old/artifacts --to s3://mlflow
  lifeboat re-point protect/mlflow.yaml --from s3://old --to s3://new --also datasets.dataset_source

Every column in which MLflow stores places is changed in one transaction. Then every text
of the database is searched for the old place, and the artifacts of every registered
version are read. `mlflow-artifacts:/` names no bucket and needs no change.

Exit codes:
  0 nothing names the old place and all is found, 2 wrong file or usage, 3 something still
  names it or is not found, 4 not everything could be looked at, 5 nothing was changed";

pub(super) const COMPLETIONS: &str = "\
Examples:
  lifeboat completions bash >~/.local/share/bash-completion/completions/lifeboat
  lifeboat completions zsh >~/.zfunc/_lifeboat";

pub(super) const MAN: &str = "\
Examples:
  lifeboat man ~/.local/share/man/man1
  lifeboat man | man -l -";
