//! The spam score: SpamAssassin's rule language.
