//! Certificates while the daemon runs: loaded at start, looked at every second, swapped when they change.
//!
//! A pair that cannot be served keeps the one before it in use. The two files of a renewal change one after the
//! other, so a fault counts only when the next look finds it again.

use super::error::StartError;
use crate::config::{FirstCertificate, PairFiles, TlsPlan, Unservable};
use crate::http::{CertificateState, HeldCertificate};
use crate::net::tls::{Certificate, Certificates, server_config};
use crate::relay::stream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at: a new one is in use within two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is left of a certificate that was made here when the next is made.
const SELF_SIGNED_RENEWAL: Duration = Duration::from_secs(30 * 86_400);

/// All certificates in use, and their sources.
#[derive(Debug)]
pub(super) struct CertificateWatch {
    plan: TlsPlan,
    served: Arc<Certificates>,
    first: Watched,
    extra: Vec<Watched>,
}

/// A certificate and where it comes from.
#[derive(Debug)]
struct Watched {
    source: Source,
    certificate: Certificate,
}

#[derive(Debug)]
enum Source {
    Made { names: Vec<String> },
    Files { files: PairFiles, seen: [Option<Stamp>; 2], fault: Option<Fault> },
}

/// A pair that cannot be served.
#[derive(Debug)]
struct Fault {
    what: String,
    /// It was there at two looks.
    is_logged: bool,
    /// It was, or another one before it.
    is_alarming: bool,
}

/// What changes with the bytes of a file, or the file behind a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl CertificateWatch {
    /// Loads everything that `plan` names.
    ///
    /// # Errors
    /// The first pair that cannot be served, with the file and what to do.
    pub(super) fn start(plan: &TlsPlan) -> Result<Self, StartError> {
        let (first, extra) = load(plan)?;
        let served = Arc::new(Certificates::new(first.certificate.clone(), certificates(&extra)));
        Ok(Self { plan: plan.clone(), served, first, extra })
    }

    /// How TLS is spoken with them, now and after every change.
    pub(super) fn tls(&self) -> Result<stream::Tls, StartError> {
        server_config(Arc::clone(&self.served))
            .map_err(|error| StartError::new("tls", error.to_string(), "this is a fault of the system"))
    }

    /// Looks whether files have changed, and serves what is new and good. `at_once`: a fault is told without
    /// waiting for the next look.
    pub(super) fn look(&mut self, at_once: bool) {
        let now = SystemTime::now();
        let mut has_changed = false;
        for watched in std::iter::once(&mut self.first).chain(&mut self.extra) {
            has_changed |= watched.look(now, at_once);
        }
        if has_changed {
            self.serve();
        }
    }

    /// Takes over another list of sources, all of it or nothing.
    pub(super) fn reload(&mut self, plan: &TlsPlan) -> Result<(), StartError> {
        if *plan == self.plan {
            self.look(true);
            return Ok(());
        }
        (self.first, self.extra) = load(plan)?;
        self.plan = plan.clone();
        self.serve();
        Ok(())
    }

    /// What metrics tell about them.
    pub(super) fn state(&self) -> CertificateState {
        let mut state = CertificateState { all_current: true, ends_unix_s: Vec::new(), held: Vec::new() };
        for watched in std::iter::once(&self.first).chain(&self.extra) {
            state.all_current &= !watched.has_alarm();
            state.held.push(watched.told());
            let name = watched.certificate.names().first().map_or("", String::as_str);
            let end = watched.certificate.not_after_unix_s();
            match state.ends_unix_s.iter_mut().find(|(other, _)| other == name) {
                Some((_, earliest)) => *earliest = end.min(*earliest),
                None => state.ends_unix_s.push((name.to_owned(), end)),
            }
        }
        state
    }

    fn serve(&self) {
        self.served.replace(self.first.certificate.clone(), certificates(&self.extra));
    }
}

impl Watched {
    fn from_files(files: &PairFiles) -> Result<Self, StartError> {
        let seen = stamps(files);
        let certificate = files.load()?;
        warn(files, &certificate);
        Ok(Self { source: Source::Files { files: files.clone(), seen, fault: None }, certificate })
    }

    fn made(names: &[String]) -> Result<Self, StartError> {
        let certificate = self_signed(names, SystemTime::now())?;
        tracing::info!(
            names = names.join(", "),
            "made a self-signed certificate; clients must be told to trust it"
        );
        Ok(Self { source: Source::Made { names: names.to_vec() }, certificate })
    }

    /// Returns whether the certificate is another one now.
    fn look(&mut self, now: SystemTime, at_once: bool) -> bool {
        let (files, seen, fault) = match &mut self.source {
            Source::Files { files, seen, fault } => (files, seen, fault),
            Source::Made { names } => {
                if self.certificate.remaining(now) > SELF_SIGNED_RENEWAL {
                    return false;
                }
                // The names were good at start.
                let Ok(certificate) = self_signed(names, now) else { return false };
                self.certificate = certificate;
                return true;
            }
        };
        // Taken before the bytes are read: what changes meanwhile is seen at the next look.
        let stamps = stamps(files);
        if stamps == *seen && fault.is_none() && !at_once {
            return false;
        }
        *seen = stamps;
        match files.load() {
            Ok(certificate) => {
                *fault = None;
                let is_new = certificate != self.certificate;
                if is_new {
                    let (section, names) = (&files.section, certificate.names().join(", "));
                    tracing::info!(section, names, "new certificate in use");
                    warn(files, &certificate);
                    self.certificate = certificate;
                }
                is_new
            }
            Err(error) => {
                note(fault, error, at_once);
                false
            }
        }
    }

    fn told(&self) -> HeldCertificate {
        let (source, fault) = match &self.source {
            Source::Made { .. } => ("self-signed".to_owned(), None),
            Source::Files { files, fault, .. } => {
                let fault = fault.as_ref().filter(|fault| fault.is_alarming);
                (files.cert.display().to_string(), fault.map(|fault| fault.what.clone()))
            }
        };
        let names = self.certificate.names().to_vec();
        HeldCertificate { names, ends_unix_s: self.certificate.not_after_unix_s(), source, fault }
    }

    fn has_alarm(&self) -> bool {
        matches!(&self.source, Source::Files { fault: Some(fault), .. } if fault.is_alarming)
    }
}

/// Notes a fault, and logs it once when it lasts.
fn note(fault: &mut Option<Fault>, error: Unservable, at_once: bool) {
    let (is_same, was_logged, was_alarming) = match fault {
        Some(before) => (before.what == error.what, before.is_logged, before.is_alarming),
        None => (false, false, false),
    };
    let lasts = at_once || is_same;
    if lasts && !(is_same && was_logged) {
        tracing::error!(
            key = error.key,
            help = error.help,
            "{}; the certificate before it stays in use",
            error.what
        );
    }
    // Another fault than before is none the better.
    *fault = Some(Fault { what: error.what, is_logged: lasts, is_alarming: lasts || was_alarming });
}

fn load(plan: &TlsPlan) -> Result<(Watched, Vec<Watched>), StartError> {
    let first = match &plan.first {
        FirstCertificate::Files(files) => Watched::from_files(files)?,
        FirstCertificate::SelfSigned(names) => Watched::made(names)?,
    };
    let extra = plan.extra.iter().map(Watched::from_files).collect::<Result<_, _>>()?;
    Ok((first, extra))
}

fn self_signed(names: &[String], now: SystemTime) -> Result<Certificate, StartError> {
    Certificate::self_signed(names, now).map_err(|_| {
        let what = format!("no certificate can be made for {}", names.join(", "));
        StartError::new("server.name", what, "write a host name in ASCII, such as xn--bcher-kva.example")
    })
}

fn certificates(watched: &[Watched]) -> Vec<Certificate> {
    watched.iter().map(|watched| watched.certificate.clone()).collect()
}

fn warn(files: &PairFiles, certificate: &Certificate) {
    for warning in files.warnings(certificate, SystemTime::now()) {
        tracing::warn!(key = warning.key, help = warning.help, "{}", warning.what);
    }
}

fn stamps(files: &PairFiles) -> [Option<Stamp>; 2] {
    [&files.cert, &files.key].map(|path| stamp(path))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some(Stamp { device: metadata.dev(), inode: metadata.ino(), size: metadata.size(), changed })
}
