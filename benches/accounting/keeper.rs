//! What the keeper of the books does each second: ask all drivers, and book what they tell.

use crate::house::House;
use std::sync::Arc;
use std::time::SystemTime;
use turnstone::base::UnixTime;
use turnstone::usage::{Account, Books, BooksSettings};

pub(crate) struct Keeper {
    books: Books,
    door: Option<Arc<str>>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self { books: Books::new(BooksSettings::default(), 0), door: None }
    }
}

impl Keeper {
    pub(crate) fn sample(&mut self, house: &House) {
        let told = house.wait(house.control.accounts());
        assert_eq!(told.missing, [0; 0]);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        for account in told.accounts {
            let key = account.key;
            let door = self.door.get_or_insert_with(|| key.door.to_string().into());
            let account_of = Account { subject: key.subject, label: key.label, door: Arc::clone(door) };
            self.books.book(UnixTime(now.as_secs()), &account_of, &account.traffic);
        }
    }

    pub(crate) fn bytes_from_client(&self) -> u64 {
        self.books.total().bytes_from_client
    }
}
