//! The thread that owns the database.

use super::batch::Change;
use super::census::Census;
use super::check::META_KEY;
use super::database::Database;
use super::disk::DiskError;
use super::health::Gauges;
use super::opening::Opened;
use super::snapshot::{Old, Views};
use super::{Batch, Key, Page, StoreError, Table};
use crossbeam_channel::{Receiver, Sender};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How an answer gets back.
pub(super) type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;
/// Key and value.
pub(super) type Row = (Box<[u8]>, Box<[u8]>);
/// Keys and values.
pub(super) type Rows = Vec<Row>;
/// Who is told of each commit. For tests that end the process there.
pub(super) type Watcher = Box<dyn FnMut(Moment) + Send>;

/// Jobs that are done together, with one flush.
const JOBS_MAX: usize = 1024;
/// How long a batch waits at most for others that may come.
const WINDOW_MAX: Duration = Duration::from_millis(5);
/// How old the size of the files may be.
const SIZE_AGE_MAX: Duration = Duration::from_secs(10);

/// How far a commit got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was written yet.
    Begun(u64),
    /// The database is on the disk, the fence is not.
    Flushed(u64),
    /// Both are; nobody was told.
    Fenced(u64),
}

/// What the thread is asked for.
pub(super) enum Job {
    Commit(Batch, Done<()>),
    /// Rows of so many bytes at most, but one at least, and whether there were more within the page.
    Page(Page, usize, Done<(Rows, bool)>),
    /// What is under each of these keys.
    Get(Vec<Key>, Done<Vec<Option<Row>>>),
    /// A view for whoever holds what this points to; the answer is its number and what it will hold.
    View(Weak<()>, Done<(u64, Census)>),
    /// The next piece of a view.
    Piece(u64, Done<Option<Rows>>),
    /// Everything before is done; nothing comes behind.
    Close(Sender<()>),
}

impl Job {
    pub(super) fn fail(self, why: StoreError) {
        match self {
            Self::Commit(_, done) => done(Err(why)),
            Self::Page(.., done) => done(Err(why)),
            Self::Get(_, done) => done(Err(why)),
            Self::View(_, done) => done(Err(why)),
            Self::Piece(_, done) => done(Err(why)),
            Self::Close(closed) => drop(closed),
        }
    }

    /// Bytes that it keeps while it waits.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Commit(batch, _) => batch.bytes(),
            Self::Page(..) | Self::Get(..) | Self::View(..) | Self::Piece(..) | Self::Close(_) => 0,
        }
    }
}

pub(super) struct Writer {
    opened: Opened,
    inbox: Receiver<Job>,
    gauges: Arc<Gauges>,
    watcher: Option<Watcher>,
    views: Views,
    poisoned: Option<StoreError>,
    /// How many batches the last commit held, when it was over, and how long it took.
    last: (usize, Instant, Duration),
    measured: Instant,
}

/// What is done in one go.
#[derive(Default)]
struct Group {
    batches: Vec<Batch>,
    waiting: Vec<Done<()>>,
    /// Answered behind the commit: they may ask for what is in it.
    reads: Vec<Job>,
    closing: Option<Sender<()>>,
}

impl Writer {
    pub(super) fn new(
        opened: Opened,
        inbox: Receiver<Job>,
        gauges: Arc<Gauges>,
        watcher: Option<Watcher>,
    ) -> Self {
        gauges.census_is(&opened.census);
        gauges.aside_are(&opened.aside);
        gauges.bytes_on_disk.store(opened.database.bytes(), Relaxed);
        let (views, now) = (Views::default(), Instant::now());
        Self {
            opened,
            inbox,
            gauges,
            watcher,
            views,
            poisoned: None,
            last: (0, now, Duration::ZERO),
            measured: now,
        }
    }

    /// Until it is closed, or the last handle is gone.
    pub(super) fn run(mut self) {
        while let Ok(job) = self.inbox.recv() {
            let mut group = Group::default();
            if group.take(job) {
                self.gather(&mut group);
            }
            if !group.batches.is_empty() {
                self.commit(&group.batches, group.waiting);
            }
            group.reads.into_iter().for_each(|job| self.read(job));
            if let Some(closed) = group.closing {
                return self.close(&closed);
            }
        }
    }

    /// Adds what came while the last commit ran. Who is alone waits for nobody: only behind a commit of several, whose
    /// writers are likely to come again, the next one waits for as many, for half of what its flush will take.
    fn gather(&self, group: &mut Group) {
        let (crowd, over, took) = self.last;
        let window = (took / 2).min(WINDOW_MAX);
        let waits = crowd > 1 && over.elapsed() < WINDOW_MAX;
        let until = waits.then(|| Instant::now() + window);
        while group.batches.len() + group.reads.len() < JOBS_MAX {
            let job = match (self.inbox.try_recv(), until) {
                (Ok(job), _) => job,
                (Err(_), Some(until)) if group.batches.len() < crowd => match self.inbox.recv_deadline(until)
                {
                    Ok(job) => job,
                    Err(_) => break,
                },
                (Err(_), _) => break,
            };
            if !group.take(job) && group.closing.is_some() {
                break;
            }
        }
    }

    fn commit(&mut self, batches: &[Batch], waiting: Vec<Done<()>>) {
        let bytes = batches.iter().map(Batch::bytes).sum();
        let result = match &self.poisoned {
            Some(why) => Err(why.clone()),
            None => self.find_room(bytes).and_then(|()| self.write(batches)),
        };
        self.gauges.bytes_queued.fetch_sub(bytes, Relaxed);
        for done in waiting {
            done(result.clone());
        }
        if self.measured.elapsed() > SIZE_AGE_MAX {
            self.gauges.bytes_on_disk.store(self.opened.database.bytes(), Relaxed);
            self.measured = Instant::now();
        }
    }

    fn find_room(&self, bytes: usize) -> Result<(), StoreError> {
        // A disk that cannot be asked is asked to write.
        if self.opened.database.has_room(bytes).unwrap_or(true) {
            self.gauges.there_is_room();
            return Ok(());
        }
        let why = StoreError::Full("the disk is full".into());
        self.gauges.trouble_is(why.clone());
        Err(why)
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let began = self.gauges.flush_began();
        let mut olds = Vec::new();
        let written = self.persist(batches, &mut olds);
        let took = self.gauges.flush_ended(began);
        self.last = (batches.len(), Instant::now(), took);
        written.map_err(|error| {
            self.views.undone(olds);
            let why = StoreError::Poisoned(error.0.into());
            self.gauges.trouble_is(why.clone());
            self.poisoned = Some(why.clone());
            why
        })
    }

    fn persist(&mut self, batches: &[Batch], olds: &mut Vec<Old>) -> Result<(), DiskError> {
        let mut census = self.opened.census;
        census.commit += 1;
        let mut changes = sled::Batch::default();
        for (key, value) in last_of_each(batches, &self.opened.database)? {
            let Some(table) = key.first().and_then(|tag| Table::of_tag(*tag)) else { continue };
            let old = self.opened.database.get(key)?;
            if let Some(old) = &old {
                census.remove(table, key, old);
            }
            match value {
                Some(value) => {
                    census.add(table, key, value);
                    changes.insert(key, value);
                }
                None => changes.remove(key),
            }
            olds.push((key.to_vec(), old));
        }
        changes.insert(META_KEY, census.encode());
        self.tell(Moment::Begun(census.commit));
        self.views.keep(olds);
        self.opened.database.persist(changes)?;
        self.tell(Moment::Flushed(census.commit));
        self.opened.fence.write(&census)?;
        self.tell(Moment::Fenced(census.commit));
        self.opened.census = census;
        self.gauges.census_is(&census);
        Ok(())
    }

    fn tell(&mut self, moment: Moment) {
        if let Some(watcher) = &mut self.watcher {
            watcher(moment);
        }
    }

    fn read(&mut self, job: Job) {
        match job {
            Job::Page(page, bytes_max, done) => done(self.page(&page, bytes_max)),
            Job::Get(keys, done) => done(keys.iter().map(|key| self.get(key.as_bytes())).collect()),
            Job::View(reader, done) => {
                done(self.views.begin(reader).map(|id| (id, self.opened.census)));
            }
            Job::Piece(id, done) => done(self.views.piece(id, &self.opened.database)),
            Job::Commit(..) | Job::Close(_) => {}
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let found = self.opened.database.get(key).map_err(unreadable)?;
        Ok(found.map(|value| (Box::from(key), Box::from(&*value))))
    }

    fn page(&self, page: &Page, bytes_max: usize) -> Result<(Rows, bool), StoreError> {
        let from = Bound::Included(page.from.as_bytes());
        let to = page.to.as_ref().map_or(Bound::Unbounded, |to| Bound::Excluded(to.as_bytes()));
        let (mut rows, mut bytes, mut is_cut) = (Rows::new(), 0, false);
        if page.limit == 0 {
            return Ok((rows, false));
        }
        let walked = self.opened.database.walk(from, to, page.backwards, |key, value| {
            bytes += key.len() + value.len();
            is_cut = bytes > bytes_max && !rows.is_empty();
            if !is_cut {
                rows.push((Box::from(&*key), Box::from(&*value)));
            }
            !is_cut && rows.len() < page.limit
        });
        walked.map_err(unreadable)?;
        Ok((rows, is_cut))
    }

    /// The database is closed, and free for others, when `closed` hears of it.
    fn close(self, closed: &Sender<()>) {
        self.gauges.trouble_is(StoreError::Closed("it is closed".into()));
        drop(self);
        let _nobody_waits = closed.try_send(());
    }
}

/// Also when a callback panicked: nobody waits for an answer that does not come.
impl Drop for Writer {
    fn drop(&mut self) {
        self.gauges.trouble_is(StoreError::Closed("its thread has ended".into()));
        while let Ok(job) = self.inbox.try_recv() {
            self.gauges.bytes_queued.fetch_sub(job.bytes(), Relaxed);
            if let Some(why) = self.gauges.trouble() {
                job.fail(why);
            }
        }
    }
}

impl Group {
    /// `false` when it can be done at once.
    fn take(&mut self, job: Job) -> bool {
        match job {
            Job::Commit(batch, done) => {
                self.batches.push(batch);
                self.waiting.push(done);
                return true;
            }
            Job::Close(closed) => self.closing = Some(closed),
            read => self.reads.push(read),
        }
        false
    }
}

fn unreadable(error: DiskError) -> StoreError {
    StoreError::Closed(format!("it cannot be read: {error}").into())
}

/// What keys hold behind some batches.
type Last<'b> = BTreeMap<&'b [u8], Option<&'b [u8]>>;

/// What each key that changes holds behind all of them.
fn last_of_each<'b>(batches: &'b [Batch], database: &Database) -> Result<Last<'b>, DiskError> {
    let mut last = Last::new();
    for batch in batches {
        if !is_due(batch, &last, database)? {
            continue;
        }
        for Change { key, value, stays } in &batch.changes {
            let (key, value) = (key.as_bytes(), value.as_deref());
            if let (Some(stays), Some(new)) = (stays, value)
                && fits(key, &last, database, |old| stays(key, old, new))?
            {
                continue;
            }
            last.insert(key, value);
        }
    }
    Ok(last)
}

/// Whether everything is as the batch wants to find it.
fn is_due(batch: &Batch, last: &Last<'_>, database: &Database) -> Result<bool, DiskError> {
    for (key, value) in &batch.conditions {
        if !fits(key.as_bytes(), last, database, |old| old == value.as_slice())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there is a value under `key` by then, and `is_it`.
fn fits(
    key: &[u8],
    last: &Last<'_>,
    database: &Database,
    is_it: impl FnOnce(&[u8]) -> bool,
) -> Result<bool, DiskError> {
    Ok(match last.get(key) {
        Some(before) => before.is_some_and(is_it),
        None => database.get(key)?.is_some_and(|old| is_it(&old)),
    })
}
