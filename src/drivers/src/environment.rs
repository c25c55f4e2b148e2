//! Variables of triggers, apps and tasks.

use crate::driver::Instance;

/// Variables of triggers, apps and tasks. `verb` is none for an evaluation.
pub(crate) fn environment(
    instance: &Instance,
    verb: Option<&str>,
    is_leader: bool,
) -> Vec<(String, String)> {
    let path = &instance.path;
    let mut variables = vec![
        ("OPENSVC_SVCPATH".to_owned(), path.to_string()),
        ("OPENSVC_SVCNAME".to_owned(), path.name().to_owned()),
        ("OPENSVC_SVC_ID".to_owned(), instance.id.clone()),
        ("OPENSVC_KIND".to_owned(), path.kind().as_str().to_owned()),
        ("OPENSVC_LEADER".to_owned(), u8::from(is_leader).to_string()),
    ];
    variables
        .extend(path.namespace().map(|name| ("OPENSVC_NAMESPACE".to_owned(), name.to_owned())));
    variables.extend(verb.map(|verb| ("OPENSVC_ACTION".to_owned(), verb.to_owned())));
    for resource in &instance.resources {
        if resource.rid.group() == "ip" {
            variables.extend(resource.driver.trigger_environment());
        }
    }
    variables
}
