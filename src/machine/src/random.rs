//! Random names and secrets.

/// A random uuid.
#[must_use]
pub fn random_uuid() -> String {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    conf::uuid(bytes)
}

/// A random secret of a cluster: 32 hex digits, a length that keys both dialects.
#[must_use]
pub fn random_secret() -> String {
    random_uuid().replace('-', "")
}
