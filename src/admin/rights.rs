//! Root at work in a folder of somebody else: whoever may write there decides where the paths in it lead to, at any
//! moment. So nothing there is done with more rights than they have.

use rustix::process::geteuid;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf, absolute};
use std::thread;

/// Links on one way, as Linux has it.
const LINKS_MAX: usize = 40;

/// Makes root the owner of the first folder on the way to `folder`, or of it, that is not root's: in its group and no
/// other, and for good. Changes nothing for another caller, or where all of them are root's.
///
/// It holds for the calling thread and those that it starts from then on: a process calls this before it has a second one.
///
/// # Errors
/// The folder cannot be looked at, or this root may not become another user.
pub(super) fn give_up_root(folder: &Path) -> io::Result<()> {
    let owner = other_owner(folder)?.filter(|_| geteuid().is_root());
    owner.map_or(Ok(()), |owner| become_owner(&owner))
}

/// Does `deed` with the rights of whoever owns the first folder on the way to `path` that is not root's, where root runs
/// this. It has a thread of its own, which alone gives up root.
///
/// # Errors
/// What `deed` says, a folder that cannot be looked at, or a root that may not become another user.
pub(super) fn as_owner_of<T: Send>(
    path: &Path,
    deed: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let Some(owner) = other_owner(path)?.filter(|_| geteuid().is_root()) else { return deed() };
    let told = |error: io::Error| {
        let why =
            format!("{error}; a folder on its way is that of user {}, who may not do this", owner.uid());
        io::Error::new(error.kind(), why)
    };
    let acting = || become_owner(&owner).and_then(|()| deed()).map_err(told);
    let panicked = |_| Err(io::Error::other("a defect"));
    thread::scope(|scope| scope.spawn(acting).join().unwrap_or_else(panicked))
}

/// The first folder on the way to `path`, through all links, that is not root's. Whoever owns it decides where the rest of
/// the way leads to.
fn other_owner(path: &Path) -> io::Result<Option<Metadata>> {
    let steps =
        |path: &Path| path.components().rev().map(|step| step.as_os_str().to_owned()).collect::<Vec<_>>();
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    let mut left: Vec<OsString> = steps(&absolute(path)?);
    while let Some(step) = left.pop() {
        match Path::new(&step).components().next() {
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::ParentDir) => _ = at.pop(),
            Some(Component::Normal(name)) => {
                let next = at.join(name);
                let what = fs::symlink_metadata(&next)?;
                if what.is_symlink() {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(io::Error::from_raw_os_error(libc::ELOOP));
                    }
                    left.extend(steps(&fs::read_link(&next)?));
                    continue;
                }
                if what.is_dir() && what.uid() != 0 {
                    return Ok(Some(what));
                }
                at = next;
            }
            _ => {}
        }
    }
    Ok(None)
}

fn become_owner(of: &Metadata) -> io::Result<()> {
    let (user, group) = (rustix::fs::Uid::from_raw(of.uid()), rustix::fs::Gid::from_raw(of.gid()));
    // Only root may change groups, so the user comes last.
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}
