//! Root at work in a folder of somebody else: whoever may write there decides where the paths in it lead to, at any
//! moment. So nothing there is done with more rights than they have.

use rustix::process::geteuid;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

/// Makes root the owner of `folder`, in its group and no other, and for good. Changes nothing for another caller, or where
/// the folder is root's.
///
/// It holds for the calling thread and those that it starts from then on: a process calls this before it has a second one.
///
/// # Errors
/// The folder cannot be looked at, or this root may not become another user.
pub(super) fn give_up_root(folder: &Path) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    if geteuid().is_root() && owner.uid() != 0 { become_owner(&owner) } else { Ok(()) }
}

/// Does `deed` with the rights of whoever owns one of these folders and is not root, where root runs this. It has a thread
/// of its own, which alone gives up root.
///
/// # Errors
/// What `deed` says, a folder that cannot be looked at, or a root that may not become another user.
pub(super) fn as_owner_of<T: Send>(
    folders: &[&Path],
    deed: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let owners = folders.iter().map(fs::metadata).collect::<io::Result<Vec<_>>>()?;
    let other = owners.iter().find(|owner| owner.uid() != 0).filter(|_| geteuid().is_root());
    let Some(owner) = other else { return deed() };
    let told = |error: io::Error| {
        let why = format!("{error}; its folder is that of user {}, who may not do this", owner.uid());
        io::Error::new(error.kind(), why)
    };
    let acting = || become_owner(owner).and_then(|()| deed()).map_err(told);
    let panicked = |_| Err(io::Error::other("a defect"));
    thread::scope(|scope| scope.spawn(acting).join().unwrap_or_else(panicked))
}

fn become_owner(of: &Metadata) -> io::Result<()> {
    let (user, group) = (rustix::fs::Uid::from_raw(of.uid()), rustix::fs::Gid::from_raw(of.gid()));
    // Only root may change groups, so the user comes last.
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}
