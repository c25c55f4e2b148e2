//! Who may ask what, and what is left out of the answer: for users without root, whichever front they came through.
//!
//! What a user may is checked once, where the request arrived: peers that are asked for it answer this node, which is root.

use std::collections::BTreeSet;
use std::sync::Arc;

use conf::{Edit, Ini, ObjectConf};
use files::edit::Target;
use link::heavy;
use mail::requests::{NotNow, Outcome, Refused};
use mail::stream::Item;
use model::ObjectPath;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use web::creation::Writer;
use web::grants::{ClusterRole, Grants};
use web::user::Auth;
use web::{filter, rules};
use wire::{Action, ObjectAction, Options, Prepared, Request, SetObjectConfig};

use crate::context::{Context, blocking};
use crate::create;
use crate::edit::edit;
use crate::own_options;

/// Items that wait for a subscriber whose stream is filtered.
const QUEUE: usize = 16;

/// Items from this length on are filtered outside of the arbiter.
const LARGE_ITEM: usize = 256 << 10;

/// Gives an action and its options the names by which everything after looks at them.
pub(super) fn name_options(context: &Context, request: &mut Request) -> Result<(), Refused> {
    if context.caller.user.grants.is_root() {
        return Ok(());
    }
    match &mut request.action {
        Action::ObjectAction(options) => {
            options.action = options.action.as_deref().map(rules::action_word);
            options.options = own_options::named(&options.options)?;
        }
        Action::NodeAction(options) => options.options = own_options::named(&options.options)?,
        _ => {}
    }
    Ok(())
}

/// Whether the caller may make a request.
pub(super) async fn check(context: &Context, request: &Request) -> Result<(), Outcome> {
    let user = &context.caller.user;
    if user.grants.is_root() {
        return Ok(());
    }
    let namespaces = context.namespaces();
    rules::check(user, request, &namespaces).map_err(|error| Refused::new(403, error))?;
    let writer = Writer { grants: &user.grants, namespaces: &namespaces };
    let faults = match &request.action {
        Action::ObjectCreate(options) => {
            let created = create::documents(options)?;
            let config = context.config();
            let before = |path: &ObjectPath| config.objects.get(path).map(|object| object.conf());
            let faults = created.iter().flat_map(|(path, ini)| {
                let before = before(path);
                writer.faults(path, before.as_ref().map(ObjectConf::ini), ini)
            });
            faults.collect()
        }
        Action::ObjectAction(options) => edit_faults(context, &writer, options).await?,
        Action::SetObjectConfig(options) => whole_faults(context, &writer, options).await?,
        _ => vec![],
    };
    if faults.is_empty() {
        return Ok(());
    }
    Err(json!({"status": 403, "error": faults}).into())
}

/// What speaks against the configuration as an action would leave it.
async fn edit_faults(
    context: &Context,
    writer: &Writer<'_>,
    options: &ObjectAction,
) -> Result<Vec<String>, Refused> {
    let word = options.action.as_deref().unwrap_or_default();
    let Some(edits) = edits(word, &options.options) else { return Ok(vec![]) };
    let path = context.known_object(&options.path).await?;
    let config = context.config();
    let Some(object) = config.objects.get(&path) else {
        // Its configuration is elsewhere, and so is what would become of it.
        let text = format!("{path} is not configured on this node: ask one of its nodes");
        return Err(Refused::new(403, text));
    };
    let before = object.conf();
    let mut after = object.conf();
    after.edit(&config.context, &edits).map_err(|error| Refused::new(400, error.to_string()))?;
    Ok(writer.faults(&path, Some(before.ini()), after.ini()))
}

/// What speaks against a configuration that is written whole.
async fn whole_faults(
    context: &Context,
    writer: &Writer<'_>,
    options: &SetObjectConfig,
) -> Result<Vec<String>, Refused> {
    let path = model::validate_object_name(&options.path)
        .map_err(|error| Refused::new(400, error.to_string()))?;
    let after = Ini::parse(&options.data).map_err(|error| Refused::new(400, error.to_string()))?;
    // A file that nobody has looked at yet is looked at; one that is not there is made.
    _ = context.known_object(&options.path).await;
    let config = context.config();
    let before = config.objects.get(&path).map(|object| object.conf());
    if before.is_none() && context.snapshot().services().contains_key(&path) {
        let text = format!("{path} is not configured on this node: ask one of its nodes");
        return Err(Refused::new(403, text));
    }
    Ok(writer.faults(&path, before.as_ref().map(ObjectConf::ini), &after))
}

/// A configuration with the priorities that there are: those that it has are passed over.
fn with_own_priority(
    context: &Context,
    options: &SetObjectConfig,
    is_priority: &dyn Fn(&str) -> bool,
) -> Option<String> {
    const SECTION: &str = "DEFAULT";
    let mut ini = Ini::parse(&options.data).ok()?;
    let given = ini.keywords(SECTION).map(|(name, _)| name.to_owned());
    for name in given.filter(|name| is_priority(name)).collect::<Vec<_>>() {
        ini.unset(SECTION, &name);
    }
    let path = ObjectPath::parse(&options.path).ok()?;
    let config = context.config();
    if let Some(before) = config.objects.get(&path).map(|object| object.conf()) {
        for (name, value) in before.ini().keywords(SECTION).filter(|(name, _)| is_priority(name)) {
            ini.set(SECTION, name, value).ok()?;
        }
    }
    Some(ini.text().to_owned())
}

/// The edits that an action makes; none for one that edits nothing. A `delete` without section deletes the object.
fn edits(action: &str, options: &Options) -> Option<Vec<Edit>> {
    let texts = |name: &str| -> Vec<String> {
        match options.get(name) {
            Some(Value::Array(values)) => values.iter().filter_map(Ini::text_of).collect(),
            Some(Value::Null | Value::Bool(false)) | None => vec![],
            Some(value) => Ini::text_of(value).into_iter().collect(),
        }
    };
    let one = |name: &str| texts(name).pop();
    let sections = |name: &str| {
        let words: Vec<String> = texts(name);
        let split =
            |text: &String| text.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>();
        words.iter().flat_map(split).map(Edit::DeleteSection).collect::<Vec<_>>()
    };
    match action {
        "set" => {
            let mut edits: Vec<Edit> = texts("unset").into_iter().map(Edit::Unset).collect();
            edits.extend(texts("kw").into_iter().map(Edit::Set));
            if let Some(param) = one("param") {
                let index = options.get("index").and_then(Value::as_i64);
                edits.extend(
                    one("value").map(|value| Edit::SetValue { param: param.clone(), value }),
                );
                edits.extend(one("add").map(|value| Edit::Add {
                    param: param.clone(),
                    value,
                    index,
                }));
                edits.extend(one("remove").map(|value| Edit::Remove { param, value }));
            }
            Some(edits)
        }
        "unset" => {
            let keywords = texts("kw").into_iter().chain(one("param"));
            let mut edits: Vec<Edit> = keywords.map(Edit::Unset).collect();
            edits.extend(sections("section"));
            Some(edits)
        }
        "delete" if !texts("rid").is_empty() => Some(sections("rid")),
        _ => None,
    }
}

/// Keeps some words of an option: expressions, which are one word each, or keywords that commas separate.
fn keep_words(option: &mut Value, are_expressions: bool, is_kept: impl Fn(&str) -> bool) {
    let kept = |text: &str| match are_expressions {
        true => is_kept(text).then(|| text.to_owned()),
        false => {
            let words: Vec<&str> =
                text.split(',').map(str::trim).filter(|word| is_kept(word)).collect();
            (!words.is_empty()).then(|| words.join(","))
        }
    };
    match option {
        Value::String(text) => *option = kept(text).map_or(Value::Null, Value::String),
        Value::Array(texts) => {
            let strings = texts.iter().filter_map(Value::as_str);
            *option = strings.filter_map(kept).collect();
        }
        _ => {}
    }
}

/// Takes out of a request what is passed over for who has no right to it: priorities.
pub(super) fn reduce(context: &Context, request: &mut Request) {
    if context.caller.user.grants.has(ClusterRole::Prioritizer) {
        return;
    }
    let is_priority = |keyword: &str| {
        let keyword = keyword.strip_prefix("DEFAULT.").unwrap_or(keyword);
        keyword
            .strip_prefix("priority")
            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    match &mut request.action {
        Action::ObjectCreate(options) => {
            for sections in options.data.values_mut() {
                if let Some(Value::Object(keywords)) = sections.get_mut("DEFAULT") {
                    keywords.retain(|keyword, _| !is_priority(keyword));
                }
            }
        }
        Action::SetObjectConfig(options) => {
            if let Some(text) = with_own_priority(context, options, &is_priority) {
                options.data = text;
            }
        }
        Action::ObjectAction(options) => {
            let is_set = options.action.as_deref() == Some("set");
            for name in ["kw", "unset", "param"] {
                if let Some(value) = options.options.get_mut(name) {
                    keep_words(value, is_set && name == "kw", |word| !is_priority(word));
                }
            }
        }
        _ => {}
    }
}

/// The namespaces that a request begins.
pub(super) fn begun(context: &Context, request: &Request) -> BTreeSet<String> {
    if context.shows_all() {
        return BTreeSet::new();
    }
    let named: BTreeSet<String> = match &request.action {
        Action::SetObjectConfig(options) => {
            let path = ObjectPath::parse(&options.path).ok();
            path.and_then(|path| path.namespace().map(str::to_owned)).into_iter().collect()
        }
        Action::ObjectCreate(options) => {
            let created = create::documents(options).unwrap_or_default();
            created.iter().filter_map(|(path, _)| path.namespace().map(str::to_owned)).collect()
        }
        _ => return BTreeSet::new(),
    };
    &named - &context.namespaces()
}

/// Who began a namespace becomes its admin, once it is there.
pub(super) async fn grant_begun(context: &Context, begun: BTreeSet<String>, outcome: &Outcome) {
    let user = &context.caller.user;
    let is_done = match outcome {
        Outcome::Prepared(body) => wire::reply::Part::prepared(body.clone()).status() == 0,
        Outcome::Json(reply) => wire::reply::status_of(reply) == 0,
        Outcome::Stream(_) | Outcome::Nothing => false,
    };
    let is_object = matches!(user.auth, Some(Auth::Basic | Auth::Certificate));
    let Some(namespace) = user.namespace.as_ref().filter(|_| is_done && is_object) else { return };
    let Ok(path) = ObjectPath::parse(&format!("{namespace}/usr/{}", user.name)) else { return };
    for namespace in begun {
        let edited = edit(context, Target::Object(path.clone()), move |ini| {
            let word = format!("admin:{namespace}");
            let grant = ini.get("DEFAULT", "grant").unwrap_or_default();
            if grant.split_whitespace().any(|own| own == word) {
                return Ok((false, ()));
            }
            let grant = format!("{grant} {word}");
            let is_changed = ini.set("DEFAULT", "grant", grant.trim());
            Ok((is_changed.map_err(|error| error.to_string())?, ()))
        });
        if let Err(error) = edited.await {
            log::warn!(user = user.name.as_str(), error = error.as_str(); "who began a namespace could not be made its admin");
        }
    }
}

/// Leaves out of an answer what the caller is not shown.
pub(super) async fn filtered(context: &Context, request: &Request, outcome: Outcome) -> Outcome {
    let user = &context.caller.user;
    if user.grants.is_root() {
        return outcome;
    }
    match outcome {
        Outcome::Stream(items) if matches!(request.action, Action::Events(_)) => {
            Outcome::Stream(follow(context, items))
        }
        outcome if !filter::is_filtered(&request.action) => outcome,
        Outcome::Json(mut reply) => {
            filter::reply(&user.grants, &request.action, &mut reply);
            Outcome::Json(reply)
        }
        Outcome::Prepared(body) => {
            let (user, action) = (user.clone(), request.action.clone());
            let cut = blocking(move || {
                let mut reply: Value = wire::parse_within(&body.json(), wire::MOST_WEIGHT).ok()?;
                filter::reply(&user.grants, &action, &mut reply);
                Some(Arc::new(Prepared::new(&reply)))
            });
            match cut.await {
                Ok(Some(body)) => Outcome::Prepared(body),
                Ok(None) | Err(_) => Refused::from(NotNow).into(),
            }
        }
        outcome => outcome,
    }
}

/// The items of a stream of events, without what the caller is not shown.
fn follow(context: &Context, mut items: mpsc::Receiver<Item>) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let user = context.caller.user.clone();
    actix_rt::spawn(async move {
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = sender.closed() => return,
            };
            let Some(item) = item else { return };
            let is_large = item.len() >= LARGE_ITEM;
            let grants = user.clone();
            let cut = move || cut(&grants.grants, item);
            let shown = if is_large { heavy::apart(cut).await.flatten() } else { cut() };
            if let Some(item) = shown
                && sender.send(item).await.is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// What is shown of an item to somebody with these grants.
fn cut(grants: &Grants, item: Item) -> Option<Item> {
    let Ok(read) = serde_json::from_str::<Value>(&item) else {
        // A sign of life.
        return Some(item).filter(|item| item.is_empty());
    };
    let shown = filter::event(grants, read)?;
    Some(Item { text: shown.to_string().into(), ..item })
}

impl Context {
    /// Whether the caller is shown everything.
    pub(crate) fn shows_all(&self) -> bool {
        self.caller.user.grants.is_root()
    }
}
