//! Who ran: the cgroup tree, live processes, and the owner that a cgroup path names.

pub mod owner;
