//! The only place where the simulator reads loans and applications out of a book.

use tandem_domain::book::{ApplicationRecord, Book, Loan};

/// Number of loans.
pub(crate) fn loan_count(book: &Book) -> usize {
    book.loans().len()
}

/// The loan at a place.
pub(crate) fn loan_at(book: &Book, place: usize) -> Option<Loan> {
    book.loans().get(place).cloned()
}

/// Shows every loan.
pub(crate) fn each_loan(book: &Book, mut show: impl FnMut(usize, &Loan)) {
    for (place, loan) in book.loans().iter().enumerate() {
        show(place, loan);
    }
}

/// Number of applications.
pub(crate) fn application_count(book: &Book) -> usize {
    book.applications().len()
}

/// Key of the application at a place.
pub(crate) fn application_key(book: &Book, place: usize) -> String {
    book.applications()[place].key.to_string()
}

/// Shows every application.
pub(crate) fn each_application(book: &Book, mut show: impl FnMut(&ApplicationRecord)) {
    for record in book.applications() {
        show(record);
    }
}
