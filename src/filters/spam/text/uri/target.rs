//! Relative addresses to absolute ones (RFC 3986 section 5.2), forgiving as readers are.

use std::borrow::Cow;

use super::domain::before;
use super::search::starts_with;

/// An address in its pieces.
#[derive(Default, Clone, Copy)]
struct Address<'a> {
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: &'a [u8],
    query: Option<&'a [u8]>,
    fragment: Option<&'a [u8]>,
}

impl<'a> Address<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut address = Self::default();
        let mut rest = text;
        let take = |end: fn(u8) -> bool, rest: &mut &'a [u8]| {
            let piece = before(rest, end);
            *rest = rest.get(piece.len()..).unwrap_or_default();
            piece
        };
        let scheme = before(rest, |octet| matches!(octet, b':' | b'/' | b'?' | b'#'));
        if !scheme.is_empty() && rest.get(scheme.len()) == Some(&b':') {
            address.scheme = Some(scheme);
            rest = rest.get(scheme.len() + 1..).unwrap_or_default();
        }
        if let Some(mut behind) = rest.strip_prefix(b"//") {
            address.authority =
                Some(take(|octet| matches!(octet, b'/' | b'?' | b'#'), &mut behind));
            rest = behind;
        }
        address.path = take(|octet| matches!(octet, b'?' | b'#'), &mut rest);
        if let Some(mut behind) = rest.strip_prefix(b"?") {
            address.query = Some(take(|octet| octet == b'#', &mut behind));
            rest = behind;
        }
        address.fragment =
            rest.strip_prefix(b"#").map(|fragment| before(fragment, |octet| octet == b'\n'));
        address
    }
}

/// The address that `link` means on a page whose base is `base`; an empty base is none.
pub(super) fn resolve(base: &[u8], link: &[u8]) -> Vec<u8> {
    let room = base.len() + link.len() + 8;
    let base = Address::read(base);
    let mut link = Address::read(link);
    if link.scheme.is_some() && link.scheme == base.scheme {
        link.scheme = None;
    }
    let scheme = link.scheme.or(base.scheme);
    let whole = link.scheme.is_some() || link.authority.is_some();
    let authority = if whole { link.authority } else { base.authority };
    let mut query = link.query;
    let path = if whole || link.path.first() == Some(&b'/') {
        without_dots(link.path)
    } else if link.path.is_empty() {
        query = link.query.or(base.query);
        base.path.into()
    } else {
        without_dots(&merged(&base, link.path)).into_owned().into()
    };
    let mut out = Vec::with_capacity(room);
    let mut add = |sign: &[u8], piece: &[u8]| {
        out.extend_from_slice(sign);
        out.extend_from_slice(piece);
    };
    match (scheme, authority) {
        (Some(scheme), _) if scheme != b"0" => add(scheme, b":"),
        // Without a scheme, the first label tells what is meant.
        (_, Some(host)) if begins(host, b"www") => add(b"http:", b""),
        (_, Some(host)) if begins(host, b"ftp") => add(b"ftp:", b""),
        _ => {}
    }
    if let Some(authority) = authority {
        add(b"//", authority);
    }
    add(b"", &path);
    if let Some(query) = query {
        add(b"?", query);
    }
    if let Some(fragment) = link.fragment {
        add(b"#", fragment);
    }
    out
}

/// True for `www.` and `www2.`.
fn begins(host: &[u8], label: &[u8]) -> bool {
    let behind = host.get(label.len()..).unwrap_or_default();
    let digits = behind.iter().take_while(|octet| octet.is_ascii_digit()).count();
    starts_with(host, label) && behind.get(digits) == Some(&b'.')
}

fn merged(base: &Address<'_>, path: &[u8]) -> Vec<u8> {
    if base.authority.is_some() && matches!(base.path, [] | b"0") {
        return [b"/", path].concat();
    }
    let folder = memchr::memrchr(b'/', base.path).and_then(|at| base.path.get(..=at));
    [folder.unwrap_or_default(), path].concat()
}

/// Without `.` and `..` as names of folders (RFC 3986 section 5.2.4). A path that is a zero alone gets lost, as in
/// SpamAssassin.
fn without_dots(path: &[u8]) -> Cow<'_, [u8]> {
    if path.first() != Some(&b'.') && path != b"0" && memchr::memmem::find(path, b"/.").is_none() {
        return path.into();
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    for dots in [b"../".as_slice(), b"./"] {
        if path.starts_with(dots) {
            rest = path.get(dots.len() - 1..).unwrap_or_default();
            break;
        }
    }
    let ends = |rest: &[u8], dots: usize| matches!(rest.get(dots), None | Some(b'/'));
    while !matches!(rest, [] | b"0") {
        let folder = if rest.starts_with(b"/.") && ends(rest, 2) {
            2
        } else if rest.starts_with(b"/..") && ends(rest, 3) {
            let end = memchr::memrchr(b'/', &out).unwrap_or(0);
            out.truncate(end);
            3
        } else {
            let slash = usize::from(rest.first() == Some(&b'/'));
            let name = before(rest.get(slash..).unwrap_or_default(), |octet| octet == b'/');
            let segment = rest.get(..slash + name.len()).unwrap_or(rest);
            out.extend_from_slice(segment);
            rest = rest.get(segment.len()..).unwrap_or_default();
            continue;
        };
        rest = match rest.get(folder..) {
            Some([]) | None => b"/",
            Some(behind) => behind,
        };
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_resolved() {
        const BASE: &str = "http://a/b/c/d?q";
        for (base, link, want) in [
            (BASE, "g", "http://a/b/c/g"),
            (BASE, "./g", "http://a/b/c/g"),
            (BASE, "g/", "http://a/b/c/g/"),
            (BASE, "/g", "http://a/g"),
            (BASE, "//g", "http://g"),
            (BASE, "?y", "http://a/b/c/d?y"),
            (BASE, "g?y#s", "http://a/b/c/g?y#s"),
            (BASE, "#s", "http://a/b/c/d?q#s"),
            (BASE, "", "http://a/b/c/d?q"),
            (BASE, "..", "http://a/b/"),
            (BASE, "../../../g", "http://a/g"),
            (BASE, "./../g", "http://a/b/g"),
            (BASE, "http:g", "http://a/b/c/g"),
            (BASE, "ftp://x/y/../z", "ftp://x/z"),
            ("http://a", "g", "http://a/g"),
            ("", "g/./h", "g/h"),
            ("", "../g", "/g"),
            ("", "0", ""),
            ("", "//www2.a.org/x", "http://www2.a.org/x"),
            ("", "//ftp.a.org/x", "ftp://ftp.a.org/x"),
            ("", "//a.org/x", "//a.org/x"),
            ("", "javascript:f()", "javascript:f()"),
        ] {
            let got = resolve(base.as_bytes(), link.as_bytes());
            assert_eq!(String::from_utf8_lossy(&got), want, "{base} {link}");
        }
    }
}
