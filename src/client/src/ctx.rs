//! `om ctx`: which cluster is asked from this machine.

use cli::ContextAction;
use cli::render::printable;
use serde_json::{Value, json};

use crate::contexts::{CURRENT, current, file, names, read, unknown, write};
use crate::om::{Done, Om, note};

/// `om ctx ..`.
pub(super) fn run(om: &Om, action: &ContextAction) -> Done {
    let ini = read()?;
    match action {
        ContextAction::Ls => {
            let used = current(&ini).ok().flatten();
            let context = |name: &str| {
                let get = |keyword: &str| ini.get(name, keyword).unwrap_or_default();
                json!({"name": name, "server": get("server"), "user": get("user"),
                    "namespace": get("namespace"), "current": used.as_deref() == Some(name)})
            };
            let contexts: Vec<Value> = names(&ini).map(context).collect();
            if contexts.is_empty() && !om.is_machine_readable() {
                let file = file().map_or_else(String::new, |file| file.display().to_string());
                note(&format!(
                    "no contexts: {file} has a section for each, with server and cacert"
                ));
            }
            om.show(&contexts.into(), lines);
        }
        ContextAction::Use(name) => {
            if name == CURRENT || !ini.has_section(name) {
                return Err(unknown(name, &ini));
            }
            write(&ini, Some(name))?;
        }
        ContextAction::Unset => write(&ini, None)?,
    }
    Ok(0)
}

fn lines(contexts: &Value) -> String {
    let text = |context: &Value, key: &str| {
        printable(context[key].as_str().unwrap_or_default()).into_owned()
    };
    let line = |context: &Value| {
        let mark = if context["current"] == true { '*' } else { ' ' };
        format!("{mark} {}  {}\n", text(context, "name"), text(context, "server"))
    };
    contexts.as_array().into_iter().flatten().map(line).collect()
}
