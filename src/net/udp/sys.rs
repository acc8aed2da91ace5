//! The system calls with scatter-gather, control messages and batches, behind safe functions.
//!
//! Ownership rule: a pointer for the kernel is derived from a borrow that a function here holds for its whole
//! body, right before the system call of that body. No pointer is read after its function returned.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;

use super::address::RawAddress;
use super::cmsg::{ErrorControl, RecvControl};

/// Most messages in one call.
pub(super) const BATCH_MAX: usize = 32;
/// Most datagrams that one message is cut into: what every kernel takes that cuts at all.
pub(super) const SEGMENTS_MAX: usize = 64;
/// Pieces of one outgoing datagram: header, payload, padding.
pub(super) const PARTS: usize = 3;
/// Pieces of all messages of one call.
const PARTS_MAX: usize = PARTS * SEGMENTS_MAX;

/// Preallocated message headers for batch calls: 32 headers and the pieces that they point to.
pub(super) struct Headers {
    messages: Box<[libc::mmsghdr; BATCH_MAX]>,
    parts: Box<[libc::iovec; PARTS_MAX]>,
}

// SAFETY: what makes the type not `Send` by itself are the pointers inside. By the ownership rule above they are
// dead between calls, so the thread that makes the next call writes all that it lets the kernel read.
unsafe impl Send for Headers {}

/// One message to send, borrowed from wherever its pieces are: a datagram, or several if `control` says where to cut.
pub(super) struct Message<'a, P> {
    pub(super) to: &'a RawAddress,
    pub(super) control: &'a [u8],
    /// Its bytes in order.
    pub(super) parts: P,
}

/// What the kernel reported about one received datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    pub(super) payload_bytes: usize,
    pub(super) address_bytes: usize,
    pub(super) control_bytes: usize,
    pub(super) truncated: bool,
}

impl Headers {
    pub(super) fn new() -> Self {
        Self { messages: Box::new([empty_message(); BATCH_MAX]), parts: Box::new([EMPTY_PART; PARTS_MAX]) }
    }

    /// What the last [`recv_many`] reported for slot `i`, which must be below its result.
    pub(super) fn filled(&self, i: usize) -> Filled {
        let message = &self.messages[i];
        Filled {
            payload_bytes: message.msg_len as usize,
            address_bytes: message.msg_hdr.msg_namelen as usize,
            control_bytes: message.msg_hdr.msg_controllen,
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }
}

/// Receives up to [`BATCH_MAX`] datagrams without blocking, the i-th into `addresses[i]`, `controls[i]` and the
/// i-th `slot_bytes` of `slots`. Returns how many; [`Headers::filled`] tells their lengths.
///
/// `slot_bytes` is at least 1.
pub(super) fn recv_many(
    fd: BorrowedFd<'_>,
    headers: &mut Headers,
    addresses: &mut [RawAddress],
    controls: &mut [RecvControl],
    slots: &mut [u8],
    slot_bytes: usize,
) -> io::Result<usize> {
    let room = addresses.iter_mut().zip(controls.iter_mut()).zip(slots.chunks_exact_mut(slot_bytes));
    let mut wanted = 0_usize;
    for ((message, part), ((address, control), slot)) in
        headers.messages.iter_mut().zip(headers.parts.iter_mut()).zip(room)
    {
        *part = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let (address, control) = (address.as_bytes_mut(), control.as_bytes_mut());
        message.msg_hdr.msg_name = address.as_mut_ptr().cast();
        message.msg_hdr.msg_namelen = address.len() as libc::socklen_t;
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control.as_mut_ptr().cast();
        message.msg_hdr.msg_controllen = control.len();
        message.msg_hdr.msg_flags = 0;
        wanted += 1;
    }
    let (fd, messages) = (fd.as_raw_fd(), &mut headers.messages[..wanted]);
    if let [only] = messages {
        // SAFETY: as below, for the one header.
        let read = unsafe { libc::recvmsg(fd, &raw mut only.msg_hdr, libc::MSG_DONTWAIT) };
        only.msg_len = count(read)? as libc::c_uint;
        return Ok(1);
    }
    // SAFETY: each of the `wanted` headers was set above. Each points to its own address, control buffer, iovec and
    // slot with their exact sizes, all borrowed mutably by this function, and any bytes are valid in them.
    let received = unsafe {
        libc::recvmmsg(fd, messages.as_mut_ptr(), wanted as libc::c_uint, libc::MSG_DONTWAIT, null_mut())
    };
    count(received as isize)
}

/// Writes up to [`BATCH_MAX`] messages into `headers`, of [`PARTS`] x [`SEGMENTS_MAX`] pieces in all, and hands each not
/// yet sent tail of them to the kernel: `step` gets the kernel's answer for the messages from `start` on and returns the
/// next `start`, or `None` to stop. Returns how many messages there were; one for whose pieces there was no room ends them.
pub(super) fn send_many<'a, P: Iterator<Item = &'a [u8]>>(
    fd: BorrowedFd<'_>,
    headers: &mut Headers,
    messages: impl Iterator<Item = Message<'a, P>>,
    mut step: impl FnMut(usize, io::Result<usize>) -> Option<usize>,
) -> usize {
    let mut filled = 0;
    let mut free = &mut headers.parts[..];
    for (header, Message { to, control, parts }) in headers.messages.iter_mut().zip(messages) {
        let Some(used) = write_parts(free, parts) else { break };
        let (pieces, rest) = free.split_at_mut(used);
        header.msg_hdr = send_header(to, control, pieces);
        free = rest;
        filled += 1;
    }
    let mut next = Some(0);
    while let Some(start) = next.filter(|start| *start < filled) {
        let rest = &mut headers.messages[start..filled];
        // SAFETY: every header of `rest` was set above from a `Message<'a, _>`, whose borrows and whose pieces outlive this
        // function, and from iovecs in `headers` that are its own and that nothing touched since. The kernel writes only
        // `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(fd.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, SEND_FLAGS)
        };
        next = step(start, count(sent as isize));
    }
    filled
}

/// Sends one message of up to [`PARTS`] pieces without blocking; more are left out. Returns its length.
pub(super) fn send_one<'a>(
    fd: BorrowedFd<'_>,
    Message { to, control, parts }: Message<'a, impl Iterator<Item = &'a [u8]>>,
) -> io::Result<usize> {
    let mut room = [EMPTY_PART; PARTS];
    let used = write_parts(&mut room, parts.take(PARTS)).unwrap_or(PARTS);
    let header = send_header(to, control, &mut room[..used]);
    // SAFETY: `header` points to the address, control bytes and pieces that the message borrows for `'a`, which outlives
    // this function, and to `room`, which lives in this frame. The kernel reads them with the sizes given and writes
    // nothing.
    count(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, SEND_FLAGS) })
}

/// Takes one entry off the error queue: the embedded packet's destination into `address`, the report into `control`.
/// The embedded payload is not read.
pub(super) fn recv_error(
    fd: BorrowedFd<'_>,
    address: &mut RawAddress,
    control: &mut ErrorControl,
) -> io::Result<Filled> {
    let (name, ancillary) = (address.as_bytes_mut(), control.as_bytes_mut());
    let mut header = empty_message().msg_hdr;
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = name.len() as libc::socklen_t;
    header.msg_control = ancillary.as_mut_ptr().cast();
    header.msg_controllen = ancillary.len();
    // SAFETY: `header` points to `address` and `control` with their exact sizes, both borrowed mutably by this
    // function, and has no iovec. Any bytes are valid in them.
    let read =
        unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    Ok(Filled {
        payload_bytes: count(read)?,
        address_bytes: header.msg_namelen as usize,
        control_bytes: header.msg_controllen,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
    })
}

/// Sets a socket option whose value is one integer.
pub(super) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes at the address of `value`, which is an argument of this function.
    count(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len) } as isize)?;
    Ok(())
}

const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

const EMPTY_PART: libc::iovec = libc::iovec { iov_base: null_mut(), iov_len: 0 };

fn empty_message() -> libc::mmsghdr {
    // SAFETY: the structure consists of integers and raw pointers, and zero is a value of each.
    unsafe { zeroed() }
}

/// A piece for the kernel to read.
fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Writes the pieces that have bytes to the front of `room`. Returns how many, or `None` where they do not fit.
fn write_parts<'a>(room: &mut [libc::iovec], parts: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let mut used = 0;
    for bytes in parts.filter(|bytes| !bytes.is_empty()) {
        *room.get_mut(used)? = part(bytes);
        used += 1;
    }
    Some(used)
}

/// A header for sending `parts`. The pointers are cast to mutable because receiving shares the structure; the kernel
/// does not write through them.
fn send_header(to: &RawAddress, control: &[u8], parts: &mut [libc::iovec]) -> libc::msghdr {
    let mut header = empty_message().msg_hdr;
    header.msg_name = to.as_bytes().as_ptr().cast_mut().cast();
    header.msg_namelen = to.len() as libc::socklen_t;
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len();
    if !control.is_empty() {
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len();
    }
    header
}

/// The kernel's answer: a count, or -1 with the reason in `errno`.
fn count(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}
