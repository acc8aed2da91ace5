//! The books against a store that may fail and a process that may be killed.

use super::super::{By, Report, spans};
use super::*;
use proptest::prelude::*;
use std::sync::Arc;

fn account(subject: usize, label: usize, door: usize) -> Account {
    let label = (label > 0).then(|| Arc::from(format!("label {label}")));
    Account { subject: format!("user {subject}").into(), label, door: format!("door {door}").into() }
}

fn traffic(bytes: u64) -> Traffic {
    Traffic { bytes_from_client: bytes, bytes_from_peer: 1, packets_from_client: 1, packets_from_peer: 1 }
}

/// What is on the disk.
#[derive(Default)]
struct Disk(BTreeMap<PageKey, Page>);

impl Disk {
    fn write(&mut self, books: &mut Books, pages_max: usize) {
        while books.waiting_pages() > 0 {
            let pages = books.waiting(pages_max);
            self.0.extend(pages.iter().map(|page| (page.key, page.clone())));
            books.written(&pages);
        }
    }

    fn sum<'a>(pages: impl IntoIterator<Item = &'a Page>, period: Period) -> Traffic {
        let mut sum = Traffic::default();
        for page in pages {
            if page.key.period == period {
                sum.add(&page.total());
            }
        }
        sum
    }

    /// With what is not written yet.
    fn all(&self, books: &Books) -> BTreeMap<PageKey, Page> {
        let mut all = self.0.clone();
        all.extend(books.live());
        all
    }
}

#[derive(Clone, Debug)]
enum Step {
    Book(usize, usize, usize, u64),
    Pass(u64),
    SetBack(u64),
    Write,
    /// The batch is written, and its answer never comes.
    WriteUnheard,
    Kill,
    StopClean,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..6usize, 0..3usize, 0..2usize, 0..5000u64).prop_map(|(s, l, d, n)| Step::Book(s, l, d, n)),
        6 => prop_oneof![0..3u64, 20..90u64, 3000..4000u64, 80_000..90_000u64].prop_map(Step::Pass),
        2 => prop_oneof![0..90u64, 3000..100_000u64].prop_map(Step::SetBack),
        4 => Just(Step::Write),
        1 => Just(Step::WriteUnheard),
        1 => Just(Step::Kill),
        1 => Just(Step::StopClean),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test] // the sum of the rows is the sum of the deltas, less what a kill found unwritten
    fn nothing_is_lost_or_doubled_but_what_a_kill_finds_unwritten(
        steps in steps(), rows_max in 1..6usize, part: u64,
    ) {
        let settings = BooksSettings { rows_max: [rows_max, rows_max + 1, rows_max + 2], waiting_max: 10_000 };
        let (mut books, mut disk) = (Books::new(settings, part), Disk::default());
        let (mut now, mut expected) = (UnixTime(1_700_000_000), Traffic::default());
        // The daemon's next part is random; here, far from the last.
        let mut processes = 0;
        let mut anew = || {
            processes += 1;
            Books::new(settings, part.wrapping_add(processes << 32))
        };
        for step in steps {
            match step {
                Step::Book(subject, label, door, bytes) => {
                    books.book(now, &account(subject, label, door), &traffic(bytes));
                    expected.add(&traffic(bytes));
                }
                Step::Pass(seconds) => now = UnixTime(now.0 + seconds),
                Step::SetBack(seconds) => now = UnixTime(now.0 - seconds),
                Step::Write => disk.write(&mut books, 3),
                Step::WriteUnheard => {
                    let pages = books.waiting(usize::MAX);
                    disk.0.extend(pages.into_iter().map(|page| (page.key, page)));
                }
                Step::Kill => {
                    let total = |disk: &Disk| Disk::sum(disk.0.values(), Period::Minute);
                    disk.write(&mut books, 1);
                    // Everything but the open minute was written just now.
                    let open = books.live();
                    let missing = Disk::sum(open.values(), Period::Minute);
                    let mut with_open = total(&disk);
                    let behind = open.keys().filter_map(|key| disk.0.get(key));
                    with_open.add(&missing.since(&Disk::sum(behind, Period::Minute)));
                    prop_assert_eq!(with_open, expected);
                    prop_assert!(open.keys().filter(|key| key.period == Period::Minute).map(|key| key.start)
                        .all(|start| Some(start) == books.settled_until()));
                    expected = total(&disk);
                    for period in Period::ALL {
                        prop_assert_eq!(Disk::sum(disk.0.values(), period), expected, "after a kill: {:?}", period);
                    }
                    books = anew();
                }
                Step::StopClean => {
                    books.set_aside();
                    disk.write(&mut books, 5);
                    books = anew();
                }
            }
            books.turn(now);
            let all = disk.all(&books);
            for period in Period::ALL {
                prop_assert_eq!(Disk::sum(all.values(), period), expected, "{:?}", period);
            }
        }
    }

    #[test]
    fn a_range_is_the_same_whichever_periods_it_is_added_up_from(
        deltas in proptest::collection::vec((0..200_000u64, 0..4usize, 1..1000u64), 1..60),
        from in 0..200_000u64, length in 1..200_000u64,
    ) {
        let mut books = Books::new(BooksSettings::default(), 0);
        let (from, to) = (Period::Minute.start(UnixTime(from)), Period::Minute.ceil(UnixTime(from + length)));
        let mut disk = Disk::default();
        let mut expected = 0;
        for (at, subject, bytes) in deltas {
            books.book(UnixTime(at), &account(subject, 0, 0), &traffic(bytes));
            if (from..to).contains(&UnixTime(at)) {
                expected += bytes;
            }
        }
        books.set_aside();
        disk.write(&mut books, 7);
        let spans = spans(Period::Minute, from, to);
        let mut report = Report::new(By::Subject, None, 100);
        for page in disk.0.values() {
            let key = page.key;
            if spans.iter().any(|span| span.period == key.period && (span.from..span.to).contains(&key.start)) {
                report.add(page).expect("few lines");
            }
        }
        prop_assert_eq!(report.total().bytes_from_client, expected);
    }
}

#[test]
fn accounts_beyond_the_bound_share_one_row_for_each_door_and_are_counted() {
    let settings = BooksSettings { rows_max: [2, 3, 4], ..BooksSettings::default() };
    let mut books = Books::new(settings, 0);
    for subject in 0..10 {
        books.book(UnixTime(60), &account(subject, 0, subject % 2), &traffic(1));
    }
    assert_eq!(books.overflowed(), 8);
    let live = books.live();
    let rows = |period: Period| live.iter().filter(move |(key, _)| key.period == period);
    let count = |period| rows(period).map(|(_, page)| page.rows.len()).sum::<usize>();
    assert_eq!(Period::ALL.map(count), [4, 5, 6]);
    assert_eq!(Period::ALL.map(|period| Disk::sum(live.values(), period).bytes_from_client), [10, 10, 10]);
}

#[test]
fn a_store_that_takes_nothing_costs_bounded_memory_and_minutes_before_days() {
    let settings = BooksSettings { waiting_max: 10, ..BooksSettings::default() };
    let mut books = Books::new(settings, 0);
    for minute in 0..100 {
        books.book(UnixTime(minute * 60), &account(1, 0, 0), &traffic(1));
    }
    books.set_aside();
    assert_eq!((books.waiting_pages(), books.lost_pages()), (10, 93));
    assert_eq!(Disk::sum(books.live().values(), Period::Day), books.total());
    // All minutes but the last seven, to the second.
    let lost = Gap { from: UnixTime(0), to: UnixTime(93 * 60 - 1) };
    assert_eq!(books.lost(), Some(lost));
    books.lost_is_told(Gap { to: UnixTime(59), ..lost });
    assert_eq!(books.lost(), Some(lost), "more was lost since that was written");
    books.lost_is_told(lost);
    assert_eq!(books.lost(), None);
}

#[test]
fn a_page_that_grew_while_it_was_written_waits_on() {
    let mut books = Books::new(BooksSettings::default(), 0);
    books.book(UnixTime(60), &account(1, 0, 0), &traffic(1));
    books.set_aside();
    let pages = books.waiting(10);
    books.book(UnixTime(61), &account(1, 0, 0), &traffic(1));
    books.set_aside();
    books.written(&pages);
    assert_eq!(books.waiting_pages(), 3);
    books.written(&books.waiting(10));
    assert_eq!(books.waiting_pages(), 0);
}
