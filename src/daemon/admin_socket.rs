//! The Unix socket of the command line: bound so that nobody comes in early, and taken away at the end.

use super::StartError;
use rustix::fs::{Mode, chmod};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// What its owner and its group may do.
const MODE: u32 = 0o660;

/// The file of a socket that is ours; gone with this value.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what another daemon put in its place stays.
    identity: (u64, u64),
}

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum NoSocket {
    /// The daemon goes on without it.
    Warning(String),
    /// Another daemon lives there, or something that is no socket.
    Error(StartError),
}

/// Listens at `path`. What a dead daemon left there is replaced.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), NoSocket> {
    match listen(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            clear(path)?;
            listen(path).map_err(|error| cannot(path, &error))
        }
        other => other.map_err(|error| cannot(path, &error)),
    }
}

/// Nobody can connect before the socket listens, and then it has its mode already.
fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let meta = std::fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), identity: (meta.dev(), meta.ino()) };
    chmod(path, Mode::from_raw_mode(MODE))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Takes away the socket of a daemon that is dead.
fn clear(path: &Path) -> Result<(), NoSocket> {
    let error = |what: String, help: &str| NoSocket::Error(StartError::new("admin.socket", what, help));
    let meta = std::fs::symlink_metadata(path).map_err(|error| cannot(path, &error))?;
    if !meta.file_type().is_socket() {
        let what = format!("{} is there and is no socket", path.display());
        return Err(error(what, "move it away, or choose another path"));
    }
    if !is_dead(path) {
        let what = format!("another process listens on {}", path.display());
        return Err(error(what, "stop that daemon, or choose another path"));
    }
    std::fs::remove_file(path).map_err(|error| cannot(path, &error))
}

/// Whether nobody listens. A listener whose queue is full is alive, so this must not wait for it.
fn is_dead(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    matches!(connect(), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

fn cannot(path: &Path, error: &io::Error) -> NoSocket {
    NoSocket::Warning(format!("admin.socket: cannot listen on {}: {error}", path.display()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = std::fs::symlink_metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        (folder, path)
    }

    #[test]
    fn the_socket_has_its_mode_serves_and_goes_with_its_owner() {
        let (_folder, path) = place();
        let (_listener, file) = bind(&path).expect("bound");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).expect("connects");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_socket_of_a_dead_daemon_is_replaced() {
        let (_folder, path) = place();
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "what a killed process leaves");
        let (_listener, _file) = bind(&path).expect("bound");
        UnixStream::connect(&path).expect("connects");
    }

    #[test]
    fn the_socket_of_a_living_daemon_and_what_is_no_socket_stay() {
        let (_folder, path) = place();
        let living = UnixListener::bind(&path).expect("bound");
        let Err(NoSocket::Error(error)) = bind(&path) else { panic!("took it over") };
        assert!(error.what.contains("another process listens"), "{error}");
        drop(living);
        std::fs::remove_file(&path).expect("ours");
        std::fs::write(&path, "precious").expect("ours");
        let Err(NoSocket::Error(error)) = bind(&path) else { panic!("took it over") };
        assert!(error.what.contains("no socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "precious");
    }

    #[test]
    fn a_folder_that_is_missing_is_a_warning_that_names_the_path() {
        let (folder, _) = place();
        let Err(NoSocket::Warning(why)) = bind(&folder.path().join("missing/admin.sock")) else {
            panic!("bound")
        };
        assert!(why.contains("missing/admin.sock"), "{why}");
    }

    #[test]
    fn the_socket_of_a_successor_stays() {
        let (_folder, path) = place();
        let (_listener, file) = bind(&path).expect("bound");
        std::fs::remove_file(&path).expect("ours");
        let _successor = UnixListener::bind(&path).expect("bound");
        drop(file);
        assert!(path.exists());
    }
}
