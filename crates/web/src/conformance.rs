//! What a service must do and must refuse, tried from outside: any deployment can be held against
//! it, and nothing in its books changes. Every POST has a body that no book can take, so that what
//! lets it pass ends with a refusal of the resource.

mod cases;
mod trial;

use tandem_client::ClientTls;

use self::cases::CASES;
use self::trial::{Trial, Trouble};

/// A client of a service.
#[derive(Clone)]
pub struct Identity {
    /// Its name.
    pub client_id: String,
    /// Its private key (PEM).
    pub pem: String,
}

/// What is tried.
#[derive(Clone)]
pub struct Target {
    /// What stands before the paths, without a slash at its end.
    pub base: String,
    /// How it is called over TLS.
    pub tls: ClientTls,
    /// The same with a certificate of the client's, to bind tokens to.
    pub certified: Option<ClientTls>,
    /// Id of an agreement that the client's party is in.
    pub agreement: String,
    /// Who calls.
    pub client: Identity,
    /// A client of another party, to whom what is not its own must not exist.
    pub other: Option<Identity>,
}

/// What came of a case.
pub struct Finding {
    /// What was tried.
    pub case: &'static str,
    /// What must come of it.
    pub expected: &'static str,
    /// What came of it.
    pub found: String,
    /// How that is judged.
    pub verdict: Verdict,
}

/// How a case is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Otherwise.
    Fail,
    /// It could not be tried.
    Skipped,
}

impl Verdict {
    /// The verdict in a word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Skipped => "skipped",
        }
    }
}

/// Tries all cases; none if there is nobody to try them with.
pub fn run(target: &Target) -> Result<Vec<Finding>, String> {
    let mut trial = Trial::of(target)?;
    let findings = CASES.into_iter().map(|(case, expected, attempt)| {
        let (found, verdict) = match attempt(&mut trial) {
            Ok(found) if found == expected => (found, Verdict::Pass),
            Ok(found) => (found, Verdict::Fail),
            Err(Trouble::Failed(message)) => (message, Verdict::Fail),
            Err(Trouble::Skipped(why)) => (why.to_owned(), Verdict::Skipped),
        };
        Finding {
            case,
            expected,
            found,
            verdict,
        }
    });
    Ok(findings.collect())
}

/// The findings as a table, and how many failed.
pub fn report(findings: &[Finding]) -> (String, usize) {
    let width = |text: fn(&Finding) -> &str| findings.iter().map(|one| text(one).len()).max();
    let wide = width(|one| one.case).unwrap_or_default();
    let mut text = String::new();
    for one in findings {
        let verdict = one.verdict.name();
        text += &format!("{verdict:<8} {:<wide$}  {}\n", one.case, one.found);
        if one.verdict == Verdict::Fail {
            text += &format!("{:<8} {:<wide$}  {}\n", "", "  expected:", one.expected);
        }
    }
    let count = |verdict| findings.iter().filter(|one| one.verdict == verdict).count();
    let (passed, failed) = (count(Verdict::Pass), count(Verdict::Fail));
    let skipped = count(Verdict::Skipped);
    text += &format!("{passed} passed, {failed} failed, {skipped} skipped\n");
    (text, failed)
}
