//! `om node drain`: empties nodes, and tells what becomes of each service as it happens.

use std::time::{Duration, Instant};

use cli::{LONGEST_WAIT, Moves, Target, Wait};
use link::link::Link;
use wire::Request;

use crate::explain;
use crate::interrupted;
use crate::nodes::expand;
use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, node_spec, note, seconds};
use crate::operations::{glance, whatif};
use crate::streams::Changes;

/// How often it is looked when no event comes.
const LOOK: Duration = Duration::from_millis(200);

/// The pause after a look, in durations of that look, 1 s at most: of many services something changes all the time.
const PAUSE_LOOKS: u32 = 4;

/// How long nothing may happen to services that are to start elsewhere, once the nodes are empty.
const SETTLING: Duration = Duration::from_secs(10);

/// Empties nodes, and says first which ones that are.
pub(crate) fn run(
    om: &Om,
    target: &Target,
    server: Option<&str>,
    (wait, dry_run): (&Wait, bool),
) -> Done {
    let link = om.link(server)?;
    if link.is_remote() && *target == Target::Default {
        return Err(Failure::usage("drain empties one node: over https://, --node says which"));
    }
    let drained = match (target, server) {
        (Target::Nodes(selector), _) => expand(&link, selector),
        (Target::Default | Target::Local, Some(server)) => vec![server.to_owned()],
        (Target::Default | Target::Local, None) => vec![om.nodename.to_string()],
    };
    if dry_run {
        if drained.is_empty() {
            return Err(Failure::new("no node is selected: `om node ls` lists them"));
        }
        return whatif::drained(om, &link, &drained);
    }
    match &drained[..] {
        [one] => note(&format!(
            "drains {one} alone: its instances are stopped, and it stays frozen until `om node thaw --local` there"
        )),
        // Refused below.
        [] => {}
        many => note(&format!(
            "drains {}: their instances are stopped, and they stay frozen until `om node thaw`",
            many.join(", ")
        )),
    }
    let request = Request::new(wire::NodeDrain { wait: wait.wait, time: wait.time.map(seconds) });
    let request = addressed(request, node_spec(target, None));
    if !wait.wait {
        return om.report(&link.ask(&request, Some(ANSWER))?);
    }
    interrupted::ends_with(
        "the drain goes on: `om mon --watch` follows it, `om node thaw` lets the node be used again"
            .to_owned(),
    );
    follow(om, &link, &drained, request, wait.time.map(seconds))
}

/// Drains, and tells the moves until the nodes are empty and what moves is up again.
pub(super) fn follow(
    om: &Om,
    link: &Link,
    drained: &[String],
    request: Request,
    time: Option<Duration>,
) -> Done {
    let begin = Instant::now();
    let within = time.unwrap_or(LONGEST_WAIT);
    // Of agents that tell nothing ahead, only the end is told.
    let mut moves = whatif::ask(link, drained, &[]).ok().map(|told| Moves::foretold(&told));
    let changes = Changes::follow(link);
    let (drain, patience) = (link.clone(), time.map(|time| time + ANSWER));
    let asked = std::thread::spawn(move || drain.ask(&request, patience));
    while !asked.is_finished() {
        look(link, begin, moves.as_mut());
        changes.wait(Some(LOOK));
    }
    let reply = asked.join().map_err(|_| crate::om::Failure::new("the drain was not asked for"))?;
    let done = om.report(&reply?);
    let Some(mut moves) = moves else { return done };
    let code = match done {
        Ok(code) => code,
        Err(failure) => {
            look(link, begin, Some(&mut moves));
            note(&format!("{} is not empty: {}", drained.join(", "), moves.counts()));
            return Err(failure);
        }
    };
    let mut last = (vec![], Instant::now());
    loop {
        let doing = look(link, begin, Some(&mut moves));
        if moves.is_over() {
            break;
        }
        if last.0 != doing {
            last = (doing, Instant::now());
        }
        if begin.elapsed() >= within || last.1.elapsed() >= SETTLING {
            for path in moves.pending() {
                let why = explain::explained(link, path).map(|explained| explained.summary);
                complain(&why.unwrap_or_else(|| format!("{path} is not up elsewhere")));
            }
            note(&format!("{} is drained: {}", drained.join(", "), moves.counts()));
            return Ok(1);
        }
        changes.wait(Some(LOOK));
    }
    note(&format!("{} is drained: {}", drained.join(", "), moves.counts()));
    Ok(code)
}

/// Tells what happened since the last look. What the services that are still on their way do.
fn look(link: &Link, begin: Instant, moves: Option<&mut Moves>) -> Vec<String> {
    let asked = Instant::now();
    let (Some(moves), Ok(glance)) = (moves, glance::ask(link)) else { return vec![] };
    let lines = moves.look(begin.elapsed(), &glance::places(&glance));
    lines.iter().for_each(|line| note(line));
    std::thread::sleep((asked.elapsed() * PAUSE_LOOKS).min(Duration::from_secs(1)));
    glance::doing(&glance, &moves.pending().collect())
}
