//! `turnstone backup`, `export` and `restore`: the store as a file.

use super::client::{Client, Failure};
use super::progress::Progress;
use super::rights;
use super::text::{bytes, say, say_bytes};
use crate::base::Exit;
use crate::storage::{self, Restored, check_backup};
use clap::Args;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where to; what is there is replaced once the backup is whole.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Where to, as JSON lines; `-` for standard output.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file that `turnstone backup` has written.
    file: PathBuf,
    /// Check all of it, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Writes a consistent copy of the store while the daemon runs.
pub(super) fn backup(client: &Client, args: &BackupArgs) -> Result<Exit, Failure> {
    let partial = Partial::beside(&args.file)?;
    let (partial, size) = receive(client, "/v1/backup", partial)?;
    let records = File::open(&partial.path).map_err(|error| error.to_string());
    let records = records.and_then(|file| check_backup(BufReader::new(file)));
    let records = records.map_err(|why| Failure::Broken(format!("the backup is not good: {why}")))?;
    partial.keep(&args.file)?;
    say(&format!("{records} records, {}\n", bytes(size)))?;
    Ok(Exit::Ok)
}

/// Writes everything for other programs.
pub(super) fn export(client: &Client, args: &ExportArgs) -> Result<Exit, Failure> {
    if args.file == Path::new("-") {
        client.stream("/v1/export", &mut say_bytes)?;
        return Ok(Exit::Ok);
    }
    let (partial, size) = receive(client, "/v1/export", Partial::beside(&args.file)?)?;
    partial.keep(&args.file)?;
    say(&format!("{}\n", bytes(size)))?;
    Ok(Exit::Ok)
}

/// Puts a backup in the place of the store below `state`, while no daemon uses it. Root opens the backup, and does all
/// else as the user to whom the state belongs.
pub(super) fn restore(state: &Path, args: &RestoreArgs) -> Result<Exit, Failure> {
    let source = match File::open(&args.file) {
        Ok(source) => source,
        Err(error) => return Err(broken(&args.file, &error.to_string())),
    };
    if let Err(error) = rights::give_up_root(state)
        // Said below, after what is wrong with the backup.
        && error.kind() != io::ErrorKind::NotFound
    {
        let why = format!("cannot become its owner: {error}; run this as that user");
        return Err(broken(state, &why));
    }
    let mut progress = Progress::new();
    progress.show("checking and restoring ..");
    let result = storage::restore(state, &args.file, source, args.dry_run);
    drop(progress);
    match result {
        Ok(restored) => tell(&restored, args).map(|()| Exit::Ok),
        // A sentence of its own, without what a running daemon would say.
        Err(storage::StoreError::Closed(why)) => Err(Failure::Broken(why.to_string())),
        Err(error) => Err(Failure::Broken(error.to_string())),
    }
}

fn tell(restored: &Restored, args: &RestoreArgs) -> Result<(), Failure> {
    if args.json {
        let records: serde_json::Map<_, _> =
            restored.records.iter().map(|(table, count)| (table.name().to_owned(), json!(count))).collect();
        let moved_to = restored.moved_to.as_ref().map(|path| path.display().to_string());
        return super::print_json(&json!({
            "restored": !args.dry_run, "commit": restored.commit, "records": records, "moved_to": moved_to,
        }));
    }
    for (table, count) in &restored.records {
        say(&format!("{:<15} {count} records\n", table.name()))?;
    }
    match (&restored.moved_to, args.dry_run) {
        (_, true) => say("the backup is good; nothing was changed\n"),
        (Some(path), _) => say(&format!("restored; the store before it is now {}\n", path.display())),
        (None, _) => say("restored\n"),
    }
}

/// A file that is not whole yet; gone unless it is kept.
struct Partial {
    file: Option<BufWriter<File>>,
    path: PathBuf,
}

/// Writes what comes, and has it on the disk.
fn receive(client: &Client, path: &str, mut partial: Partial) -> Result<(Partial, u64), Failure> {
    let mut progress = Progress::new();
    let mut size = 0;
    client.stream(path, &mut |piece| {
        size += piece.len() as u64;
        progress.show(&bytes(size));
        partial.write(piece)
    })?;
    partial.finish()?;
    Ok((partial, size))
}

impl Partial {
    /// In the folder of `target`, for its owner alone: keys are in it.
    fn beside(target: &Path) -> Result<Self, Failure> {
        let name = target.file_name().ok_or_else(|| broken(target, "this names no file"))?;
        let path = target.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| broken(target, &error.to_string()))?;
        Ok(Self { file: Some(BufWriter::new(file)), path })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(piece));
        written.map_err(|error| broken(&self.path, &error.to_string()))
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let written = self.file.take().map_or(Ok(()), |file| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()
        });
        written.map_err(|error| broken(&self.path, &error.to_string()))
    }

    /// Gives it its name, durably.
    fn keep(self, target: &Path) -> Result<(), Failure> {
        let folder =
            target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let kept = fs::rename(&self.path, target).and_then(|()| File::open(folder)?.sync_all());
        kept.map_err(|error| broken(target, &error.to_string()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _was_kept = fs::remove_file(&self.path);
    }
}

fn broken(path: &Path, why: &str) -> Failure {
    Failure::Broken(format!("{}: {why}", path.display()))
}
