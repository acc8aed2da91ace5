//! Reading a file that the operator named, with an answer for when it cannot be read.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
    let help = match error.kind() {
        ErrorKind::NotFound => "create the file, or name another one".to_owned(),
        ErrorKind::PermissionDenied => {
            format!("let {user} read it and enter its folders, such as with: setfacl -m u:{user}:r {file}")
        }
        ErrorKind::IsADirectory => "name a file, not a folder".to_owned(),
        ErrorKind::InvalidData => "save the file as UTF-8 text".to_owned(),
        _ => String::new(),
    };
    Unreadable { message: format!("cannot read {file} as user {user}: {error}"), help }
}

/// Name of the effective user, or its number, or "unknown": for messages only.
///
/// Read from `/proc` and `/etc/passwd`, because the calls of libc for it are unsafe and this code is not.
fn current_user() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Fields: real, effective, saved, file system.
    let Some(uid) = uids.and_then(|uids| uids.split_whitespace().nth(1)) else {
        return "unknown".to_owned();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_owned())
}

const SIZE_MAX_BYTES: u64 = 4 << 20;
