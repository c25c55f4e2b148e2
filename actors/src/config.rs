//! Reading configuration files into typed settings.
