use ring::rand::SystemRandom;

use super::*;
use crate::{Trust, pkcs12};

/// 2027-01-01.
const NOW: Timestamp = Timestamp(1_798_761_600.0);

const DEPLOYED_AUTHORITY: &str = include_str!("../../tests/data/ca.pem");
const DEPLOYED_AUTHORITY_KEY: &str = include_str!("../../tests/data/ca.key");

fn order(cn: &str, purpose: Purpose) -> Order {
    let subject = Subject { cn: Some(cn.to_owned()), ..Subject::default() };
    Order { subject, alt_names: vec![], purpose, validity: 365.0 * DAY, now: NOW }
}

fn authority() -> (Made, Issuer) {
    let made = order("authority", Purpose::Authority).make(None).unwrap();
    let issuer = Issuer::new(&made.certificate_chain, &made.private_key).unwrap();
    (made, issuer)
}

fn trust(chain: &str) -> Trust {
    let mut trust = Trust::new();
    trust.add_authorities(chain).unwrap();
    trust
}

#[test]
fn a_user_signed_by_an_authority_of_ours_is_let_in() {
    let (authority, issuer) = authority();
    let made = order("alice", Purpose::Client).make(Some(&issuer)).unwrap();
    assert_eq!(made.certificate_chain, format!("{}{}", made.certificate, authority.certificate));
    assert_eq!(*made.fullpem(), format!("{}{}", *made.private_key, made.certificate_chain));
    let chain = certificates(&made.certificate_chain).unwrap();
    assert_eq!(chain[0].subject(), "CN=alice");
    assert_eq!(chain[0].end(), NOW.plus(365.0 * DAY));
    assert_eq!(chain[0].begin(), NOW.plus(-EARLIER));
    assert!(!chain[0].is_authority() && chain[1].is_authority());
    let trust = trust(&authority.certificate_chain);
    assert_eq!(trust.check_client(chain[0].der(), &[], NOW), Ok(()));
    assert!(crate::tls::certified_key(&made.certificate_chain, &made.private_key).is_ok());
}

#[test]
fn an_authority_with_an_rsa_key_signs_on() {
    let issuer = Issuer::new(DEPLOYED_AUTHORITY, DEPLOYED_AUTHORITY_KEY).unwrap();
    let made = order("alice", Purpose::Client).make(Some(&issuer)).unwrap();
    let client = certificates(&made.certificate).unwrap().remove(0);
    let mut trust = trust(DEPLOYED_AUTHORITY);
    assert_eq!(trust.check_client(client.der(), &[], NOW), Ok(()));
    let mut index = Index::default();
    assert!(index.revoke(&client, NOW));
    assert!(!index.revoke(&client, NOW), "a second time");
    let list = issuer.list(&index, 1, NOW).unwrap();
    assert_eq!(trust.add_revocations(list.as_bytes()), Ok(vec![]));
    let refusal = crate::Refusal::Revoked { subject: "CN=alice".to_owned() };
    assert_eq!(trust.check_client(client.der(), &[], NOW), Err(refusal));
    assert_eq!(trust.lists()[0].end, Some(NOW.plus(30.0 * DAY)));
    assert!(!trust.lists()[0].is_to_renew(NOW.plus(23.0 * DAY - 1.0)));
    assert!(trust.lists()[0].is_to_renew(NOW.plus(23.0 * DAY)));
}

#[test]
fn a_subject_has_its_parts_in_the_order_of_deployed_agents() {
    let text = |text: &str| Some(text.to_owned());
    let subject = Subject {
        c: text("FR"),
        st: text("Picardie"),
        l: text("Gouvieux"),
        o: text("example"),
        ou: text("lab"),
        cn: text("alice"),
        email: text("alice@example.org"),
    };
    let order = Order { subject, ..order("", Purpose::Authority) };
    let made = order.make(None).unwrap();
    let subject = certificates(&made.certificate).unwrap()[0].subject();
    let expected =
        "C=FR, ST=Picardie, L=Gouvieux, O=example, OU=lab, CN=alice, Email=alice@example.org";
    assert_eq!(subject, expected);
    // Its name is written for those that it signs as it stands.
    let issuer = Issuer::new(&made.certificate_chain, &made.private_key).unwrap();
    assert!(super::tests::order("bob", Purpose::Client).make(Some(&issuer)).is_ok());
}

#[test]
fn a_name_that_no_certificate_holds_names_its_keyword() {
    let wrong = |change: &dyn Fn(&mut Order)| {
        let mut order = order("alice", Purpose::Client);
        change(&mut order);
        order.make(None).unwrap_err().to_string()
    };
    let long = "a".repeat(65);
    for (told, expected) in [
        (wrong(&|it| it.subject.c = Some("FRA".to_owned())), "c is \"FRA\", expected two letters"),
        (
            wrong(&|it| it.subject.cn = Some(long.clone())),
            &*format!("cn is {long:?}, expected 1 to 64 signs"),
        ),
        (
            wrong(&|it| it.subject.o = Some("a\nb".to_owned())),
            "o is \"a\\nb\", expected 1 to 64 signs",
        ),
        (
            wrong(&|it| it.subject.email = Some("\u{e9}".to_owned())),
            "email is \"\u{e9}\", expected an address of mail in ASCII",
        ),
        (
            wrong(&|it| it.alt_names = vec!["IP:n1".to_owned()]),
            "alt_names is \"IP:n1\", expected a host name, DNS:<host name>, an address or IP:<address>",
        ),
    ] {
        assert_eq!(told, expected);
    }
    for good in
        ["n1", "DNS:n1.example", "*.example", "10.0.0.1", "IP:10.0.0.1", "fe80::1", "IP:fe80::1"]
    {
        assert!(alt_name(good).is_ok(), "{good}");
    }
    for bad in ["", "DNS:", "a b", "a/b", "IP:", "email:a@b"] {
        assert!(alt_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn who_is_no_authority_signs_nothing() {
    let (_, issuer) = authority();
    let user = order("alice", Purpose::Client).make(Some(&issuer)).unwrap();
    let (other, _) = authority();
    let refused = |chain: &str, key: &str| Issuer::new(chain, key).unwrap_err();
    assert_eq!(refused(&user.certificate_chain, &user.private_key), MakeError::NotAuthority);
    assert_eq!(refused(&user.certificate_chain, &other.private_key), MakeError::AuthorityMismatch);
    let late = Order { now: NOW.plus(400.0 * DAY), ..order("bob", Purpose::Client) };
    assert_eq!(late.make(Some(&issuer)).unwrap_err(), MakeError::AuthorityEnded);
}

#[test]
fn numbers_of_lists_are_hexadecimal_bytes() {
    for (text, number, next) in
        [("", 1, "02\n"), ("01\n", 1, "02\n"), ("0F\n", 15, "10\n"), ("FF\n", 255, "0100\n")]
    {
        assert_eq!(next_number(text), (number, next.to_owned()), "{text:?}");
    }
}

#[test]
fn secrets_of_what_was_made_are_never_printed() {
    let (made, issuer) = authority();
    let shown = format!("{made:?} {issuer:?}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    let secret = made.private_key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
fn a_file_for_browsers_needs_the_key_of_its_certificate() {
    let (made, issuer) = authority();
    let user = order("alice", Purpose::Client).make(Some(&issuer)).unwrap();
    let chain = certificates(&user.certificate_chain).unwrap();
    let random = SystemRandom::new();
    let key = PrivateKey::from_pem(&user.private_key).unwrap();
    let file = pkcs12(&key, &chain, "secret", &random).unwrap();
    assert_ne!(file, pkcs12(&key, &chain, "secret", &random).unwrap());
    let other = PrivateKey::from_pem(&made.private_key).unwrap();
    assert!(pkcs12(&other, &chain, "secret", &random).is_err());
}
