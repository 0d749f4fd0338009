//! Tandem: joint lending, from application to final settlement.

mod archive;
mod audit;
mod backup;
mod bench;
mod check;
mod conformance;
mod data;
mod export;
mod fail;
mod history;
mod instruct;
mod partner;
mod payments;
mod people;
mod programme;
mod quote;
mod report;
mod run;
mod schedule;
mod serve;
mod service;
mod settings;
mod slices;
mod table;
mod verify;
mod view;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fail::Outcome;

// Commands are made on one thread and freed on another, which the system's allocator does slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Banks and platforms lend together: every share to the cent, every figure explained.
#[derive(Parser)]
#[command(name = "tandem", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a programme: decides its applications, books loans and payments, closes every day
    /// and settles. Running it again goes on where it stopped.
    Run(run::Options),
    /// Reads a programme or one of its files and explains it, or says what is wrong and where.
    Check {
        /// A programme's folder, an agreement, a policy (its agreement beside it) or a mapping.
        path: PathBuf,
    },
    /// Writes the JSON Schema of a file format, for editors.
    Schema {
        /// Which format.
        format: check::Format,
    },
    /// Reads a journal from its first batch and checks everything that must hold.
    Verify(verify::Options),
    /// Checks what a party was shown of a book, and recomputes its ledger, statement and shares
    /// from that alone.
    VerifyView(view::Options),
    /// Checks that books received of each other's limits what was sent, and tells where the room of
    /// each limit is.
    VerifySlices(slices::Options),
    /// Tells the life of one loan, from application to last posting.
    History(history::Options),
    /// Does something to a loan: a payment, a refund, a payment holiday, the sale of a share.
    Instruct(instruct::Options),
    /// Moves loans that are over from the book's memory into Parquet files.
    Archive(archive::Options),
    /// Says what settles a loan on a day, of what it is made, and who gets it.
    Quote(quote::Options),
    /// Writes a book in formats that other programs read.
    Export(export::Options),
    /// Prints the instalments that the terms of a loan plan, and what they cost a year.
    Schedule(schedule::Options),
    /// Prints what a loan or dated flows cost a year, as the EU and the US ask it to be said.
    Apr(schedule::AprOptions),
    /// Holds the loan engine's arithmetic against a public standard, or a service against what
    /// partners may rely on.
    #[command(subcommand)]
    Conformance(conformance::Suite),
    /// Serves programmes: the open API for partners, and the console for people.
    Serve(Box<serve::Options>),
    /// Registers, lists and shuts out the clients of a service.
    Client(partner::Options),
    /// Adds somebody who signs in to the console of a service.
    Person(people::Options),
    /// Exports and checks who saw and did what in a service.
    #[command(subcommand)]
    Audit(audit::Action),
    /// Copies books in files, and what a service keeps, while they are in use.
    Backup(backup::Options),
    /// Calls a service as one of its clients: signed, and the answer checked.
    Call(partner::Call),
    /// Measures throughput on this machine.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = settings::parse().and_then(carry_out);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(cli: Cli) -> Outcome {
    match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Check { path } => check::check(&path),
        Command::Schema { format } => check::schema(format),
        Command::Verify(options) => verify::verify(&options),
        Command::VerifyView(options) => view::verify(&options),
        Command::VerifySlices(options) => slices::verify(&options),
        Command::History(options) => history::history(&options),
        Command::Instruct(options) => instruct::instruct(&options),
        Command::Archive(options) => archive::archive(&options),
        Command::Quote(options) => quote::quote(&options),
        Command::Export(options) => export::export(&options),
        Command::Schedule(options) => schedule::schedule(&options),
        Command::Apr(options) => schedule::apr(&options),
        Command::Conformance(suite) => conformance::conformance(&suite),
        Command::Serve(options) => serve::serve(&options),
        Command::Client(options) => partner::client(&options),
        Command::Person(options) => people::add(&options),
        Command::Audit(action) => audit::audit(&action),
        Command::Backup(options) => backup::backup(&options),
        Command::Call(options) => partner::call(&options),
        Command::Bench(options) => bench::bench(&options),
    }
}
