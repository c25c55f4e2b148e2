//! Drivers and instance actions, on real configurations in folders of their own.

mod resource {
    mod actions;
    mod apps;
    mod node;
    mod storage;
    mod tasks;
}
