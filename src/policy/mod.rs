//! Facts to verdicts, verdicts to a plan. Pure: no clock, no I/O, so every case is a test.
//!
//! [`judge`] says for each recipient what the mail is and what is done; [`plan`] turns that into deliveries, a
//! quarantine entry and replies. The action is the strongest of all verdicts that hold, and the verdict shown is the
//! worst of those that ask for it: an encrypted attachment (tag) must not shield spam (quarantine).

pub mod block;
mod choose;
pub mod edit;
#[doc(hidden)]
pub mod fuzzing;
mod judge;
mod plan;
mod results;
mod words;

pub use block::PASSED;
pub use choose::{Chooser, is_local};
pub use judge::{Decision, OwnReply, Reason, judge};
pub use plan::{Delivery, Identity, Plan, plan};
pub use words::{reply_for, summary};
