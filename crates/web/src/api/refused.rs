//! Instructions that are refused become cases of the party that sent them.

use tandem_domain::book::{Answer, Command};

use super::Here;
use crate::problem::Problem;
use crate::refusals::{self, Refusal};
use crate::trace;

impl Here {
    /// Has what is asked for a loan carried out; if it is refused, or cannot be asked, that is kept.
    pub(super) async fn carry_out(
        &self,
        key: &str,
        command: Result<Command, Problem>,
    ) -> Result<Answer, Problem> {
        trace::about("reference", key);
        let answer = match command {
            Ok(command) => self.view.desk.execute(command).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = &answer {
            let day = self.view.desk.look(|book| book.business_date());
            let refused = Refusal::of(key, &self.reference, problem, day.0);
            self.keep_refused(refused.as_slice());
        }
        answer
    }

    /// Keeps what was refused. Who sent it is told anyway; that it is not kept is for the log.
    pub(super) fn keep_refused(&self, refused: &[Refusal]) {
        if refused.is_empty() {
            return;
        }
        let (book, party) = (self.view.desk.name(), &self.caller.party);
        if let Err(error) = refusals::keep(&self.registry, book, party, refused) {
            tracing::error!(%error, "refused instructions cannot be kept as cases");
        }
    }
}
