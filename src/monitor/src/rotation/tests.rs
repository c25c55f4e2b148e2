use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn names(names: &str) -> Vec<NodeName> {
    names.split_whitespace().map(name).collect()
}

fn steady(generation: u32) -> SecretState {
    SecretState { generation, ..SecretState::default() }
}

fn offered(next: &str) -> SecretState {
    SecretState { next: Some(next.into()), ..steady(1) }
}

fn used(current: &str) -> SecretState {
    SecretState { current: Some(current.into()), ..steady(2) }
}

fn older(state: SecretState) -> SecretState {
    SecretState { has_older: true, ..state }
}

type Heard = BTreeMap<NodeName, Option<SecretState>>;

fn heard<const N: usize>(states: [(&str, SecretState); N]) -> Heard {
    states.into_iter().map(|(node, state)| (name(node), Some(state))).collect()
}

/// What n1 of n1, n2, n3 makes of it.
fn look(
    rotation: &mut Rotation,
    now: u32,
    local: &str,
    own: &SecretState,
    heard: &Heard,
) -> Outlook {
    let (local, members) = (name(local), names("n1 n2 n3"));
    let stage = match (&own.next, &own.current) {
        (Some(_), _) => RotationStage::Offered,
        (None, Some(_)) => RotationStage::Used,
        (None, None) => RotationStage::Steady,
    };
    let view = RotationView { local: &local, members: &members, stage, own, heard };
    rotation.look(SECOND * now, &view)
}

fn once(local: &str, own: &SecretState, heard: &Heard) -> Outlook {
    look(&mut Rotation::default(), 0, local, own, heard)
}

#[test]
fn the_next_secret_is_used_when_every_member_has_it_and_by_one_of_them() {
    let all = |state: SecretState| heard([("n2", state.clone()), ("n3", state)]);
    assert_eq!(once("n1", &offered("x"), &all(offered("x"))).step, Some(RotationStep::Use));
    assert_eq!(once("n1", &steady(1), &all(steady(1))).step, None);
    let others = heard([("n1", offered("x")), ("n3", offered("x"))]);
    assert_eq!(once("n2", &offered("x"), &others).step, None, "n1 does");
    let mixed = heard([("n2", offered("x")), ("n3", steady(1))]);
    let outlook = once("n1", &offered("x"), &mixed);
    assert_eq!((outlook.step, outlook.waits_for), (None, names("n3")));
    let another = heard([("n2", offered("x")), ("n3", offered("y"))]);
    assert_eq!(once("n1", &offered("x"), &another).waits_for, names("n3"));
    // One that uses it already has it.
    let ahead = heard([("n2", used("x")), ("n3", offered("x"))]);
    assert_eq!(once("n1", &offered("x"), &ahead).step, Some(RotationStep::Use));
    assert_eq!(once("n1", &offered("x"), &heard([("n2", used("y"))])).waits_for, names("n2 n3"));
}

#[test]
fn a_member_that_is_away_or_a_deployed_agent_is_waited_for() {
    let outlook = once("n1", &offered("x"), &heard([("n2", offered("x"))]));
    assert_eq!((outlook.step, outlook.waits_for), (None, names("n3")));
    assert!(outlook.may_force, "two of three have it");
    let mut deployed = heard([("n2", offered("x"))]);
    deployed.insert(name("n3"), None);
    let outlook = once("n1", &offered("x"), &deployed);
    assert_eq!((outlook.step, outlook.waits_for), (None, names("n3")));
    assert!(!outlook.may_force, "n3 is here and has it not");
}

#[test]
fn only_one_part_of_a_cluster_goes_on_without_the_others() {
    assert!(!once("n1", &offered("x"), &Heard::new()).may_force, "one of three");
    let members = names("n1 n2");
    let force = |local: &str| {
        let (own, local, heard) = (offered("x"), name(local), Heard::new());
        let view = RotationView {
            local: &local,
            members: &members,
            stage: RotationStage::Offered,
            own: &own,
            heard: &heard,
        };
        Rotation::default().look(Duration::ZERO, &view).may_force
    };
    assert_eq!((force("n1"), force("n2")), (true, false), "half, and the first one");
    let all = heard([("n2", offered("x")), ("n3", offered("x"))]);
    assert!(!once("n1", &used("x"), &all).may_force, "it is used already");
}

#[test]
fn the_secret_before_opens_everything_until_those_who_are_heard_follow_and_a_moment_longer() {
    let mut rotation = Rotation::default();
    let behind = heard([("n2", offered("x")), ("n3", offered("x"))]);
    look(&mut rotation, 0, "n1", &offered("x"), &behind);
    assert!(look(&mut rotation, 1, "n1", &used("x"), &behind).is_previous_open);
    assert!(look(&mut rotation, 900, "n1", &used("x"), &behind).is_previous_open);
    // n3 dies: nobody who is heard needs it.
    let one = heard([("n2", used("x"))]);
    let outlook = look(&mut rotation, 1_000, "n1", &used("x"), &one);
    assert!(outlook.is_previous_open);
    assert_eq!(outlook.look_after, Some(LINGER));
    assert!(!look(&mut rotation, 1_005, "n1", &used("x"), &one).is_previous_open);
    // It does not open again for one that comes back, or for who says to be it.
    let back = heard([("n2", used("x")), ("n3", offered("x"))]);
    assert!(!look(&mut rotation, 1_006, "n1", &used("x"), &back).is_previous_open);
    // Nor on a node that starts.
    assert!(!once("n1", &used("x"), &behind).is_previous_open);
}

#[test]
fn the_secret_before_goes_when_all_members_use_the_next_one_and_nothing_is_stored_with_it() {
    let mut rotation = Rotation::default();
    let two = heard([("n2", used("x"))]);
    let outlook = look(&mut rotation, 0, "n1", &used("x"), &two);
    assert_eq!((outlook.waits_for.clone(), outlook.is_used_by_all), (names("n3"), false));
    assert!(rotation.is_owed(&name("n3")) && !rotation.is_owed(&name("n2")));
    assert_eq!(look(&mut rotation, 9_000, "n1", &used("x"), &two).step, None);
    let stored = heard([("n2", used("x")), ("n3", older(used("x")))]);
    let outlook = look(&mut rotation, 9_001, "n1", &used("x"), &stored);
    assert_eq!((outlook.step, outlook.is_used_by_all), (None, true));
    assert!(!rotation.is_owed(&name("n3")));
    // n2 is away now, and has said so before.
    let all = heard([("n3", used("x"))]);
    assert_eq!(look(&mut rotation, 9_002, "n1", &older(used("x")), &all).step, None);
    assert_eq!(look(&mut rotation, 9_100, "n1", &used("x"), &all).step, None, "a moment longer");
    assert_eq!(look(&mut rotation, 9_105, "n1", &used("x"), &all).step, Some(RotationStep::Drop));
    // One that is through has no digest any more.
    let through = heard([("n2", steady(2)), ("n3", used("x"))]);
    assert_eq!(
        look(&mut rotation, 9_106, "n1", &used("x"), &through).step,
        Some(RotationStep::Drop)
    );
    assert_eq!(look(&mut rotation, 9_107, "n1", &steady(2), &through).step, None);
    assert!(!rotation.is_owed(&name("n2")), "what is known stays known");
}

#[test]
fn what_was_said_of_another_secret_says_nothing_of_this_one() {
    let mut rotation = Rotation::default();
    look(&mut rotation, 0, "n1", &used("x"), &heard([("n2", used("x")), ("n3", used("x"))]));
    // Taken over from another part of the cluster.
    let outlook = look(&mut rotation, 1, "n1", &used("y"), &heard([("n2", used("y"))]));
    assert_eq!(outlook.waits_for, names("n3"));
    // One that is heard with another one has not this one, whatever it had.
    let turned = heard([("n2", used("x")), ("n3", used("y"))]);
    assert_eq!(look(&mut rotation, 2, "n1", &used("y"), &turned).waits_for, names("n2"));
    assert!(rotation.is_owed(&name("n2")));
}

#[test]
fn a_node_that_is_no_member_any_more_is_not_waited_for() {
    let (local, members, own) = (name("n1"), names("n1 n2"), used("x"));
    let heard = heard([("n2", used("x"))]);
    let view = RotationView {
        local: &local,
        members: &members,
        stage: RotationStage::Used,
        own: &own,
        heard: &heard,
    };
    let mut rotation = Rotation::default();
    assert_eq!(rotation.look(Duration::ZERO, &view).waits_for, []);
    assert_eq!(rotation.look(LINGER, &view).step, Some(RotationStep::Drop));
}
