use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

use super::*;

/// An authority of OpenSSL with an RSA key, and a certificate of version 1 that it has signed, as deployed agents make them.
const DEPLOYED_AUTHORITY: &str = include_str!("../../tests/data/ca.pem");
const DEPLOYED_CLIENT: &str = include_str!("../../tests/data/client.pem");

/// 2027-01-01.
const NOW: Timestamp = Timestamp(1_798_761_600.0);
const YEAR: f64 = 365.0 * 86_400.0;

/// Somebody with a certificate and a key.
struct Party {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

impl Party {
    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    fn pem(&self) -> String {
        pem_of(&self.certificate)
    }

    fn list(&self, serials: &[u64], next: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 6, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 6, 1),
            next_update: date_time_ymd(next, 6, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }
}

fn pem_of(certificate: &Certificate) -> String {
    rcgen_pem("CERTIFICATE", certificate.der())
}

fn rcgen_pem(tag: &str, der: &[u8]) -> String {
    use std::fmt::Write as _;
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut body = String::new();
    for group in der.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * at) & 63] as char;
            body.push(if at <= group.len() { letter } else { '=' });
        }
    }
    let mut text = format!("-----BEGIN {tag}-----\n");
    for line in body.as_bytes().chunks(64) {
        writeln!(text, "{}", std::str::from_utf8(line).unwrap()).unwrap();
    }
    text + &format!("-----END {tag}-----\n")
}

/// Makes somebody, signed by an issuer or by himself.
fn party(name: &str, issuer: Option<&Party>, change: impl FnOnce(&mut CertificateParams)) -> Party {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let made = match issuer {
        Some(issuer) => params.signed_by(&key, &issuer.issuer()),
        None => params.self_signed(&key),
    };
    let certificate = Certificate::from_der(made.unwrap().der().clone()).unwrap();
    Party { params, key, certificate }
}

fn authority(name: &str, issuer: Option<&Party>) -> Party {
    party(name, issuer, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
}

fn trust(authority: &Party) -> Trust {
    let mut trust = Trust::new();
    trust.add_authorities(&authority.pem()).unwrap();
    trust
}

fn subject(name: &str) -> String {
    format!("CN={name}")
}

#[test]
fn a_client_of_version_1_without_extensions_is_let_in() {
    let mut trust = Trust::new();
    trust.add_authorities(DEPLOYED_AUTHORITY).unwrap();
    let client = certificates(DEPLOYED_CLIENT).unwrap().remove(0);
    assert_eq!(client.parsed().version().0, 0);
    assert_eq!(trust.check_client(client.der(), &[], NOW), Ok(()));
    assert_eq!(client.common_name().as_deref(), Some("alice"));
    assert_eq!(client.serial(), "0A1B");
    let other = super::Trust::new();
    let refusal = Refusal::Stranger { issuer: "O=example, CN=authority".to_owned() };
    assert_eq!(other.check_client(client.der(), &[], NOW), Err(refusal));
}

#[test]
fn a_chain_has_three_above_the_client_and_no_more() {
    let root = authority("root", None);
    let one = authority("one", Some(&root));
    let two = authority("two", Some(&one));
    let three = authority("three", Some(&two));
    let near = party("near", Some(&two), |_| {});
    let far = party("far", Some(&three), |_| {});
    let trust = trust(&root);
    let sent = [three.der(), two.der(), one.der()];
    assert_eq!(trust.check_client(&near.der(), &sent, NOW), Ok(()));
    let refusal = Err(Refusal::Stranger { issuer: subject("one") });
    assert_eq!(trust.check_client(&near.der(), &[two.der()], NOW), refusal);
    let refusal = Err(Refusal::Stranger { issuer: subject("root") });
    assert_eq!(trust.check_client(&far.der(), &sent, NOW), refusal);
}

#[test]
fn who_is_no_authority_signs_nobody() {
    let root = authority("root", None);
    let user = party("user", Some(&root), |_| {});
    let below = party("below", Some(&user), |_| {});
    let refusal = Err(Refusal::NotAuthority { subject: subject("user") });
    assert_eq!(trust(&root).check_client(&below.der(), &[user.der()], NOW), refusal);

    let mute = party("mute", Some(&root), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let below = party("below", Some(&mute), |_| {});
    let refusal = Err(Refusal::NotAuthority { subject: subject("mute") });
    assert_eq!(trust(&root).check_client(&below.der(), &[mute.der()], NOW), refusal);

    let short = party("short", None, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let direct = party("direct", Some(&short), |_| {});
    assert_eq!(trust(&short).check_client(&direct.der(), &[], NOW), Ok(()));
    let between = authority("between", Some(&short));
    let below = party("below", Some(&between), |_| {});
    let refusal = Err(Refusal::NotAuthority { subject: subject("short") });
    assert_eq!(trust(&short).check_client(&below.der(), &[between.der()], NOW), refusal);
}

#[test]
fn a_name_alone_is_no_signature() {
    let root = authority("root", None);
    let impostor = authority("root", None);
    let client = party("client", Some(&impostor), |_| {});
    let refusal = Err(Refusal::Signature { subject: subject("client") });
    assert_eq!(trust(&root).check_client(&client.der(), &[], NOW), refusal);
    // With the impostor beside it: he leads to nobody.
    assert!(trust(&root).check_client(&client.der(), &[impostor.der()], NOW).is_err());
    // Of two authorities with one name, as after a new key: both count.
    let mut both = trust(&root);
    both.add_authorities(&impostor.pem()).unwrap();
    assert_eq!(both.check_client(&client.der(), &[], NOW), Ok(()));
}

#[test]
fn each_certificate_of_the_chain_is_valid_now() {
    let root = authority("root", None);
    let client =
        party("client", Some(&root), |params| params.not_after = date_time_ymd(2027, 6, 1));
    let trust = trust(&root);
    let check = |now: Timestamp| trust.check_client(&client.der(), &[], now);
    assert_eq!(check(NOW), Ok(()));
    assert_eq!(check(client.certificate.end()), Ok(()));
    let ended = |name: &str| Err(Refusal::Ended { subject: subject(name) });
    assert_eq!(check(client.certificate.end().plus(1.0)), ended("client"));
    assert_eq!(check(NOW.plus(-10.0 * YEAR)), Err(Refusal::Early { subject: subject("client") }));
    let long = party("long", Some(&root), |params| params.not_after = date_time_ymd(2040, 1, 1));
    let late = NOW.plus(5.0 * YEAR);
    assert_eq!(trust.check_client(&long.der(), &[], late), ended("root"));
}

#[test]
fn usages_that_are_there_have_to_name_clients() {
    let root = authority("root", None);
    for (usages, purposes, is_client) in [
        (vec![], vec![], true),
        (vec![], vec![ExtendedKeyUsagePurpose::ClientAuth], true),
        (vec![], vec![ExtendedKeyUsagePurpose::Any], true),
        (
            vec![],
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            true,
        ),
        (vec![], vec![ExtendedKeyUsagePurpose::ServerAuth], false),
        (vec![KeyUsagePurpose::DigitalSignature], vec![], true),
        (vec![KeyUsagePurpose::CrlSign], vec![], false),
    ] {
        let client = party("client", Some(&root), |params| {
            params.key_usages.clone_from(&usages);
            params.extended_key_usages.clone_from(&purposes);
        });
        let expected = match is_client {
            true => Ok(()),
            false => Err(Refusal::Purpose { subject: subject("client") }),
        };
        let checked = trust(&root).check_client(&client.der(), &[], NOW);
        assert_eq!(checked, expected, "{usages:?} {purposes:?}");
    }
}

#[test]
fn a_critical_rule_that_is_unknown_here_refuses() {
    let root = authority("root", None);
    for is_critical in [false, true] {
        let client = party("client", Some(&root), |params| {
            let mut rule = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            rule.set_criticality(is_critical);
            params.custom_extensions = vec![rule];
        });
        let expected = match is_critical {
            false => Ok(()),
            true => Err(Refusal::Rule { subject: subject("client"), oid: "1.2.3.4".to_owned() }),
        };
        assert_eq!(trust(&root).check_client(&client.der(), &[], NOW), expected);
    }
}

#[test]
fn a_list_of_its_authority_revokes_even_past_its_end() {
    let root = authority("root", None);
    let other = authority("other", None);
    let numbered = |serial: u64| {
        party("client", Some(&root), |params| params.serial_number = Some(serial.into()))
    };
    let (good, bad) = (numbered(7), numbered(300));
    let revoked = Err(Refusal::Revoked { subject: subject("client") });
    for next in [2040, 2021] {
        let mut trust = trust(&root);
        assert_eq!(trust.add_revocations(root.list(&[300, 5], next).as_bytes()), Ok(vec![]));
        assert_eq!(trust.check_client(&good.der(), &[], NOW), Ok(()));
        assert_eq!(trust.check_client(&bad.der(), &[], NOW), revoked);
        assert_eq!(trust.lists()[0].is_past(NOW), next == 2021);
        assert_eq!(trust.lists()[0].revoked(), 2);
    }
    // The same number of another authority is another certificate.
    let mut both = trust(&root);
    both.add_authorities(&other.pem()).unwrap();
    assert_eq!(both.add_revocations(other.list(&[300], 2040).as_bytes()), Ok(vec![]));
    assert_eq!(both.check_client(&bad.der(), &[], NOW), Ok(()));
}

#[test]
fn a_list_that_no_trusted_authority_has_signed_does_not_count() {
    let root = authority("root", None);
    let impostor = authority("root", None);
    let client = party("client", Some(&root), |params| params.serial_number = Some(300.into()));
    let mut trust = trust(&root);
    let left_out = trust.add_revocations(impostor.list(&[300], 2040).as_bytes());
    assert_eq!(left_out, Ok(vec![subject("root")]));
    assert_eq!(trust.check_client(&client.der(), &[], NOW), Ok(()));
    assert_eq!(
        trust.add_revocations(b"nothing"),
        Err(PemError::Missing { what: "revocation list" })
    );
}

#[test]
fn what_is_cut_or_damaged_is_refused_and_no_panic() {
    let root = authority("root", None);
    let client = party("client", Some(&root), |_| {});
    let trust = trust(&root);
    let whole = client.der();
    for length in 0..whole.len() {
        let cut = CertificateDer::from(whole[..length].to_vec());
        assert_eq!(trust.check_client(&cut, &[], NOW), Err(Refusal::Unreadable), "{length}");
        assert!(trust.check_client(&whole, &[cut], NOW).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
            let mut damaged = whole.to_vec();
            if damaged[at] == byte {
                continue;
            }
            damaged[at] = byte;
            let damaged = CertificateDer::from(damaged);
            let is_signed = trust.check_client(&damaged, &[], NOW).is_ok();
            // Lengths and kinds around the signature are not signed, what it says is.
            let says = |it: &[u8]| parsed(it).map(|it| it.tbs_certificate.as_ref().to_vec());
            assert!(!is_signed || says(&damaged) == says(&whole), "{at} {byte}");
        }
    }
    let many = vec![root.der(); MOST_SENT + 1];
    assert_eq!(trust.check_client(&whole, &many, NOW), Err(Refusal::Unreadable));
}

#[test]
fn authorities_that_fit_in_many_ways_cost_a_bounded_number_of_signatures() {
    let root = authority("root", None);
    let knot: Vec<Party> = (0..8).map(|_| authority("knot", None)).collect();
    let client = party("client", Some(&knot[7]), |_| {});
    let sent: Vec<_> = knot.iter().map(Party::der).collect();
    let trusted = trust(&root);
    let authorities: Vec<_> = trusted.authorities.iter().map(Certificate::parsed).collect();
    let read: Vec<_> = sent.iter().map(|der| parsed(der).unwrap()).collect();
    let mut search =
        Search { trust: &trusted, trusted: &authorities, sent: &read, now: NOW, checked: 0 };
    assert!(search.climb(&client.certificate.parsed(), LONGEST_CHAIN).is_err());
    assert!(search.checked > MOST_SENT);
    assert!(search.checked < 100, "{}", search.checked);
}
