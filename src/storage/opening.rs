//! From a folder to a store whose contents were checked, or to a sentence.

use super::census::Census;
use super::check::{self, ASIDE_PREFIX, Found, META_KEY};
use super::database::{Database, bytes_below};
use super::disk::DiskError;
use super::fence::{self, Fence, Fenced};
use super::folder::{Folder, is_there};
use super::probe;
use super::{StoreSettings, Table};
use crossbeam_channel::bounded;
use sled::Batch;
use std::collections::BTreeMap;
use std::fs::File;
use std::thread;
use std::time::Duration;

/// What the storage thread works with.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) fence: Fence,
    pub(super) census: Census,
    /// Damaged values that are set aside, by table.
    pub(super) aside: BTreeMap<Table, u64>,
    /// Held as long as the database is open.
    pub(super) _lock: File,
}

/// How long sled may take once a child has opened the same files.
const OPENING_LIMIT: Duration = Duration::from_secs(300);

/// Opens the store, or makes it. Errors are sentences.
pub(super) fn open(settings: &StoreSettings) -> Result<Opened, String> {
    let folder = Folder::new(&settings.path);
    let lock = folder.lock()?;
    let sentence = |error: DiskError| format!("{}: {error}", folder.store().display());
    let (fenced, is_new) = look(&folder)?;
    if is_new {
        folder.make_store().map_err(sentence)?;
        drop(Fence::create(&folder.fence(), &Census::default()).map_err(sentence)?);
    } else if let Some(probe) = &settings.probe {
        let bytes = bytes_below(folder.store());
        probe::run(probe, &folder, bytes).map_err(|why| damaged(&folder, &fenced, &why))?;
    }
    let fenced = if is_new { Fenced::At(Census::default()) } else { fenced };
    in_time(&folder, move |folder| finish(folder, &fenced, lock))
}

/// What the fence says, and whether there is no store yet.
fn look(folder: &Folder) -> Result<(Fenced, bool), String> {
    let store = folder.store().display();
    if !is_there(folder.store()) && is_there(folder.restored().store()) {
        return Err(format!("a restore of {store} was cut short; run `turnstone restore FILE` again"));
    }
    let fenced =
        fence::read(&folder.fence()).map_err(|error| format!("{}: {error}", folder.fence().display()))?;
    // The fence is made before the database, so without a database nothing was ever written behind a torn fence.
    let is_new = !is_there(&folder.database())
        && match fenced {
            Fenced::Missing | Fenced::Damaged => true,
            Fenced::At(census) => census.commit == 0,
            Fenced::Newer => false,
        };
    Ok((fenced, is_new))
}

/// Does the rest on a thread of its own: should sled hang after all, its caller goes on without a store.
fn in_time(
    folder: &Folder,
    work: impl FnOnce(&Folder) -> Result<Opened, String> + Send + 'static,
) -> Result<Opened, String> {
    let (sender, opened) = bounded(1);
    let own = folder.clone();
    let thread = thread::Builder::new().name("storage-open".into()).spawn(move || {
        let _gave_up = sender.send(work(&own));
    });
    thread.map_err(|error| format!("no thread: {error}"))?;
    let limit = OPENING_LIMIT;
    opened.recv_timeout(limit).unwrap_or_else(|_| {
        Err(format!(
            "{} was not open after {} s, or its opening crashed",
            folder.store().display(),
            limit.as_secs()
        ))
    })
}

fn finish(folder: &Folder, fenced: &Fenced, lock: File) -> Result<Opened, String> {
    let told = |what: &str| {
        let what = what.to_owned();
        move |error: DiskError| damaged(folder, fenced, &format!("{what}: {error}"))
    };
    let mut database = Database::open(&folder.database()).map_err(told("cannot be opened"))?;
    let found = check::scan(&database).map_err(told("cannot be read"))?;
    let census = found.judge(fenced).map_err(|why| damaged(folder, fenced, &why))?;
    let sentence = |error: DiskError| format!("{}: {error}", folder.store().display());
    let mut aside: BTreeMap<_, _> = found.aside.iter().copied().collect();
    let census = set_aside(&mut database, &found, census, &mut aside).map_err(sentence)?;
    let mut fence = Fence::open(&folder.fence()).map_err(sentence)?;
    // Both slots are good again, and at the commit that was found.
    fence.write(&census).map_err(sentence)?;
    Ok(Opened { database, fence, census, aside, _lock: lock })
}

/// Moves damaged values to where nobody reads them. Returns the census without them.
fn set_aside(
    database: &mut Database,
    found: &Found,
    mut census: Census,
    aside: &mut BTreeMap<Table, u64>,
) -> Result<Census, DiskError> {
    if found.damaged.is_empty() {
        return Ok(census);
    }
    let mut changes = Batch::default();
    for (table, key, value) in &found.damaged {
        census.remove(*table, key, value);
        changes.remove(key);
        changes.insert([ASIDE_PREFIX, key].concat(), value);
        *aside.entry(*table).or_default() += 1;
    }
    census.commit += 1;
    changes.insert(META_KEY, census.encode());
    database.persist(changes)?;
    Ok(census)
}

/// The sentence about a store that is not what it should be.
fn damaged(folder: &Folder, fenced: &Fenced, why: &str) -> String {
    let store = folder.store().display();
    let known = match fenced {
        Fenced::At(census) => {
            format!("; commit {} with {} was acknowledged", census.commit, census.describe())
        }
        Fenced::Missing | Fenced::Damaged if !why.contains("fence") => {
            "; its fence file is missing or damaged too, so that nobody knows what was in it".into()
        }
        Fenced::Missing | Fenced::Damaged | Fenced::Newer => String::new(),
    };
    format!("{store} {why}{known}; stop the daemon and run `turnstone restore FILE` with a backup")
}
