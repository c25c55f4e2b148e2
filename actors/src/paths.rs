//! Where everything lives: the folders below `OSVC_ROOT_PATH`, or those of a package.
