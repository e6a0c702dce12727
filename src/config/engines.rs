//! Other spam engines (`[engine.NAME]`): their keys, what is made of them, and what does not fit together.

use std::sync::Arc;
use std::time::Duration;

use super::address::{host_and_port, unix};
use super::build::{get, line, size, time, word};
use super::cross::origin;
use super::file::{Node, Table, Value, find};
use super::keys::{HOUR, OCTETS, key};
use super::read::{self, Mistakes, refuse, text};
use super::schema::{Key, Kind};
use super::{Address, Config};
use crate::filters::{Mistake, Score};

/// The keys of `[engine.NAME]`, in the order of `conf/tamis.toml`.
pub(super) const ENGINE: &[Key] = &[
    key(
        "engine.*.type",
        Kind::Word(&["spamd", "rspamd"], &[]),
        "",
        "Another spam engine beside ours, whose points are added: \"spamd\" (SpamAssassin) or \"rspamd\".",
    ),
    key(
        "engine.*.address",
        Kind::EngineAddress,
        "",
        "\"tcp://127.0.0.1:783\" or \"unix:/run/spamd.sock\" for spamd, \"http://127.0.0.1:11333\" for rspamd, or \"off\". More of them: [engine.NAME] with type and address.",
    ),
    key(
        "engine.*.factor",
        Kind::Factor,
        "1.0",
        "Its points are multiplied by this; 0: they are shown, for comparison, and do not count. For rspamd, tag_at divided by its \"add header\" is right.",
    ),
    key(
        "engine.*.max_points",
        Kind::Points,
        "20.0",
        "All its points together count no more than this, nor less than minus this.",
    ),
    key(
        "engine.*.timeout",
        Kind::Time(Duration::from_millis(100), HOUR),
        r#""15s""#,
        "For one mail; keep it below limits.deadline.",
    ),
    key(
        "engine.*.max_size",
        OCTETS,
        r#""500KB""#,
        "Larger mail is not sent to it and counts as not asked; what SpamAssassin and rspamd take by themselves is more, and slow.",
    ),
    key(
        "engine.*.required",
        Kind::Boolean,
        "false",
        "When it gives no answer: true lets the mail wait (451); else it goes on by our own points, and is marked.",
    ),
    key(
        "engine.*.user",
        Kind::Line,
        r#""""#,
        "spamd: the user whose preferences and learned mail hold; empty: those of spamd itself.",
    ),
    key(
        "engine.*.settings",
        Kind::Line,
        r#""""#,
        "rspamd: the id of settings to be used, or settings themselves, as JSON in { }.",
    ),
];

/// Another spam engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    /// The name in logs, findings and metrics.
    pub name: Arc<str>,
    /// What is spoken.
    pub kind: EngineKind,
    /// Where it listens.
    pub address: Address,
    /// Its points are multiplied by this; zero: they are only shown.
    pub factor: f64,
    /// All its points together are no more than this, nor less than minus this.
    pub points_max: Score,
    /// For one mail.
    pub timeout: Duration,
    /// Larger mail is not sent.
    pub max_size_bytes: u64,
    /// Without its answer a mail must wait.
    pub required: bool,
    /// spamd: whose preferences hold; empty: its own.
    pub user: String,
    /// rspamd: id of settings, or JSON; empty: none.
    pub settings: String,
}

/// What is spoken with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// SPAMC/1.5, SpamAssassin's protocol.
    Spamd,
    /// HTTP, `/checkv2`.
    Rspamd,
}

/// One engine; the inner `None` is "off".
pub(super) fn engine(tree: &Table, name: &str) -> Option<Option<Engine>> {
    let path = |key: &str| format!("engine.{name}.{key}");
    let kinds = [("spamd", EngineKind::Spamd), ("rspamd", EngineKind::Rspamd)];
    let Some(address) = get(tree, &path("address"), address)? else { return Some(None) };
    Some(Some(Engine {
        name: Arc::from(name),
        kind: word(tree, &path("type"), &kinds)?,
        address,
        factor: get(tree, &path("factor"), factor)?,
        points_max: get(tree, &path("max_points"), read::points)?,
        timeout: time(tree, &path("timeout"))?,
        max_size_bytes: size(tree, &path("max_size"))?,
        required: get(tree, &path("required"), read::boolean)?,
        user: line(tree, &path("user"))?,
        settings: line(tree, &path("settings"))?,
    }))
}

/// Where an engine is; the inner `None` is "off".
pub(super) fn address(node: &Node, out: &mut Mistakes) -> Option<Option<Address>> {
    let what = "the address of a spam engine";
    let written = text(node, out, what, "tcp://127.0.0.1:783")?;
    if written == "off" {
        return Some(None);
    }
    if let Some(path) = written.strip_prefix("unix:") {
        return unix(node, out, path).map(Some);
    }
    let web = written.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    if let Some(host) = written.strip_prefix("tcp://").or(web).and_then(host_and_port) {
        return Some(Some(Address::Tcp(host)));
    }
    let bare = written.strip_prefix("inet:").unwrap_or(written);
    let hint = if written.starts_with('/') {
        format!("write \"unix:{written}\"")
    } else if written.starts_with("https:") {
        "TLS is not spoken here: write \"http://127.0.0.1:11333\", and a tunnel to other machines"
            .to_owned()
    } else if host_and_port(bare).is_some() {
        format!("write \"tcp://{bare}\" for spamd, \"http://{bare}\" for rspamd")
    } else {
        "write \"tcp://127.0.0.1:783\", \"unix:/run/spamd.sock\", \"http://127.0.0.1:11333\" or \"off\""
            .to_owned()
    };
    refuse(node, out, what, hint)
}

/// What points are multiplied by.
pub(super) fn factor(node: &Node, out: &mut Mistakes) -> Option<f64> {
    let number = match node.value {
        Value::Integer(number) => number as f64,
        Value::Float(number) => number,
        Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
            return refuse(node, out, "a factor", "write for example 0.5, without quotes");
        }
    };
    match (0.0..=100.0).contains(&number) {
        true => Some(number),
        false => refuse(node, out, "a factor", "0 to 100 are possible"),
    }
}

/// Says what fits each key of an engine, but not together.
pub(super) fn check(config: &Config, tree: &Table, found: &mut Vec<Mistake>) {
    for engine in &config.engines {
        let path = |key: &str| format!("engine.{}.{key}", engine.name);
        let written = find(tree, &path("address")).map(|node| &node.value);
        let scheme =
            |scheme: &str| matches!(written, Some(Value::Text(text)) if text.starts_with(scheme));
        let (wrong, hint, idle, owner) = match engine.kind {
            EngineKind::Spamd => (
                scheme("http:"),
                format!("write \"tcp://{}\"", engine.address),
                "settings",
                "rspamd",
            ),
            EngineKind::Rspamd => {
                (scheme("tcp:"), format!("write \"http://{}\"", engine.address), "user", "spamd")
            }
        };
        if wrong {
            let what = format!("the address of engine {} does not fit its type", engine.name);
            found.push(origin(tree, &path("address")).error(what, hint));
        }
        let has_idle = match engine.kind {
            EngineKind::Spamd => !engine.settings.is_empty(),
            EngineKind::Rspamd => !engine.user.is_empty(),
        };
        if has_idle {
            let what = format!("`{idle}` has no effect: it is for {owner}");
            found.push(origin(tree, &path(idle)).warning(what, "leave it out"));
        }
        if engine.points_max < Score(0) {
            let hint = "write a positive number; it holds to both sides";
            found.push(origin(tree, &path("max_points")).error("max_points is below zero", hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Address, Config, EngineKind, load_texts};

    fn load(text: &str) -> Result<Config, String> {
        let texts = vec![("tamis.toml".into(), text.as_bytes().to_vec())];
        match load_texts(texts, &[], &[]) {
            Ok(loaded) => Ok(loaded.config),
            Err(mistakes) => {
                let told = |mistake: &crate::filters::Mistake| {
                    format!("{}; {}\n", mistake.what, mistake.hint)
                };
                Err(mistakes.list.iter().map(told).collect())
            }
        }
    }

    #[test]
    fn an_engine_has_a_type_and_an_address() {
        let config = load(
            "[engine.sa]\ntype = \"spamd\"\naddress = \"unix:/run/spamd.sock\"\nfactor = 0.5\n\
             [engine.second]\ntype = \"rspamd\"\naddress = \"http://127.0.0.1:11333/\"\n\
             [engine.third]\ntype = \"rspamd\"\naddress = \"off\"\n",
        )
        .unwrap();
        let [sa, second] = config.engines.as_slice() else { panic!("{:?}", config.engines) };
        assert_eq!(sa.address, Address::Unix("/run/spamd.sock".into()));
        assert_eq!((sa.kind, sa.factor, sa.required), (EngineKind::Spamd, 0.5, false));
        assert_eq!(second.address, Address::Tcp("127.0.0.1:11333".to_owned()));
        assert_eq!(second.points_max, crate::filters::Score(20_000));
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_to_write() {
        for (lines, want) in [
            ("type = \"spamd\"", "has no `address`"),
            ("address = \"unix:/x\"", "has no `type`"),
            ("type = \"spamd\"\naddress = \"127.0.0.1:783\"", "write \"tcp://127.0.0.1:783\" for"),
            ("type = \"spamd\"\naddress = \"inet:127.0.0.1:783\"", "write \"tcp://127.0.0.1:783\""),
            ("type = \"rspamd\"\naddress = \"https://a.test:1\"", "TLS is not spoken here"),
            ("type = \"spamd\"\naddress = \"http://a.test:783\"", "write \"tcp://a.test:783\""),
            ("type = \"rspamd\"\naddress = \"tcp://a.test:783\"", "write \"http://a.test:783\""),
            ("type = \"rspamd\"\naddress = \"unix:/x\"\nfactor = -1", "0 to 100 are possible"),
            ("type = \"rspamd\"\naddress = \"unix:/x\"\nmax_points = -1.0", "below zero"),
        ] {
            let told = load(&format!("[engine.a]\n{lines}\n")).unwrap_err();
            assert!(told.contains(want), "{lines}: {told}");
        }
    }
}
