//! Root at work in a folder of somebody else: whoever may write there decides where the paths in it lead to, at any
//! moment. So nothing there is done with more rights than they have.

use rustix::process::geteuid;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

fn become_owner(of: &Metadata) -> io::Result<()> {
    let (user, group) = (rustix::fs::Uid::from_raw(of.uid()), rustix::fs::Gid::from_raw(of.gid()));
    // Only root may change groups, so the user comes last.
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}
