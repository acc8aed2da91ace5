//! The thread that owns the database.

use super::{Batch, Page, StoreError, StoreSettings};
use crossbeam_channel::Receiver;
use sled::{Db, IVec};

/// How an answer gets back.
pub(super) type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;
/// Keys and values.
pub(super) type Rows = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Batches that are flushed together.
const BATCHES_MAX: usize = 1024;

/// What the thread is asked for.
pub(super) enum Job {
    Commit(Batch, Done<()>),
    Page(Page, Done<Rows>),
}

impl Job {
    pub(super) fn fail(self, why: StoreError) {
        match self {
            Self::Commit(_, done) => done(Err(why)),
            Self::Page(_, done) => done(Err(why)),
        }
    }
}

pub(super) struct Writer {
    db: Db,
    inbox: Receiver<Job>,
    poisoned: Option<StoreError>,
}

impl Writer {
    pub(super) fn start(settings: &StoreSettings, inbox: Receiver<Job>) -> Result<(), StoreError> {
        let path = settings.path.join("store");
        // sled flushes by itself only what nobody was told of.
        let config = sled::Config::new().path(&path).flush_every_ms(None);
        let db = config.open().map_err(|error| {
            StoreError::Closed(format!("{} cannot be opened: {error}", path.display()).into())
        })?;
        let writer = Self { db, inbox, poisoned: None };
        let thread = std::thread::Builder::new().name("storage".into()).spawn(move || writer.run());
        thread.map(drop).map_err(|error| StoreError::Closed(format!("no thread: {error}").into()))
    }

    /// Until the last handle is gone.
    fn run(mut self) {
        while let Ok(job) = self.inbox.recv() {
            match job {
                Job::Page(page, done) => done(self.read(&page)),
                Job::Commit(batch, done) => self.commit(batch, done),
            }
        }
    }

    /// Writes this batch and those that came while the last flush ran.
    fn commit(&mut self, batch: Batch, done: Done<()>) {
        let mut waiting = vec![done];
        let mut written = self.write(&batch);
        let mut next = None;
        while waiting.len() < BATCHES_MAX {
            match self.inbox.try_recv() {
                Ok(Job::Commit(batch, done)) => {
                    waiting.push(done);
                    written = written.and_then(|()| self.write(&batch));
                }
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let result = written.and_then(|()| self.flush());
        for done in waiting {
            done(result.clone());
        }
        if let Some(Job::Page(page, done)) = next {
            done(self.read(&page));
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(why) = &self.poisoned {
            return Err(why.clone());
        }
        let mut changes = sled::Batch::default();
        for (key, value) in &batch.changes {
            match value {
                Some(value) => changes.insert(key.as_bytes(), value.as_slice()),
                None => changes.remove(key.as_bytes()),
            }
        }
        self.db.apply_batch(changes).map_err(|error| self.poison(&error))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.db.flush().map(drop).map_err(|error| self.poison(&error))
    }

    fn poison(&mut self, error: &sled::Error) -> StoreError {
        let why = StoreError::Poisoned(error.to_string().into());
        self.poisoned = Some(why.clone());
        why
    }

    fn read(&self, page: &Page) -> Result<Rows, StoreError> {
        let from = page.from.as_bytes();
        let range = match &page.to {
            Some(to) => self.db.range(from..to.as_bytes()),
            None => self.db.range(from..),
        };
        let rows = |range: &mut dyn Iterator<Item = sled::Result<(IVec, IVec)>>| {
            let row = |(key, value): (IVec, IVec)| (Box::from(&*key), Box::from(&*value));
            range.take(page.limit).map(|found| found.map(row)).collect::<Result<Rows, _>>()
        };
        let found = if page.backwards { rows(&mut range.rev()) } else { rows(&mut range.into_iter()) };
        found.map_err(|error| StoreError::Closed(format!("cannot be read: {error}").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Key, Record, Store, Table};
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        name: String,
        text: String,
    }

    impl Record for Note {
        const TABLE: Table = Table::Users;

        fn key(&self) -> Key {
            Key::of(Table::Users).text(&self.name)
        }
    }

    fn note(name: &str, text: &str) -> Note {
        Note { name: name.into(), text: text.into() }
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_the_store_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = StoreSettings { path: folder.path().into() };
        let store = Store::open(&settings).expect("opens");
        let batch = Batch::new().put(&note("a\0/", "1")).put(&note("b", "2")).put(&note("a\0/", "3"));
        store.commit(batch).await.expect("written");
        store.commit(Batch::new().delete(note("b", "").key())).await.expect("written");
        assert_eq!(store.get::<Note>(note("a\0/", "").key()).await, Ok(Some(note("a\0/", "3"))));
        assert_eq!(store.get::<Note>(note("b", "").key()).await, Ok(None));
        let all = store.page::<Note>(Page::of(Key::of(Table::Users), 10)).await.expect("read");
        assert_eq!(all, [note("a\0/", "3")]);
    }
}
