//! What people call the owners of energy, and who was given which GPU.
//!
//! An owner is a cgroup path until someone gives it a name. Whoever may know one (the API server, the kubelet, the files
//! of a container runtime, a batch system, libvirt) is asked in a thread of its own and puts what it learned on the
//! [`NameBoard`]. The sampler looks at the board once a tick and never waits, so a source that hangs costs names and
//! nothing else. The other way round the sampler puts on the board who is there ([`Wanted`]), so that files are read again
//! only when somebody shows up who has no name yet.

mod allocation;
mod board;
pub mod containers;
mod error;
mod facts;
pub mod files;
pub mod jobs;
pub mod kubernetes;
pub mod podresources;
pub mod vm;
mod wanted;
mod work;

pub use allocation::{Allocation, Allocations, Assignee, DeviceName};
pub use board::{Allotter, Found, JobNames, NameBoard, NameSource, Names, OwnerNames, VmNames};
pub use error::IdentityError;
pub use facts::{ContainerFacts, Details, Facts, JobFacts, PodFacts, Title, VmFacts, label_name};
pub use wanted::{Wanted, WantedOwner};
pub use work::{Job, Look, LookFn, Service, Stopped, Workers, start};
