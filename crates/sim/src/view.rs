//! The only place where the simulator reads loans and applications out of a book.

use tandem_domain::book::{ApplicationRecord, Book, Loan};

/// Number of loans, archived ones too.
pub(crate) fn loan_count(book: &Book) -> usize {
    book.loan_count()
}

/// The loan at a place, unless it is archived.
pub(crate) fn loan_at(book: &Book, place: usize) -> Option<Loan> {
    book.loan_at(u32::try_from(place).ok()?)
}

/// Shows every loan that is not archived.
pub(crate) fn each_loan(book: &Book, mut show: impl FnMut(u32, &Loan)) {
    for (place, loan) in book.placed_loans() {
        show(place, &loan);
    }
}

/// Number of applications.
pub(crate) fn application_count(book: &Book) -> usize {
    book.application_count()
}

/// Key of the application at a place.
pub(crate) fn application_key(book: &Book, place: usize) -> String {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    let record = book.application_at(place);
    record.map_or_else(String::new, |record| record.key.to_owned())
}

/// Shows every application with its place.
pub(crate) fn each_application(book: &Book, mut show: impl FnMut(u32, &ApplicationRecord<'_>)) {
    for (place, record) in (0..).zip(book.applications()) {
        show(place, &record);
    }
}
