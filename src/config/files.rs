//! Reading a file that the operator named, with an answer for when it cannot be read.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a file could not be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Names the file, the user and the reason.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

/// The text of a file of at most [`SIZE_MAX_BYTES`].
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    read_bytes(path).and_then(into_text).map_err(|error| explain(path, &error))
}

/// The bytes of a file of at most [`SIZE_MAX_BYTES`].
pub(super) fn read_binary(path: &Path) -> Result<Vec<u8>, Unreadable> {
    read_bytes(path).map_err(|error| explain(path, &error))
}

/// Whether everybody on this machine may read the file.
pub(super) fn is_world_readable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The bound is for `--config /dev/zero`; no real file comes near.
    File::open(path)?.take(SIZE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_MAX_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "the file is larger than 4 MiB"));
    }
    Ok(bytes)
}

fn into_text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        io::Error::new(ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

fn explain(path: &Path, error: &io::Error) -> Unreadable {
    let (file, user) = (path.display(), current_user());
    let mut why = String::new();
    let help = match error.kind() {
        ErrorKind::NotFound => "create the file, or name another one".to_owned(),
        ErrorKind::PermissionDenied => {
            let (culprit, right) = match closed_folder(path, LINKS_MAX) {
                Some(folder) => (folder, "x"),
                None => (path.to_owned(), "r"),
            };
            why = owner(&culprit)
                .map(|owner| format!(" ({} belongs to {owner})", culprit.display()))
                .unwrap_or_default();
            format!(
                "let {user} read it and enter its folders, such as with: setfacl -m u:{user}:{right} {}",
                culprit.display()
            )
        }
        ErrorKind::IsADirectory => "name a file, not a folder".to_owned(),
        ErrorKind::InvalidData => "save the file as UTF-8 text".to_owned(),
        _ => String::new(),
    };
    Unreadable { message: format!("cannot read {file} as user {user}: {error}{why}"), help }
}

/// The folder on the way to `path`, links followed, that does not let us in.
fn closed_folder(path: &Path, links_max: usize) -> Option<PathBuf> {
    let ancestors: Vec<_> = path.ancestors().filter(|prefix| !prefix.as_os_str().is_empty()).collect();
    for prefix in ancestors.into_iter().rev() {
        match prefix.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return prefix.parent().map(Path::to_owned);
            }
            Ok(metadata) if metadata.is_symlink() && links_max > 0 => {
                let target = prefix.parent()?.join(prefix.read_link().ok()?);
                if let Some(folder) = closed_folder(&target, links_max - 1) {
                    return Some(folder);
                }
            }
            _ => {}
        }
    }
    None
}

/// Owner, group and mode of a file, as people write them.
fn owner(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let user = name_of(metadata.uid(), "/etc/passwd");
    let group = name_of(metadata.gid(), "/etc/group");
    Some(format!("{user}:{group}, mode {:04o}", metadata.mode() & 0o7777))
}

/// Name of the effective user, or its number, or "unknown": for messages only.
///
/// Read from `/proc` and `/etc/passwd`, because the calls of libc for it are unsafe and this code is not.
fn current_user() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Fields: real, effective, saved, file system.
    let uid = uids.and_then(|uids| uids.split_whitespace().nth(1)?.parse().ok());
    uid.map_or_else(|| "unknown".to_owned(), |uid| name_of(uid, "/etc/passwd"))
}

/// The name of a user or group in its `table`, or the number.
fn name_of(id: u32, table: &str) -> String {
    let id = id.to_string();
    let entries = std::fs::read_to_string(table).unwrap_or_default();
    let name = entries.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    name.unwrap_or(id)
}

/// Links that are followed to explain an error; more is a loop.
const LINKS_MAX: usize = 8;

const SIZE_MAX_BYTES: u64 = 4 << 20;
