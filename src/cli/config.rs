//! `tamis config`.

use clap::Subcommand;

use super::{Answer, Failure, Options, exit, load, print};
use crate::config;

/// What is shown.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The values in force
    Show {
        /// Also where each came from
        #[arg(long)]
        origin: bool,
    },
    /// The commented file with every key and its default
    Default,
    /// What one key means
    Explain {
        /// For example policy.inbound.spam.tag_at
        key: String,
    },
}

/// Shows it.
pub fn run(options: &Options, what: &What) -> Answer {
    match what {
        What::Show { origin } => {
            let loaded = load::config(options)?;
            if options.json {
                print(&format!("{}\n", config::show_json(&loaded)))
            } else {
                print(&config::show(&loaded, *origin))
            }
        }
        What::Default => print(config::DEFAULT_TEXT),
        What::Explain { key } => match config::explain(key) {
            Ok(text) => print(&text),
            Err(hint) => Err(Failure::new(exit::NOT_FOUND, hint)),
        },
    }
}
