//! The only client: whatever leaves us (relayed, released, our own) leaves by these functions.

mod connection;
mod pool;
mod transaction;

pub use connection::{Connection, Offer, Stage, Trouble, What};
pub use pool::Pool;
pub(in crate::smtp) use transaction::path_end;
pub use transaction::{Transaction, argument_for, deliver, impossible};
