//! The service monitor: drives the local instance of one object.
