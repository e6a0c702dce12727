//! Where registries draw the border between domains of their customers: `example.co.uk` of `www.example.co.uk`.

use crate::filters::spam::text::to_ascii;
use crate::filters::spam::view::View;

/// True if the name ends in a domain of the root, and has another label before it.
pub(super) fn ends_well(view: &View<'_>, host: &str) -> bool {
    view.engine.tables.links.boundaries.ends_well(host.as_bytes())
}

/// The part of a name that its owner registered; `None` for what does not end in a domain of the root.
pub(super) fn registered(view: &View<'_>, host: &[u8]) -> Option<Vec<u8>> {
    let host = to_ascii(host).to_ascii_lowercase();
    let host = String::from_utf8(host).ok()?;
    ends_well(view, &host).then(|| owned(view, &host).into_bytes())
}

/// The same for any name in ASCII and lower case.
pub(super) fn owned(view: &View<'_>, host: &str) -> String {
    view.engine.tables.links.boundaries.registered(host)
}
